//! Which span called which.
//!
//! A logged parent counts as logged, also when no line tells of that span. Else the smallest span of another
//! service that encloses this one; else the root. The result is a forest without cycles, whatever is logged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::hash::{HashMap, HashSet};
use crate::span::SpanId;

/// How much earlier a span may begin, or later end, than the one that encloses it: lines are stamped when they are read.
const SLACK_NS: i64 = 2_000_000;
/// Spans looked at to find the one that encloses another. Only a trace of very many spans at the same time has more.
const MAX_LOOKED_AT: usize = 1_024;

/// A span, as far as its place in the tree is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: SpanId,
    pub(crate) logged_parent: Option<SpanId>,
    /// Whether its id is made up, not logged.
    pub(crate) is_inferred: bool,
    pub(crate) service: Arc<str>,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
}

/// How a parent was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Logged,
    Enclosing,
    Root,
}

impl Found {
    /// Value of the attribute `binnacle.parent`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Logged => "logged",
            Self::Enclosing => "enclosing",
            Self::Root => "root",
        }
    }
}

impl Node {
    fn duration_ns(&self) -> i64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// A total order, so that of two spans at most one encloses the other.
    fn size(&self) -> (i64, i64, SpanId) {
        (self.duration_ns(), -self.start_ns, self.id)
    }

    /// Whether it can have made the call that `inner` answered.
    fn encloses(&self, inner: &Self) -> bool {
        let middle_ns = inner.start_ns.saturating_add(inner.duration_ns() / 2);
        self.start_ns <= inner.start_ns.saturating_add(SLACK_NS)
            && inner.end_ns <= self.end_ns.saturating_add(SLACK_NS)
            && (self.start_ns..=self.end_ns).contains(&middle_ns)
            && self.service != inner.service
            && self.duration_ns() > 0
            && self.size() > inner.size()
    }
}

/// Gives visits the ids under which those they called know them: when a span's logged parent is told of by no
/// line, it is the visit that encloses the span, if nobody else claims that visit.
pub(crate) fn adopt_ids(nodes: &mut [Node]) {
    if nodes.iter().all(|node| node.logged_parent.is_none()) {
        return;
    }
    let known: HashSet<SpanId> = nodes.iter().map(|node| node.id).collect();
    let unknown = |node: &Node| node.logged_parent.filter(|parent| !known.contains(parent));
    if nodes.iter().all(|node| unknown(node).is_none()) {
        return;
    }
    let order = Order::of(nodes);
    let mut claims: BTreeMap<SpanId, Option<usize>> = BTreeMap::new();
    for child in &order.by_start {
        let child = &nodes[*child];
        if let Some(parent) = unknown(child) {
            claims.entry(parent).or_insert_with(|| order.smallest_enclosing(nodes, child));
        }
    }
    let mut claimants: BTreeMap<usize, Vec<SpanId>> = BTreeMap::new();
    for (id, visit) in claims {
        if let Some(visit) = visit.filter(|visit| nodes[*visit].is_inferred) {
            claimants.entry(visit).or_default().push(id);
        }
    }
    for (visit, ids) in claimants {
        if let [id] = ids[..] {
            nodes[visit].id = id;
        }
    }
}

/// The parent of each node and how it was found; `None` for the root.
pub(crate) fn parents(nodes: &[Node]) -> Vec<Option<(SpanId, Found)>> {
    let order = Order::of(nodes);
    let places: HashMap<SpanId, usize> = nodes.iter().enumerate().map(|(i, node)| (node.id, i)).collect();
    let mut found: Vec<Option<(SpanId, Found)>> = nodes
        .iter()
        .map(|node| match node.logged_parent {
            Some(parent) => Some((parent, Found::Logged)),
            None => order.smallest_enclosing(nodes, node).map(|i| (nodes[i].id, Found::Enclosing)),
        })
        .collect();
    break_cycles(&order, &places, &mut found);
    let is_top = |i: usize, found: &[Option<(SpanId, Found)>]| {
        found[i].is_none_or(|(parent, _)| !places.contains_key(&parent))
    };
    let Some(root) = order.by_start.iter().copied().find(|i| is_top(*i, &found)) else { return found };
    for (i, parent) in found.iter_mut().enumerate() {
        if i != root && parent.is_none() {
            *parent = Some((nodes[root].id, Found::Root));
        }
    }
    found
}

