//! The spans of a trace as a tree. Spans whose parent is not in the trace are roots.

use std::cmp::Reverse;
use std::collections::HashMap;

use correlation::{Span, SpanId};

/// Who called whom, by places in the trace's spans.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    roots: Vec<usize>,
    children: Vec<Vec<usize>>,
    children_by_end: Vec<Vec<usize>>,
    all_by_end: Vec<usize>,
}

impl Tree {
    /// The tree of spans that come by start. Parents that lead round in a circle are cut.
    pub(super) fn new(spans: &[Span]) -> Self {
        let places: HashMap<SpanId, usize> =
            spans.iter().enumerate().map(|(place, span)| (span.span_id, place)).collect();
        let mut parents: Vec<Option<usize>> =
            spans.iter().map(|span| span.parent_id.and_then(|id| places.get(&id).copied())).collect();
        cut_cycles(&mut parents);
        let mut tree = Self { children: vec![Vec::new(); spans.len()], ..Self::default() };
        for (place, parent) in parents.into_iter().enumerate() {
            match parent {
                Some(parent) => tree.children[parent].push(place),
                None => tree.roots.push(place),
            }
        }
        tree.children_by_end = tree.children.clone();
        tree.all_by_end = (0..spans.len()).collect();
        for places in tree.children_by_end.iter_mut().chain([&mut tree.all_by_end]) {
            // Of those that end together the first to start comes last.
            places.sort_by_key(|place| (spans[*place].end_ns, Reverse(*place)));
        }
        tree
    }

    /// Every span, by end.
    pub(super) fn all_by_end(&self) -> &[usize] {
        &self.all_by_end
    }

    /// What a span called, by start.
    pub(super) fn children(&self, place: usize) -> &[usize] {
        &self.children[place]
    }

    /// The same, by end.
    pub(super) fn children_by_end(&self, place: usize) -> &[usize] {
        &self.children_by_end[place]
    }

    /// Every span with its depth: a caller before what it called, calls by start.
    pub(super) fn in_order(&self) -> Vec<(usize, usize)> {
        let mut order = Vec::with_capacity(self.children.len());
        let mut next: Vec<(usize, usize)> = self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((place, depth)) = next.pop() {
            order.push((place, depth));
            next.extend(self.children[place].iter().rev().map(|child| (*child, depth + 1)));
        }
        order
    }
}

/// Makes the first span of each circle a root. The assembler makes none; a damaged index might.
fn cut_cycles(parents: &mut [Option<usize>]) {
    let mut is_safe = vec![false; parents.len()];
    for place in 0..parents.len() {
        let mut way = vec![place];
        while let Some(last) = way.last().copied().filter(|last| !is_safe[*last]) {
            is_safe[last] = true;
            match parents[last] {
                Some(parent) if way.contains(&parent) => parents[last] = None,
                Some(parent) => way.push(parent),
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::drawn;
    use super::*;

    #[test]
    fn callers_come_before_what_they_called() {
        let spans = drawn(&[
            ("a", "", 0.0, 9.0),
            ("b", "a", 1.0, 2.0),
            ("c", "b", 1.5, 1.8),
            ("d", "a", 3.0, 4.0),
            ("e", "unknown", 5.0, 6.0),
        ]);
        let order = Tree::new(&spans).in_order();
        let shown: Vec<String> =
            order.iter().map(|(place, depth)| format!("{depth}{}", spans[*place].name)).collect();
        assert_eq!(shown, ["0a", "1b", "2c", "1d", "0e"]);
    }

    #[test]
    fn a_cycle_is_cut_and_no_span_is_lost() {
        let spans =
            drawn(&[("a", "c", 0.0, 9.0), ("b", "a", 1.0, 2.0), ("c", "b", 2.0, 3.0), ("d", "d", 4.0, 5.0)]);
        let mut places: Vec<usize> =
            Tree::new(&spans).in_order().into_iter().map(|(place, _)| place).collect();
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2, 3]);
    }
}
