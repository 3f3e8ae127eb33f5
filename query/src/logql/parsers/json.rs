//! A forgiving JSON scanner: it reads what is there and stops at the first thing it cannot make sense of.
//!
//! What was found before an error stays found. Values are raw slices of the line; strings are unescaped
//! only when asked for. What follows the outermost object is not looked at.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::label_text;

/// Deepest nesting that is followed: a guard of the stack against hostile lines.
const MAX_DEPTH: usize = 128;

pub(crate) const NOT_AN_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
const NOT_AN_ARRAY: &str = "Value looks like array, but can't find closing ']' symbol";
const NOT_A_STRING: &str = "Value is string, but can't find closing '\"' symbol";
const UNKNOWN_TYPE: &str = "Unknown value type";
const NO_VALUE: &str = "Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol";
const TOO_DEEP: &str = "Value is nested too deeply";

/// Keys and most values end within so many bytes, which are looked at one by one: a vectorised search costs more to
/// begin.
const SHORT: usize = 16;

/// A value as it stands in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Between the quotes, escapes as written.
    String(&'a [u8]),
    Number(&'a [u8]),
    Bool(bool),
    Null,
    /// With its braces.
    Object(&'a [u8]),
    /// With its brackets.
    Array(&'a [u8]),
}

/// Reads from `bytes` at `at`.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn skip_blanks(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Steps over `{`; false when something else is there.
    pub(crate) fn enter(&mut self, open: u8) -> bool {
        let found = self.skip_blanks() == Some(open);
        if found {
            self.at += 1;
        }
        found
    }

    /// The next key of an object and its colon; `None` at the closing brace. `first` is true right after
    /// the opening one.
    pub(crate) fn key(&mut self, first: bool) -> Result<Option<&'a [u8]>, &'static str> {
        match self.skip_blanks() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.skip_blanks();
            }
            _ if first => {}
            _ => return Err(NOT_AN_OBJECT),
        }
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(NOT_AN_OBJECT);
        }
        let key = self.string()?;
        if !self.enter(b':') {
            return Err(NOT_AN_OBJECT);
        }
        Ok(Some(key))
    }

    /// The next element of an array; `None` at the closing bracket.
    pub(crate) fn element(&mut self, first: bool) -> Result<Option<Value<'a>>, &'static str> {
        match self.skip_blanks() {
            Some(b']') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            _ if first => {}
            _ => return Err(NOT_AN_ARRAY),
        }
        self.value().map(Some)
    }

    fn string(&mut self) -> Result<&'a [u8], &'static str> {
        self.at += 1;
        let start = self.at;
        let head = self.bytes.get(start..).unwrap_or_default();
        let head = head.get(..SHORT).unwrap_or(head);
        let mut from = match head.iter().position(|b| matches!(b, b'"' | b'\\')) {
            Some(length) if head[length] == b'"' => {
                self.at = start + length + 1;
                return Ok(head.get(..length).unwrap_or_default());
            }
            Some(length) => start + length,
            None => start + head.len(),
        };
        loop {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let Some(offset) = memchr::memchr2(b'"', b'\\', rest) else { return Err(NOT_A_STRING) };
            let found = from + offset;
            if self.bytes.get(found) == Some(&b'"') {
                self.at = found + 1;
                return Ok(self.bytes.get(start..found).unwrap_or_default());
            }
            from = found + 2;
        }
    }

    /// Any value; objects and arrays are stepped over as a whole.
    pub(crate) fn value(&mut self) -> Result<Value<'a>, &'static str> {
        let start = self.skip_blanks().map(|_| self.at).ok_or(NO_VALUE)?;
        match self.bytes.get(start) {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.block(b'}', NOT_AN_OBJECT).map(Value::Object),
            Some(b'[') => self.block(b']', NOT_AN_ARRAY).map(Value::Array),
            _ => {
                let rest = self.bytes.get(start..).unwrap_or_default();
                let length = rest
                    .iter()
                    .position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
                    .ok_or(NO_VALUE)?;
                self.at = start + length;
                match rest.get(..length).unwrap_or_default() {
                    b"true" => Ok(Value::Bool(true)),
                    b"false" => Ok(Value::Bool(false)),
                    b"null" => Ok(Value::Null),
                    number @ [b'-' | b'0'..=b'9', ..] => Ok(Value::Number(number)),
                    _ => Err(UNKNOWN_TYPE),
                }
            }
        }
    }

    fn block(&mut self, close: u8, error: &'static str) -> Result<&'a [u8], &'static str> {
        let start = self.at;
        let open = self.bytes.get(start).copied().unwrap_or_default();
        let mut depth = 0_usize;
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte == b'"' {
                self.string()?;
                continue;
            }
            self.at += 1;
            if byte == open {
                depth += 1;
            } else if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(self.bytes.get(start..self.at).unwrap_or_default());
                }
            }
        }
        Err(error)
    }
}