/// Takes the parent from one span of each cycle: from one whose parent was inferred, else from the earliest.
fn break_cycles(order: &Order, places: &HashMap<SpanId, usize>, found: &mut [Option<(SpanId, Found)>]) {
    let mut round_of = vec![0; found.len()];
    for (round, &start) in (1..).zip(&order.by_start) {
        let (mut at, mut path) = (start, Vec::new());
        while round_of[at] == 0 {
            round_of[at] = round;
            path.push(at);
            let Some(next) = found[at].and_then(|(parent, _)| places.get(&parent)) else { break };
            at = *next;
        }
        let is_cycle =
            round_of[at] == round && found[at].is_some_and(|(parent, _)| places.contains_key(&parent));
        let Some(begin) = path.iter().position(|i| *i == at).filter(|_| is_cycle) else { continue };
        let cycle = &path[begin..];
        // The earliest of the cycle was reached first, or it is further on in the path.
        let rank = |i: &usize| order.rank[*i];
        let inferred = |i: &&usize| found[**i].is_some_and(|(_, how)| how != Found::Logged);
        let weakest =
            cycle.iter().filter(inferred).min_by_key(|i| rank(i)).or(cycle.iter().min_by_key(|i| rank(i)));
        if let Some(weakest) = weakest {
            found[*weakest] = None;
        }
    }
}

/// Nodes by start, the largest first of those that start together.
struct Order {
    by_start: Vec<usize>,
    /// Place of each node in `by_start`.
    rank: Vec<usize>,
    /// Latest end of the nodes up to each place of `by_start`.
    latest_end_ns: Vec<i64>,
}

impl Order {
    fn of(nodes: &[Node]) -> Self {
        let mut by_start: Vec<usize> = (0..nodes.len()).collect();
        by_start.sort_by_key(|i| {
            let node = &nodes[*i];
            (node.start_ns, std::cmp::Reverse(node.end_ns), node.id)
        });
        let mut rank = vec![0; nodes.len()];
        let mut latest_end_ns = Vec::with_capacity(nodes.len());
        let mut latest = i64::MIN;
        for (place, i) in by_start.iter().enumerate() {
            rank[*i] = place;
            latest = latest.max(nodes[*i].end_ns);
            latest_end_ns.push(latest);
        }
        Self { by_start, rank, latest_end_ns }
    }

