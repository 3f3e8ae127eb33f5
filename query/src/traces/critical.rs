//! What a request waited for: its critical path.
//!
//! The path explains every nanosecond of a trace with the one span it was spent in, going backwards from the end.
//! At the end of a span, its child that ended last is what the span had waited for; before that child began, the
//! last that had ended by then; what lies between them the span spent itself. So a child that ran beside the one
//! waited for is not on the path. What no root explains (work that goes on after the answer) is explained in the
//! same way by the span that was last going on; time in which no span was is nobody's.
//!
//! Children count within their parent's time. One that ends up to [`SLACK_NS`] after the next has begun counts as
//! ended before it: log lines tell of times in milliseconds.

use correlation::Span;

use super::tree::Tree;

/// How far children that follow each other may overlap.
const SLACK_NS: i64 = 1_000_000;

/// A stretch of the path, not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Place of the span it was spent in; `None` for time in which no span was going on.
    pub(super) span: Option<usize>,
    pub(super) from_ns: i64,
    pub(super) to_ns: i64,
}

/// A span whose time is being explained; without a span, the whole trace.
struct Frame<'a> {
    span: Option<usize>,
    from_ns: i64,
    end_ns: i64,
    /// What lies from here to the end is explained.
    until_ns: i64,
    /// Its children that are not looked at yet, the last to end at the end.
    children: &'a [usize],
}

/// The path, by time. Its stretches follow each other without a gap, from the first start to the last end.
pub(super) fn path(spans: &[Span], tree: &Tree) -> Vec<Segment> {
    let mut path = Vec::new();
    let from_ns = spans.iter().map(|span| span.start_ns).min().unwrap_or(0);
    let end_ns = spans.iter().map(|span| span.end_ns).max().unwrap_or(0);
    let whole = Frame { span: None, from_ns, end_ns, until_ns: end_ns, children: tree.all_by_end() };
    let mut frames = vec![whole];
    while let Some(frame) = frames.last_mut() {
        let Some(child) = frame.waited_for(spans) else {
            add(&mut path, frame.span, frame.from_ns, frame.until_ns);
            frames.pop();
            continue;
        };
        let end_ns = spans[child].end_ns.min(frame.until_ns);
        let from_ns = spans[child].start_ns.max(frame.from_ns);
        add(&mut path, frame.span, end_ns, frame.until_ns);
        frame.until_ns = from_ns;
        let children = tree.children_by_end(child);
        frames.push(Frame { span: Some(child), from_ns, end_ns, until_ns: end_ns, children });
    }
    path.reverse();
    path
}

impl Frame<'_> {
    /// Takes the child that ended last before `until_ns`.
    fn waited_for(&mut self, spans: &[Span]) -> Option<usize> {
        while let Some((last, rest)) = self.children.split_last() {
            self.children = rest;
            let span = &spans[*last];
            let has_ended = span.end_ns <= self.until_ns.saturating_add(SLACK_NS);
            // The end of a span cuts what its children do afterwards; a trace waits for whatever goes on.
            let is_cut = self.until_ns == self.end_ns || self.span.is_none();
            if (has_ended || is_cut) && span.start_ns < self.until_ns && span.end_ns > self.from_ns {
                return Some(*last);
            }
        }
        None
    }
}

/// Adds a stretch that lies before those added so far.
fn add(path: &mut Vec<Segment>, span: Option<usize>, from_ns: i64, to_ns: i64) {
    if from_ns >= to_ns {
        return;
    }
    match path.last_mut() {
        Some(next) if next.span == span && next.from_ns == to_ns => next.from_ns = from_ns,
        _ => path.push(Segment { span, from_ns, to_ns }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Drawn, drawn};
    use super::*;

    /// The path as `name from-to`, in milliseconds.
    fn shown(drawing: &[Drawn]) -> String {
        let spans = drawn(drawing);
        let tree = Tree::new(&spans);
        let name =
            |segment: &Segment| segment.span.map_or("-", |place| spans[place].name.as_str()).to_owned();
        let ms = |ns: i64| (ns as f64 / 1e6).to_string();
        let parts = path(&spans, &tree);
        let parts: Vec<String> =
            parts.iter().map(|s| format!("{} {}-{}", name(s), ms(s.from_ns), ms(s.to_ns))).collect();
        parts.join(", ")
    }

    #[test]
    fn the_path_leads_through_what_was_waited_for() {
        for (what, drawing, expected) in [
            ("one span", &[("a", "", 0.0, 10.0)][..], "a 0-10"),
            ("no time at all", &[("a", "", 5.0, 5.0)], ""),
            ("a call", &[("a", "", 0.0, 10.0), ("b", "a", 2.0, 7.0)], "a 0-2, b 2-7, a 7-10"),
            (
                "calls one after the other",
                &[("a", "", 0.0, 20.0), ("b", "a", 2.0, 8.0), ("c", "a", 10.0, 18.0)],
                "a 0-2, b 2-8, a 8-10, c 10-18, a 18-20",
            ),
            (
                "of calls side by side the last to end",
                &[("a", "", 0.0, 20.0), ("b", "a", 2.0, 12.0), ("c", "a", 4.0, 18.0)],
                "a 0-4, c 4-18, a 18-20",
            ),
            (
                "the end of one and the beginning of the next told in milliseconds",
                &[("a", "", 0.0, 20.0), ("b", "a", 2.0, 10.5), ("c", "a", 10.0, 18.0)],
                "a 0-2, b 2-10, c 10-18, a 18-20",
            ),
            (
                "a call that goes on after the answer",
                &[("a", "", 0.0, 10.0), ("b", "a", 6.0, 15.0)],
                "a 0-6, b 6-15",
            ),
            (
                "a call that begins after the answer",
                &[("a", "", 0.0, 10.0), ("b", "a", 12.0, 15.0)],
                "a 0-10, - 10-12, b 12-15",
            ),
            (
                "a child that began before its parent",
                &[("b", "a", 0.0, 8.0), ("a", "", 2.0, 10.0)],
                "b 0-8, a 8-10",
            ),
            ("two roots", &[("a", "", 0.0, 4.0), ("b", "", 6.0, 10.0)], "a 0-4, - 4-6, b 6-10"),
            (
                "work that goes on while the caller waits for another",
                &[("a", "", 0.0, 10.0), ("c", "a", 1.0, 9.0), ("b", "a", 6.0, 15.0)],
                "a 0-1, c 1-6, b 6-15",
            ),
            ("two roots side by side", &[("a", "", 0.0, 10.0), ("b", "", 5.0, 15.0)], "a 0-5, b 5-15"),
            ("a parent that nobody tells of", &[("b", "x", 0.0, 4.0)], "b 0-4"),
            (
                "calls within calls",
                &[("a", "", 0.0, 30.0), ("b", "a", 5.0, 25.0), ("c", "b", 10.0, 20.0)],
                "a 0-5, b 5-10, c 10-20, b 20-25, a 25-30",
            ),
        ] {
            assert_eq!(shown(drawing), expected, "{what}");
        }
    }
}
