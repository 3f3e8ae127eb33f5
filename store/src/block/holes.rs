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
    let mut last = 0; // most values stand where the last one stood
    for (i, line) in lines.iter().enumerate() {
        let value = values.get(i).map(str::as_bytes).filter(|value| value.len() >= MIN_VALUE);
        let span = value.and_then(|value| {
            let there = line.get(last..).is_some_and(|rest| rest.starts_with(value));
            let start = if there { last } else { memmem::find(line, value)? };
            last = start;
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
