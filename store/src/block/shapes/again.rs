//! Cuts a line by a shape that an earlier line had, without reading its fields again.
//!
//! The invariant: what is cut out stands between the same bytes as the value from which the shape was made, so it
//! is a whole number of tokens too (see `cut`). Where the line would have been cut otherwise, it is put together
//! from its own bytes all the same.

use std::ops::Range;

use super::Slot;
use super::collect::Collected;
use crate::ascii;

/// Puts the values of `text` into `values`, with their slots; false when it is not of `shape`, which must have
/// been made from the fields of a line.
pub(super) fn cut(shape: Collected<'_>, text: &[u8], values: &mut Vec<(Range<usize>, Slot)>) -> bool {
    values.clear();
    let (mut at, mut from) = (0, 0);
    let mut slots = shape.slots().peekable();
    while let Some((end, slot)) = slots.next() {
        let literal = &shape.text[from..end as usize];
        if !text[at..].starts_with(literal) {
            return false;
        }
        at += literal.len();
        from = end as usize;
        let next_end = slots.peek().map_or(shape.text.len(), |(end, _)| *end as usize);
        let Some(len) = value_len(&text[at..], literal.last(), shape.text[from..next_end].first()) else {
            return false;
        };
        values.push((at..at + len, slot));
        at += len;
    }
    text[at..] == shape.text[from..]
}

/// Length of the value that `rest` begins with and that stands between these bytes of literals.
fn value_len(rest: &[u8], before: Option<&u8>, after: Option<&u8>) -> Option<usize> {
    let Some(after) = after else { return Some(rest.len()) };
    if before == Some(&b':') {
        // A number of JSON: text, or an object, would be another shape.
        return rest.iter().position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
    }
    if *after != b'"' {
        return memchr::memchr(*after, rest);
    }
    let mut end = 0;
    loop {
        end += ascii::first_of_two(b'"', b'\\', rest.get(end..)?)?;
        if rest[end] == b'"' {
            return Some(end);
        }
        end += 2; // what is escaped ends nothing
    }
}
