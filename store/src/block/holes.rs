//! Lines whose pair values are taken out, and put back.
//!
//! A trace id that was found in a line stands twice in a block: in the line and as a pair. Ids compress
//! badly, so the line keeps one byte in its place, a byte that occurs in no line of the block, and gets
//! the id back from the pair's column. What went in comes out byte for byte, whatever the pair is.

use std::ops::Range;

use memchr::memmem;

use super::lines::Lines;
use super::pairs::{Pairs, Values};
use super::wire::{Input, Malformed, put_varint};
use crate::token;

/// Bytes that stand for a value, by preference: none occurs in UTF-8. There are at most three holes, as
/// many as `memchr` looks for at once.
const MARKS: [u8; 5] = [0xff, 0xfe, 0xfd, 0xc0, 0xc1];
const MAX_HOLES: usize = 3;

/// Shorter values are not worth a hole: zstd finds them at the same cost.
const MIN_VALUE: usize = 8;

/// A byte of the lines, and the pair column whose value it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    mark: u8,
    pub(super) column: usize,
}

/// Lines with holes.
#[derive(Debug)]
pub(super) struct Punched {
    pub(super) lines: Lines,
    holes: Vec<Hole>,
}

impl Punched {
    pub(super) fn params(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for hole in &self.holes {
            out.push(hole.mark);
            put_varint(&mut out, hole.column as u64);
        }
        out
    }
}

/// Takes the values of the pair columns that are found in most lines out of them, if there are any.
pub(super) fn punch(lines: &Lines, pairs: &Pairs) -> Option<Punched> {
    let mut marks = MARKS.iter().filter(|mark| memchr::memchr(**mark, lines.bytes()).is_none());
    let mut holes = Vec::new();
    let mut columns = Vec::new();
    for (column, values) in pairs.columns().iter().enumerate().filter_map(|(i, c)| Some((i, c.values.get()?)))
    {
        if holes.len() == MAX_HOLES {
            break;
        }
        if let Some(spans) = found_in_most(lines, values) {
            let Some(mark) = marks.next() else { break };
            holes.push(Hole { mark: *mark, column });
            columns.push(spans);
        }
    }
    if holes.is_empty() {
        return None;
    }
    let mut punched = Lines::with_capacity(lines.len(), lines.line_bytes());
    for (i, line) in lines.iter().enumerate() {
        let mut cuts: Vec<(&Range<usize>, u8)> = Vec::with_capacity(MAX_HOLES);
        for (spans, hole) in columns.iter().zip(&holes) {
            let Some(span) = &spans[i] else { continue };
            if cuts.iter().all(|(cut, _)| cut.end <= span.start || span.end <= cut.start) {
                cuts.push((span, hole.mark));
            }
        }
        cuts.sort_by_key(|(span, _)| span.start);
        let mut from = 0;
        for (span, mark) in cuts {
            punched.push_piece(&line[from..span.start]);
            punched.push_piece(&[mark]);
            from = span.end;
        }
        punched.push_piece(&line[from..]);
        punched.end_line();
    }
    Some(Punched { lines: punched, holes })
}

/// Where each line holds its value, when most lines do.
fn found_in_most(lines: &Lines, values: &Values) -> Option<Vec<Option<Range<usize>>>> {
    if matches!(values, Values::Constant(_)) {
        return None; // costs nothing in either place
    }
    let mut spans = Vec::with_capacity(lines.len());
    let mut found = 0;
    // Most values stand where one of the last two stood: what varies before them is a level, say.
    let mut hints = [0, 0];
    for (i, line) in lines.iter().enumerate() {
        let value = values.get(i).map(str::as_bytes).filter(|value| value.len() >= MIN_VALUE);
        let span = value.and_then(|value| {
            let stands_at = |at: &&usize| line.get(**at..).is_some_and(|rest| rest.starts_with(value));
            let start = match hints.iter().find(stands_at) {
                Some(start) => *start,
                None => memmem::find(line, value)?,
            };
            if start != hints[0] {
                hints = [start, hints[0]];
            }
            Some(start..start + value.len())
        });
        found += usize::from(span.is_some());
        spans.push(span);
        if found * 4 < i / 2 {
            return None; // seldom found so far: looking costs more than it will give
        }
    }
    (found * 2 > lines.len()).then_some(spans)
}

/// Calls `told` with the values that tell more than the lines do: not with those that stand in their own
/// line between token boundaries, whose tokens are tokens of the line.
pub(crate) fn values_beside_lines(lines: &Lines, pairs: &Pairs, mut told: impl FnMut(&str)) {
    for values in pairs.columns().iter().filter_map(|column| column.values.get()) {
        let spans = found_in_most(lines, values);
        let mut last = None;
        for i in 0..lines.len() {
            let Some(value) = values.get(i) else { continue };
            let span = spans.as_ref().and_then(|spans| spans[i].as_ref());
            let in_line = span.is_some_and(|span| {
                token::is_boundary(lines.get(i), span.start) && token::is_boundary(lines.get(i), span.end)
            });
            if !in_line && last != Some(value) {
                told(value);
                last = Some(value);
            }
            if matches!(values, Values::Constant(_)) {
                break;
            }
        }
    }
    pairs.overflow().iter().for_each(|(_, pair)| told(&pair.value));
}

/// The holes named by the parameters of a column.
pub(super) fn decode(params: &[u8], pair_columns: usize) -> Result<Vec<Hole>, Malformed> {
    let mut input = Input::new(params);
    let mut holes = Vec::new();
    while !input.is_empty() {
        let mark = input.u8("mark of a hole")?;
        let column = input.len("column of a hole")?;
        if column >= pair_columns || holes.len() == MAX_HOLES {
            return Err(Malformed("column of a hole"));
        }
        holes.push(Hole { mark, column });
    }
    Ok(holes)
}

/// Puts the values back. `line_bytes` is what the lines must come to.
pub(super) fn fill(
    punched: &Lines,
    holes: &[(Hole, &Values)],
    line_bytes: usize,
) -> Result<Lines, Malformed> {
    const WRONG: Malformed = Malformed("values for the holes of the lines");
    let mark = |i: usize| holes.get(i).or(holes.first()).map_or(0, |(hole, _)| hole.mark);
    let mut lines = Lines::with_capacity(punched.len(), line_bytes);
    for (i, line) in punched.iter().enumerate() {
        let mut from = 0;
        for at in memchr::memchr3_iter(mark(0), mark(1), mark(2), line) {
            let values = holes.iter().find(|(hole, _)| hole.mark == line[at]).map(|(_, values)| values);
            let value = values.and_then(|values| values.get(i)).ok_or(WRONG)?;
            if lines.bytes().len() + value.len() > line_bytes + punched.len() {
                return Err(WRONG); // a damaged file must not make lines without end
            }
            lines.push_piece(&line[from..at]);
            lines.push_piece(value.as_bytes());
            from = at + 1;
        }
        lines.push_piece(&line[from..]);
        lines.end_line();
    }
    if lines.line_bytes() == line_bytes { Ok(lines) } else { Err(WRONG) }
}