    fn smallest_enclosing(&self, nodes: &[Node], inner: &Node) -> Option<usize> {
        let latest_start_ns = inner.start_ns.saturating_add(SLACK_NS);
        let end = self.by_start.partition_point(|i| nodes[*i].start_ns <= latest_start_ns);
        let needed_end_ns = inner.end_ns.saturating_sub(SLACK_NS);
        let mut best: Option<usize> = None;
        for place in (0..end).rev().take(MAX_LOOKED_AT) {
            let node = &nodes[self.by_start[place]];
            let smallest_possible_ns = needed_end_ns.saturating_sub(node.start_ns);
            let is_settled = best.is_some_and(|best| nodes[best].duration_ns() < smallest_possible_ns);
            if is_settled || self.latest_end_ns[place] < needed_end_ns {
                break;
            }
            if node.encloses(inner) && best.is_none_or(|best| node.size() < nodes[best].size()) {
                best = Some(self.by_start[place]);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i64 = 1_000_000;

    fn id(number: u64) -> SpanId {
        SpanId(number.to_be_bytes())
    }

    /// `(id, logged parent or 0, service, start ms, end ms)`; an id from 100 on is inferred.
    fn nodes(given: &[(u64, u64, &str, i64, i64)]) -> Vec<Node> {
        let node = |&(number, parent, service, start, end): &(u64, u64, &str, i64, i64)| Node {
            id: id(number),
            logged_parent: (parent > 0).then(|| id(parent)),
            is_inferred: number >= 100,
            service: service.into(),
            start_ns: start * MS,
            end_ns: end * MS,
        };
        given.iter().map(node).collect()
    }

    #[test]
    fn parents_are_logged_else_enclosing_else_the_root() {
        let nodes = nodes(&[
            (100, 0, "gateway", 0, 100),
            (101, 0, "checkout", 10, 90),
            (102, 0, "cart", 20, 30),
            (103, 0, "payment", 31, 80),
            (104, 0, "mail", 85, 200),
            (105, 0, "checkout", 40, 50),
            (7, 102, "stock", 60, 70),
        ]);
        let found = parents(&nodes);
        let expected = [
            None,
            Some((id(100), Found::Enclosing)),
            Some((id(101), Found::Enclosing)),
            Some((id(101), Found::Enclosing)),
            Some((id(100), Found::Root)),
            Some((id(103), Found::Enclosing)),
            Some((id(102), Found::Logged)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_little_overlap_at_the_ends_is_enclosed_and_a_neighbour_is_not() {
        let nodes = nodes(&[
            (100, 0, "a", 1, 50),
            (101, 0, "b", 0, 51),
            (102, 0, "c", 10, 13),
            (103, 0, "d", 13, 14),
        ]);
        let found = parents(&nodes);
        assert_eq!(found[0], Some((id(101), Found::Enclosing)));
        assert_eq!(found[3], Some((id(100), Found::Enclosing)));
    }

    #[test]
    fn a_visit_takes_the_id_its_callees_log() {
        let mut given = nodes(&[
            (1, 0, "gateway", 0, 100),
            (100, 0, "checkout", 10, 90),
            (2, 9, "payment", 20, 60),
            (3, 9, "orders", 61, 80),
        ]);
        adopt_ids(&mut given);
        assert_eq!(given[1].id, id(9));
        assert_eq!(
            parents(&given)[1..],
            [Some((id(1), Found::Enclosing)), Some((id(9), Found::Logged)), Some((id(9), Found::Logged))]
        );

        let mut given =
            nodes(&[(100, 0, "checkout", 10, 90), (2, 8, "payment", 20, 60), (3, 9, "orders", 61, 80)]);
        adopt_ids(&mut given);
        assert_eq!(given[0].id, id(100), "two ids cannot both be the visit's");
    }

    #[test]
    fn cycles_are_broken() {
        let nodes = nodes(&[(1, 2, "a", 0, 10), (2, 1, "b", 1, 9), (3, 2, "c", 2, 3)]);
        let found = parents(&nodes);
        assert_eq!(found, [None, Some((id(1), Found::Logged)), Some((id(2), Found::Logged))]);
    }

    proptest! {
        #[test]
        fn whatever_is_logged_makes_a_forest(
            given in prop::collection::vec((0..12_u64, 0..3_usize, 0..20_i64, 0..20_i64), 1..12)
        ) {
            let nodes: Vec<Node> = given.iter().zip(1..).map(|(&(parent, service, start, length), number)| Node {
                id: id(number),
                logged_parent: (parent > 0 && parent != number).then(|| id(parent)),
                is_inferred: number % 2 == 0,
                service: ["a", "b", "c"][service].into(),
                start_ns: start * MS,
                end_ns: (start + length) * MS,
            }).collect();
            let found = parents(&nodes);
            let places: HashMap<SpanId, usize> = nodes.iter().enumerate().map(|(i, n)| (n.id, i)).collect();
            prop_assert!(found.iter().filter(|f| f.is_none()).count() <= 1);
            for start in 0..nodes.len() {
                let (mut at, mut steps) = (start, 0);
                while let Some(next) = found[at].and_then(|(p, _)| places.get(&p)) {
                    at = *next;
                    steps += 1;
                    prop_assert!(steps <= nodes.len(), "a cycle");
                }
            }
        }
    }
}
