//! The ways in which a needle may span the literals and values of a shape.

use std::ops::Range;

use super::needle::{Needle, Part};
use super::{Piece, Shapes, Slot};

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
    /// By column: where in the needle a byte stands that its values may have; empty if nothing is known.
    pub(super) may_hold: &'a [u64],
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
            if !self.may_span(at) {
                continue;
            }
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
                let ending = Part { range: start..after, from_start: false, to_end: true };
                if self.may_begin(after, first) && self.may_be(at, &ending) {
                    self.literal(at + 1, after, &mut vec![(at, ending)])?;
                }
            }
        }
        Some(())
    }

    /// Whether the part may begin in literal `at`, or in the value after it, and go on beyond. Looks at all places
    /// of the needle at once: shapes are many, and few fit.
    fn may_span(&self, at: usize) -> bool {
        if !self.needle.has_places() || self.part.to_end {
            return true;
        }
        let part = self.part.places();
        let first = 1 << self.part.range.start;
        let mut begins = part;
        for byte in self.shapes.literal(&self.pieces[at]).iter().rev() {
            begins &= self.needle.places(*byte);
            if begins & first != 0 {
                return true;
            }
            begins >>= 1;
            if begins == 0 {
                break;
            }
        }
        let (Some(slot), Some(next)) = (self.pieces[at].slot, self.pieces.get(at + 1)) else { return false };
        if let Slot::Column(column) = slot
            && self.may_hold.get(column as usize).is_some_and(|places| places & first == 0)
        {
            return false;
        }
        let last = 1 << (self.part.range.end - 1);
        let mut goes_on = part & !first;
        for byte in self.shapes.literal(next) {
            goes_on &= self.needle.places(*byte);
            if goes_on & last != 0 {
                return true;
            }
            goes_on <<= 1;
            if goes_on == 0 {
                return false;
            }
        }
        goes_on != 0
    }

    /// Whether the value in the slot of piece `at` may have `part`, as far as is known of its bytes.
    fn may_be(&self, at: usize, part: &Part) -> bool {
        let Some(Slot::Column(column)) = self.pieces[at].slot else { return true };
        self.may_hold.get(column as usize).is_none_or(|places| part.places() & !places == 0)
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
            let beginning = Part { range: from..end, from_start: true, to_end: false };
            if self.may_be(at, &beginning) {
                way.push((at, beginning));
                self.add(way)?;
                way.pop();
            }
        }
        let first = self.shapes.literal(self.pieces.get(at + 1)?).first();
        for after in from..=end - usize::from(!self.part.to_end) {
            let whole = Part { range: from..after, from_start: true, to_end: true };
            if self.may_begin(after, first) && self.may_be(at, &whole) {
                way.push((at, whole));
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
