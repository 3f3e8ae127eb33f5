//! The value of a field, borrowed from its line and decoded only when asked for.

use std::borrow::Cow;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text, as it stands in the line.
    Text(&'a [u8]),
    /// Text between quotes that holds backslash escapes.
    Escaped(&'a [u8]),
    /// A JSON number, as written.
    Number(&'a [u8]),
    /// JSON's `true` or `false`.
    Bool(bool),
    /// JSON's `null`.
    Null,
}

impl<'a> Value<'a> {
    /// The value as text: escapes resolved, numbers as written, `true`, `false`, `null`; bytes that are not
    /// UTF-8 as U+FFFD.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(bytes) | Self::Number(bytes) => super::text(bytes),
            Self::Escaped(bytes) => Cow::Owned(unescape(bytes)),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Null => Cow::Borrowed("null"),
        }
    }

    /// The bytes of a text without escapes or of a number: what ids, levels and times are written with.
    #[must_use]
    pub const fn plain(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(bytes) | Self::Number(bytes) => Some(bytes),
            Self::Escaped(_) | Self::Bool(_) | Self::Null => None,
        }
    }
}

/// Resolves JSON's escapes. What is no valid escape stays as written; a lone surrogate becomes U+FFFD.
pub(super) fn unescape(mut bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    while let Some(at) = memchr::memchr(b'\\', bytes) {
        out.extend_from_slice(&bytes[..at]);
        let (length, character) = escape(&bytes[at..]);
        match character {
            Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            None => out.extend_from_slice(&bytes[at..at + length]),
        }
        bytes = &bytes[at + length..];
    }
    out.extend_from_slice(bytes);
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Length and meaning of the escape at the start of `bytes`.
fn escape(bytes: &[u8]) -> (usize, Option<char>) {
    let simple = match bytes.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(&c @ (b'"' | b'\\' | b'/')) => char::from(c),
        Some(b'u') => return unicode_escape(bytes),
        Some(_) | None => return (1, None),
    };
    (2, Some(simple))
}

fn unicode_escape(bytes: &[u8]) -> (usize, Option<char>) {
    let Some(high) = code_unit(bytes) else { return (2, None) };
    if let Some(character) = char::from_u32(high) {
        return (6, Some(character));
    }
    let low = bytes.get(6..).filter(|rest| rest.starts_with(b"\\u")).and_then(code_unit);
    match low {
        Some(low @ 0xdc00..=0xdfff) if high < 0xdc00 => {
            (12, char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)))
        }
        _ => (6, Some(char::REPLACEMENT_CHARACTER)),
    }
}

/// The four hexadecimal digits of `\uXXXX`.
fn code_unit(bytes: &[u8]) -> Option<u32> {
    bytes.get(2..6)?.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}
