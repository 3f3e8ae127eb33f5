//! Where a line is cut: which of its bytes are values, and which column each value goes to.
//!
//! The invariant: a value is a whole number of tokens, so that the tokens of a line are those of its literal
//! text and of its values (see [`token::is_edge`]). Nothing else is asked of a cut: the line is put together again from the
//! same bytes, whatever they mean.

use std::ops::{ControlFlow, Range};

use crate::ascii;
use crate::fields::{self, Shape, Value};
use crate::token;

/// Most digits of a number that is not long: those of three bytes, about.
const NUMBER_DIGITS: usize = 7;

/// A value of a line, and the kind of column it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// The field with this path.
    Field(&'a str),
    /// A whole number in running text.
    Number,
    /// One of many digits: not to widen the others' column.
    LongNumber,
    /// That many lower-case hex digits.
    Hex(usize),
    /// A date and time.
    Stamp,
    /// Any other run of letters and digits, and UUIDs.
    Mixed,
    /// A run of letters.
    Word,
    /// A segment of a path, by its number.
    Segment(usize),
}

/// Calls `value` with the fields of a line of this shape, from left to right.
pub(super) fn fields(line: &[u8], shape: Shape, mut value: impl FnMut(Range<usize>, Kind<'_>)) {
    let mut from = 0;
    fields::for_each(line, shape, |path, found| {
        let (Value::Text(bytes) | Value::Escaped(bytes) | Value::Number(bytes)) = found else {
            return ControlFlow::Continue(());
        };
        let start = bytes.as_ptr().addr().wrapping_sub(line.as_ptr().addr());
        let span = start..start.wrapping_add(bytes.len());
        let within = from <= span.start && span.start <= span.end && span.end <= line.len();
        if within && stands_apart(line, &span) {
            from = span.end + 1;
            value(span, Kind::Field(path));
        }
        ControlFlow::Continue(())
    });
}

/// Calls `piece` with each word and value of running text, from left to right: what holds a digit is a value, and any
/// other word may be one.
pub(super) fn pieces(text: &[u8], mut piece: impl FnMut(Range<usize>, Kind<'static>)) {
    let (mut from, mut no_uuid_until) = (0, 0);
    while let Some(gap) = text.get(from..).and_then(|rest| rest.iter().position(u8::is_ascii_alphanumeric)) {
        let start = from + gap;
        let span = start..start + run_len(&text[start..], u8::is_ascii_alphanumeric);
        let is_value = text[span.clone()].iter().any(u8::is_ascii_digit);
        if is_value && let Some(end) = stamp_end(text, start) {
            piece(start..end, Kind::Stamp);
            from = end;
            continue;
        }
        if start >= no_uuid_until && text.get(span.end) == Some(&b'-') {
            let hyphens = text[from..start].iter().rev().take_while(|b| **b == b'-').count();
            let run = start - hyphens..start + run_len(&text[start..], is_grouped);
            if has_uuid_middle(text, &run) {
                from = run.end;
                if stands_apart(text, &run) {
                    piece(run, Kind::Mixed);
                }
                continue;
            }
            no_uuid_until = run.end;
        }
        from = span.end;
        if is_ascii_around(text, &span) {
            let kind = if is_value { kind_of(&text[span.clone()]) } else { Kind::Word };
            piece(span, kind);
        }
    }
}

/// Calls `value` with each value of running text, from left to right: the same as [`pieces`] without words, for half the time.
pub(super) fn values(text: &[u8], mut value: impl FnMut(Range<usize>, Kind<'_>)) {
    let (mut from, mut no_uuid_until) = (0, 0);
    while let Some(gap) = text.get(from..).and_then(ascii::first_digit) {
        let digit = from + gap;
        let before =
            |belongs: fn(&u8) -> bool| text[from..digit].iter().rev().take_while(|b| belongs(b)).count();
        let start = digit - before(u8::is_ascii_alphanumeric);
        if let Some(end) = stamp_end(text, start) {
            value(start..end, Kind::Stamp);
            from = end;
            continue;
        }
        let span = start..digit + run_len(&text[digit..], u8::is_ascii_alphanumeric);
        let is_beside_hyphen = text[from..start].last() == Some(&b'-') || text.get(span.end) == Some(&b'-');
        if is_beside_hyphen && digit >= no_uuid_until {
            let run = digit - before(is_grouped)..digit + run_len(&text[digit..], is_grouped);
            if has_uuid_middle(text, &run) {
                from = run.end;
                if stands_apart(text, &run) {
                    value(run, Kind::Mixed);
                }
                continue;
            }
            no_uuid_until = run.end;
        }
        from = span.end;
        if is_ascii_around(text, &span) {
            let kind = kind_of(&text[span.clone()]);
            value(span, kind);
        }
    }
}

/// Whether a text is a path, or an address with a path, and nothing else.
pub(super) fn is_path(text: &[u8]) -> bool {
    if text.iter().any(u8::is_ascii_whitespace) {
        return false;
    }
    text.first() == Some(&b'/') || text.windows(3).any(|bytes| bytes == b"://")
}

/// Calls `value` with the segments of a path, and what its query has: a path is seldom met again, its segments are.
pub(super) fn segments(path: &[u8], mut value: impl FnMut(Range<usize>, Kind<'_>)) {
    let (mut start, mut number) = (0, 0);
    for segment in path.split(|byte| matches!(byte, b'/' | b'?' | b'&' | b'=')) {
        let span = start..start + segment.len();
        start = span.end + 1;
        if segment.is_empty() {
            continue;
        }
        let kind = kind_of(segment);
        let is_telling = matches!(kind, Kind::Number | Kind::LongNumber | Kind::Hex(_));
        value(span, if is_telling { kind } else { Kind::Segment(number) });
        number += 1;
    }
}

fn run_len(text: &[u8], belongs: impl Fn(&u8) -> bool) -> usize {
    text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len())
}

const fn is_grouped(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'-'
}

fn kind_of(run: &[u8]) -> Kind<'static> {
    if run.iter().all(u8::is_ascii_digit) {
        let canonical = run.len() == 1 || (run[0] != b'0' && run.len() <= super::number::MAX_DIGITS);
        return match run.len() {
            _ if !canonical => Kind::Mixed,
            ..=NUMBER_DIGITS => Kind::Number,
            _ => Kind::LongNumber,
        };
    }
    let is_hex = run.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_hex && run.len() >= 8 && run.len() <= 64 && run.len().is_multiple_of(2) {
        return Kind::Hex(run.len());
    }
    Kind::Mixed
}

/// Whether the groups of a UUID, which the index knows as one id, lie in this run.
fn has_uuid_middle(text: &[u8], run: &Range<usize>) -> bool {
    if run.len() < 16 || memchr::memchr(b'-', &text[run.clone()]).is_none() {
        return false;
    }
    let mut found = false;
    let run = &text[run.clone()];
    token::for_each(run, |token| found |= token::uuid_middle(run, token).is_some());
    found
}

/// End of the date and time that begins at `start` and stands apart.
fn stamp_end(text: &[u8], start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let len = super::stamp::len(rest)?;
    stands_apart(text, &(start..start + len)).then_some(start + len)
}

/// Whether the bytes on either side of `span` are such that no token extends across its ends, nor a group of
/// ids with hyphens.
fn stands_apart(text: &[u8], span: &Range<usize>) -> bool {
    let before = span.start.checked_sub(1).map(|at| text[at]);
    before.is_none_or(token::is_edge) && text.get(span.end).is_none_or(|byte| token::is_edge(*byte))
}

fn is_ascii_around(text: &[u8], span: &Range<usize>) -> bool {
    let before = span.start.checked_sub(1).map(|at| text[at]);
    before.is_none_or(|b| b.is_ascii()) && text.get(span.end).is_none_or(u8::is_ascii)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        without_words(text, |line, add| match Shape::detect(line) {
            Shape::Plain if is_path(line) => segments(line, add),
            Shape::Plain => pieces(line, add),
            shape => fields(line, shape, add),
        })
    }

    fn without_words(
        text: &str,
        cut: impl FnOnce(&[u8], &mut dyn FnMut(Range<usize>, Kind<'_>)),
    ) -> Vec<String> {
        let mut found = Vec::new();
        cut(text.as_bytes(), &mut |span, kind| {
            if kind != Kind::Word {
                found.push(format!("{kind:?}={}", String::from_utf8_lossy(&text.as_bytes()[span])));
            }
        });
        found
    }

    #[test]
    fn fields_are_values_of_structured_lines_and_tokens_with_digits_of_others() {
        let cases: [(&str, &[&str]); 10] = [
            (
                r#"{"a":"x \"y\"","b":{"c":-1.5},"d":true,"e":[7,""]}"#,
                &[r#"Field("a")=x \"y\""#, r#"Field("b.c")=-1.5"#, r#"Field("e[0]")=7"#, r#"Field("e[1]")="#],
            ),
            ("a=1 b=\"two 3\" c", &[r#"Field("a")=1"#, r#"Field("b")=two 3"#]),
            (r#"{"a":12abc"#, &[]),
            ("took 12 ms of x7, 007 é9", &["Number=12", "Mixed=x7", "Mixed=007"]),
            ("10.0.7.1:80", &["Number=10", "Number=0", "Number=7", "Number=1", "Number=80"]),
            (
                "/api/v2/users/4711//x-7?q=007",
                &[
                    "Segment(0)=api",
                    "Segment(1)=v2",
                    "Segment(2)=users",
                    "Number=4711",
                    "Segment(4)=x-7",
                    "Segment(5)=q",
                    "Segment(6)=007",
                ],
            ),
            ("/etc/passwd has 3 lines", &["Number=3"]),
            ("id deadbeef01 DEADBEEF01", &["Hex(10)=deadbeef01", "Mixed=DEADBEEF01"]),
            (
                "x 550e8400-e29b-41d4-a716-446655440000 y-1 --w-550e8400-e29b-41d4-a716-1",
                &[
                    "Mixed=550e8400-e29b-41d4-a716-446655440000",
                    "Number=1",
                    "Mixed=--w-550e8400-e29b-41d4-a716-1",
                ],
            ),
            (
                "2026-11-20T10:00:00.5Z up 2026-11",
                &["Stamp=2026-11-20T10:00:00.5Z", "Number=2026", "Number=11"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn values_are_the_pieces_that_are_no_words(
            text in "([a-c]{1,2}|[0-9]{1,4}|[-]{1,2}|[ .:=/é]|-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-|2026-11-20T10:00:00){0,14}",
        ) {
            let of_pieces = without_words(&text, |text, each| pieces(text, each));
            prop_assert_eq!(without_words(&text, |text, each| values(text, each)), of_pieces);
        }
    }
}
