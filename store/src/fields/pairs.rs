//! `name=value` pairs: logfmt lines, and those within any text.
//!
//! Every byte is looked at a bounded number of times: a quote without an end takes the rest of the line.

use std::ops::ControlFlow;

use super::{Value, text};

/// Longest name that is searched for in text, in bytes: what precedes `=` in a blob is no name.
const MAX_NAME_BYTES: usize = 64;

/// Longest value after a colon, in bytes: longer than any id that is kept, short enough to be looked at again.
const MAX_NEAR_BYTES: usize = 160;

/// Whether a line starts like logfmt: a name right before `=`, then a value.
pub(super) fn starts(line: &[u8]) -> bool {
    let length = line.iter().take(MAX_NAME_BYTES + 1).take_while(|b| is_name_byte(**b)).count();
    length > 0 && line.get(length) == Some(&b'=') && line.get(length + 1) != Some(&b'=')
}

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'/')
}

/// Visits `name=value` between white space; words without `=` are passed over.
pub(super) fn logfmt<'a, F>(line: &'a [u8], visit: &mut F) -> ControlFlow<()>
where
    F: FnMut(&str, Value<'a>) -> ControlFlow<()>,
{
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return ControlFlow::Continue(());
        }
        let end = rest.iter().position(|b| *b == b'=' || b.is_ascii_whitespace()).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        if rest.first() != Some(&b'=') {
            continue;
        }
        let (value, after) = value(&rest[1..], |b| b.is_ascii_whitespace());
        rest = after;
        if !name.is_empty() {
            visit(&text(name), value)?;
        }
    }
}

/// Visits `name=value` wherever it stands in a text, also `(name=value, name=value)`.
pub(super) fn plain<'a, F>(line: &'a [u8], visit: &mut F) -> ControlFlow<()>
where
    F: FnMut(&str, Value<'a>) -> ControlFlow<()>,
{
    let mut from = 0;
    while let Some(equals) = line.get(from..).and_then(|rest| memchr::memchr(b'=', rest)) {
        let equals = from + equals;
        let name = name_before(&line[from..equals]);
        from = equals + 1;
        let rest = without_colour(&line[from..]);
        if name.is_empty() || rest.first().is_none_or(|b| *b == b'=' || b.is_ascii_whitespace()) {
            continue;
        }
        let (value, after) = value(rest, ends_value_in_text);
        from = line.len() - after.len();
        visit(&text(name), trimmed(value))?;
    }
    ControlFlow::Continue(())
}

/// Visits `name: value` and `"name":"value"` wherever they stand in a text.
pub(super) fn colons<'a, F>(line: &'a [u8], visit: &mut F) -> ControlFlow<()>
where
    F: FnMut(&str, Value<'a>) -> ControlFlow<()>,
{
    let mut from = 0;
    while let Some(colon) = line.get(from..).and_then(|rest| memchr::memchr(b':', rest)) {
        let before = &line[from..from + colon];
        from += colon + 1;
        let name = name_before(before.strip_suffix(b"\"").unwrap_or(before));
        if name.is_empty() {
            continue;
        }
        let rest = without_colour(&line[from..]);
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        if rest.first().is_none_or(u8::is_ascii_whitespace) {
            continue;
        }
        visit(&text(name), trimmed(value_near(rest)))?;
    }
    ControlFlow::Continue(())
}

/// The name that ends `before`, empty for none.
fn name_before(before: &[u8]) -> &[u8] {
    let window = before.len().saturating_sub(MAX_NAME_BYTES + 1);
    let length = before[window..].iter().rev().take_while(|b| is_name_byte(**b)).count();
    if length > MAX_NAME_BYTES {
        return &[];
    }
    let (head, name) = before.split_at(before.len() - length);
    match colour_end(head, name) {
        Some(skip) => &name[skip..],
        None => name,
    }
}

/// Where the name begins when a terminal colour (`ESC [ 36 m`, `ESC [ 1;36 m`) runs into it.
fn colour_end(head: &[u8], name: &[u8]) -> Option<usize> {
    let codes = head.iter().rev().take(16).take_while(|b| b.is_ascii_digit() || **b == b';').count();
    if !head[..head.len() - codes].ends_with(b"\x1b[") {
        return None;
    }
    let digits = name.iter().take_while(|b| b.is_ascii_digit()).count();
    (name.get(digits) == Some(&b'm')).then_some(digits + 1)
}

/// `bytes` after the terminal colour they start with.
fn without_colour(bytes: &[u8]) -> &[u8] {
    let Some(code) = bytes.strip_prefix(b"\x1b[") else { return bytes };
    let length = code.iter().take(16).take_while(|b| b.is_ascii_digit() || **b == b';').count();
    if code.get(length) == Some(&b'm') { &code[length + 1..] } else { bytes }
}

const fn ends_value_in_text(byte: u8) -> bool {
    byte.is_ascii_whitespace()
        || matches!(byte, b',' | b';' | b')' | b']' | b'}' | b'>' | b'"' | b'\'' | b'&' | b'|' | 0x1b)
}

/// The value at the start of `rest` and what follows it; `ends` tells the end of one without quotes.
fn value(rest: &[u8], ends: impl Fn(u8) -> bool) -> (Value<'_>, &[u8]) {
    match rest.first() {
        Some(b'"') => return quoted(&rest[1..]),
        Some(b'\'') => {
            let end = memchr::memchr(b'\'', &rest[1..]).map(|end| end + 1);
            if let Some(end) = end
                && rest.get(end + 1).is_none_or(|b| ends(*b))
            {
                return (Value::Text(&rest[1..end]), &rest[end + 1..]);
            }
        }
        _ => {}
    }
    let end = rest.iter().position(|b| ends(*b)).unwrap_or(rest.len());
    (Value::Text(&rest[..end]), &rest[end..])
}

/// The value at the start of `rest` if it is short: what follows may hold more names, and is looked at again.
fn value_near(rest: &[u8]) -> Value<'_> {
    value(&rest[..rest.len().min(MAX_NEAR_BYTES)], ends_value_in_text).0
}

/// The value up to the closing quote; without one, all that is left.
fn quoted(rest: &[u8]) -> (Value<'_>, &[u8]) {
    let mut end = 0;
    let mut escaped = false;
    while let Some(at) = rest.get(end..).and_then(|tail| memchr::memchr2(b'"', b'\\', tail)) {
        end += at;
        if rest[end] == b'"' {
            let inner = &rest[..end];
            return (if escaped { Value::Escaped(inner) } else { Value::Text(inner) }, &rest[end + 1..]);
        }
        escaped = true;
        end += 2;
    }
    (if escaped { Value::Escaped(rest) } else { Value::Text(rest) }, &[])
}

/// A value in a text without the full stop or colon of its sentence.
fn trimmed(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Text([head @ .., b'.' | b':']) => Value::Text(head),
        other => other,
    }
}