/// Calls `found` for every leaf of the object `line` whose name is wanted, until it breaks. Its label name is the
/// keys on the way, sanitised and joined by `_`. Arrays and nulls are no leaves.
pub(crate) fn flatten<'a>(
    line: &'a [u8],
    name: &mut String,
    wants: &impl Fn(&[u8]) -> bool,
    found: &mut impl FnMut(&str, Value<'a>) -> ControlFlow<()>,
) -> Result<(), &'static str> {
    name.clear();
    let mut scanner = Scanner::new(line);
    Walk { scanner: &mut scanner, name, wants, found }.object(0).map(drop)
}

/// A walk through nested objects.
struct Walk<'w, 'a, W, F> {
    scanner: &'w mut Scanner<'a>,
    name: &'w mut String,
    wants: &'w W,
    found: &'w mut F,
}

impl<'a, W: Fn(&[u8]) -> bool, F: FnMut(&str, Value<'a>) -> ControlFlow<()>> Walk<'_, 'a, W, F> {
    fn object(&mut self, depth: usize) -> Result<ControlFlow<()>, &'static str> {
        if depth == MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        if !self.scanner.enter(b'{') {
            return Err(NOT_AN_OBJECT);
        }
        let prefix = self.name.len();
        let mut first = true;
        while let Some(key) = self.scanner.key(first)? {
            first = false;
            let is_object = self.scanner.skip_blanks() == Some(b'{');
            if depth == 0 && !is_object && is_plain(key) && !(self.wants)(key) {
                // Most keys of most lines: nothing is copied.
                self.scanner.value()?;
                continue;
            }
            self.append(key, prefix);
            let flow = if is_object { self.object(depth + 1)? } else { self.leaf(depth)? };
            if flow.is_break() {
                return Ok(flow);
            }
            self.name.truncate(prefix);
        }
        Ok(ControlFlow::Continue(()))
    }

    fn append(&mut self, key: &[u8], prefix: usize) {
        let key = unescape(key);
        if !key.trim().is_empty() {
            if prefix > 0 {
                self.name.push('_');
            }
            super::append_sanitized(self.name, &key);
        }
    }

    fn leaf(&mut self, depth: usize) -> Result<ControlFlow<()>, &'static str> {
        let value = self.scanner.value()?;
        let leaf = matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
        // A blank key at the top has no name; below, the path gives one, be it empty.
        if leaf && (depth > 0 || !self.name.is_empty()) && (self.wants)(self.name.as_bytes()) {
            return Ok((self.found)(self.name, value));
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Whether a key is a label's name as it stands.
fn is_plain(key: &[u8]) -> bool {
    key.first().is_some_and(|b| !b.is_ascii_digit())
        && key.iter().all(|b| *b == b'_' || b.is_ascii_alphanumeric())
}

/// The text of a leaf for a label.
pub(crate) fn text(value: Value<'_>) -> Cow<'_, str> {
    match value {
        Value::String(raw) => unescape(raw),
        Value::Number(raw) | Value::Object(raw) | Value::Array(raw) => label_text(raw),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        Value::Null => Cow::Borrowed(""),
    }
}

/// The text of a string; empty when an escape is malformed.
pub(crate) fn unescape(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw).is_none() {
        return label_text(raw);
    }
    match unescape_bytes(raw) {
        Some(bytes) => Cow::Owned(label_text(&bytes).into_owned()),
        None => Cow::Borrowed(""),
    }
}

/// Resolves JSON's escapes; `None` when one is malformed.
pub(crate) fn unescape_bytes(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at)?);
        rest = rest.get(at + 1..)?;
        let (kind, tail) = rest.split_first()?;
        rest = tail;
        out.push(match kind {
            b'"' | b'\\' | b'/' | b'\'' => *kind,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (c, tail) = unicode_escape(rest)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = tail;
                continue;
            }
            _ => return None,
        });
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// Four hexadecimal digits, or two such escapes that form a surrogate pair. A lone surrogate is U+FFFD.
fn unicode_escape(rest: &[u8]) -> Option<(char, &[u8])> {
    let hex = |bytes: &[u8]| u32::from_str_radix(std::str::from_utf8(bytes.get(..4)?).ok()?, 16).ok();
    let high = hex(rest)?;
    let tail = rest.get(4..)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some((char::from_u32(high).unwrap_or('\u{fffd}'), tail));
    }
    let low = tail.strip_prefix(b"\\u").and_then(hex).filter(|low| (0xdc00..0xe000).contains(low));
    match low {
        Some(low) => {
            Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?, tail.get(6..)?))
        }
        None => Some(('\u{fffd}', tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(line: &str) -> (Vec<(String, String)>, Result<(), &'static str>) {
        let mut found = Vec::new();
        let result = flatten(line.as_bytes(), &mut String::new(), &|_| true, &mut |name, value| {
            found.push((name.to_owned(), text(value).into_owned()));
            ControlFlow::Continue(())
        });
        (found, result)
    }

    #[test]
    fn flattens_objects() {
        let (found, result) = labels(
            r#"{"a":1,"b":{"c":"x\n\u00e9\ud83d\ude00","1d":true,"e":{"f.g":-1.5e3}},"n":null,"l":[1,{"z":"]"}]," ":{" ":"w"}}tail"#,
        );
        assert_eq!(result, Ok(()));
        let expected =
            [("a", "1"), ("b_c", "x\n\u{e9}\u{1f600}"), ("b_1d", "true"), ("b_e_f_g", "-1.5e3"), ("", "w")];
        assert_eq!(found, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn keeps_what_precedes_an_error() {
        for (line, count, error) in [
            ("", 0, NOT_AN_OBJECT),
            ("{n}", 0, NOT_AN_OBJECT),
            ("[1]", 0, NOT_AN_OBJECT),
            (r#"{"a":1"#, 0, NO_VALUE),
            (r#"{"a":1,"b":x}"#, 1, UNKNOWN_TYPE),
            (r#"{"a":1 "b":2}"#, 1, NOT_AN_OBJECT),
            (r#"{"a":"x"#, 0, NOT_A_STRING),
            (r#"{"a":[1,"#, 0, NOT_AN_ARRAY),
        ] {
            let (found, result) = labels(line);
            assert_eq!((found.len(), result), (count, Err(error)), "{line}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_stepped_over_and_the_rest_left_when_told_to() {
        let find = |line: &'static str, wanted: &'static [&'static str], most: usize| {
            let mut found = Vec::new();
            let wants = |name: &[u8]| wanted.iter().any(|wanted| wanted.as_bytes() == name);
            let result = flatten(line.as_bytes(), &mut String::new(), &wants, &mut |name, value| {
                found.push(format!("{name}={}", text(value)));
                if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (found.join(" "), result)
        };
        let line = r#"{"a":1,"b":{"a":2,"c-d":"x","e":{"f":3}},"g h":4,"1":5,"a long key that is not wanted":"\"","z":6}"#;
        assert_eq!(
            find(line, &["b_c_d", "g_h", "_1", "z"], 9),
            ("b_c_d=x g_h=4 _1=5 z=6".to_owned(), Ok(()))
        );
        assert_eq!(find(line, &["b_e_f", "a"], 9), ("a=1 b_e_f=3".to_owned(), Ok(())));
        assert_eq!(find(line, &["c_d", "f", "none"], 9), (String::new(), Ok(())));
        assert_eq!(find(r#"{"a":1,"b":2,oops"#, &["a", "b"], 2), ("a=1 b=2".to_owned(), Ok(())));
        assert_eq!(find(r#"{"a":1,"b":2,oops"#, &["a", "b"], 3), ("a=1 b=2".to_owned(), Err(NOT_AN_OBJECT)));
        assert_eq!(find(r#"{"x":oops,"a":1}"#, &["a"], 1), (String::new(), Err(UNKNOWN_TYPE)));
    }

    #[test]
    fn depth_is_bounded() {
        let line = "{\"a\":".repeat(100_000);
        assert_eq!(labels(&line).1, Err(TOO_DEEP));
    }

    #[test]
    fn what_is_no_text_becomes_a_space() {
        assert_eq!(unescape(b"a\xffb"), "a b");
        assert_eq!(unescape("\u{fffd}".as_bytes()), " ");
        assert_eq!(unescape(br"\ud800x"), " x");
        assert_eq!(unescape(br"\q"), "");
    }
}
