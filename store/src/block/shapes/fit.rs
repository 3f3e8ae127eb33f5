//! The ways in which a needle may span the literals and values of a shape.

use std::ops::Range;

use super::needle::{Needle, Part};
use super::{Piece, Shapes};

/// Ways in which a needle may span a shape; where there are more, lines are put together instead.
const MAX_WAYS: usize = 256;
/// Literals tried for them.
const MAX_TRIED: usize = 4096;

/// What the value in the slot of a piece must be like.
pub(super) type Condition = (usize, Part);

/// Lays a piece of a needle against one shape.
pub(super) struct Fit<'a> {
    pub(super) needle: &'a Needle,
    pub(super) part: &'a Part,
    pub(super) shapes: &'a Shapes,
    pub(super) pieces: &'a [Piece],
    pub(super) ways: &'a mut Vec<Vec<Condition>>,
    /// Literals tried so far.
    pub(super) tried: usize,
}

impl Fit<'_> {
    /// All ways in which the part spans literals and values, and those within one literal or value if it is
    /// bound to an end of the text. `None` when there are too many.
    pub(super) fn all(&mut self) -> Option<()> {
        let Range { start, end } = self.part.range;
        if self.part.from_start {
            return self.literal(0, start, &mut Vec::new());
        }
        for at in 0..self.pieces.len() {
            let literal = self.shapes.literal(&self.pieces[at]);
            let longest = end - start - usize::from(!self.part.to_end);
            for offset in literal.len().saturating_sub(longest)..literal.len() {
                let after = start + literal.len() - offset;
                if self.needle.is(&(start..after), &literal[offset..]) {
                    self.after_literal(at, after, &mut Vec::new())?;
                }
            }
            let Some(next) = self.pieces.get(at + 1) else { continue };
            let first = self.shapes.literal(next).first();
            for after in start + 1..=end - usize::from(!self.part.to_end) {
                if self.may_begin(after, first) {
                    let ending = Part { range: start..after, from_start: false, to_end: true };
                    self.literal(at + 1, after, &mut vec![(at, ending)])?;
                }
            }
        }
        Some(())
    }

    /// Whether a literal with this first byte may stand at byte `at` of the needle.
    fn may_begin(&self, at: usize, first: Option<&u8>) -> bool {
        first.is_none_or(|first| at < self.part.range.end && self.needle.same(self.needle.bytes[at], *first))
    }

    /// Byte `from` of the needle stands at the beginning of literal `at`.
    fn literal(&mut self, at: usize, from: usize, way: &mut Vec<Condition>) -> Option<()> {
        self.tried += 1;
        if self.tried > MAX_TRIED {
            return None;
        }
        let literal = self.shapes.literal(&self.pieces[at]);
        let left = self.part.range.end - from;
        let shown = left.min(literal.len());
        if !self.needle.is(&(from..from + shown), &literal[..shown]) {
            return Some(());
        }
        if left < literal.len() {
            return if self.part.to_end { Some(()) } else { self.add(way) };
        }
        if left == shown && !self.part.to_end {
            return self.add(way);
        }
        self.after_literal(at, from + shown, way)
    }

    /// Byte `from` of the needle stands where literal `at` has ended.
    fn after_literal(&mut self, at: usize, from: usize, way: &mut Vec<Condition>) -> Option<()> {
        let end = self.part.range.end;
        if self.pieces[at].slot.is_none() {
            return if from == end { self.add(way) } else { Some(()) };
        }
        if !self.part.to_end {
            way.push((at, Part { range: from..end, from_start: true, to_end: false }));
            self.add(way)?;
            way.pop();
        }
        let first = self.shapes.literal(self.pieces.get(at + 1)?).first();
        for after in from..=end - usize::from(!self.part.to_end) {
            if self.may_begin(after, first) {
                way.push((at, Part { range: from..after, from_start: true, to_end: true }));
                self.literal(at + 1, after, way)?;
                way.pop();
            }
        }
        Some(())
    }

    fn add(&mut self, way: &[Condition]) -> Option<()> {
        self.ways.push(way.to_vec());
        (self.ways.len() <= MAX_WAYS).then_some(())
    }
}
