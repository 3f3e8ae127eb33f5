//! logfmt: `key=value key="quoted value" key`.
//!
//! A malformed pair ends with an error; scanning goes on at the next blank, if the caller wants to.

use std::borrow::Cow;

use super::json::unescape_bytes;

/// Where and why a pair is malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogfmtError {
    /// From 1.
    position: usize,
    what: String,
}

impl std::fmt::Display for LogfmtError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "logfmt syntax error at pos {} : {}", self.position, self.what)
    }
}

/// A key and its value; a bare key has an empty one.
pub(crate) type KeyValue<'a> = (&'a [u8], Cow<'a, [u8]>);

/// Reads pairs one by one.
pub(crate) struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn skip_until(&mut self, stop: impl Fn(u8) -> bool) -> Option<u8> {
        match self.rest().iter().position(|b| stop(*b)) {
            Some(offset) => {
                self.at += offset;
                self.line.get(self.at).copied()
            }
            None => {
                self.at = self.line.len();
                None
            }
        }
    }

    /// Reports what is wrong here and moves to the next blank.
    fn fail(&mut self, what: impl Into<String>) -> LogfmtError {
        let position = self.at + 1;
        self.skip_until(|b| b <= b' ');
        LogfmtError { position, what: what.into() }
    }

    fn unexpected(&mut self, byte: u8) -> LogfmtError {
        self.fail(format!("unexpected {:?}", char::from(byte)))
    }

    /// The next pair, `None` at the end.
    pub(crate) fn next_pair(&mut self) -> Option<Result<KeyValue<'a>, LogfmtError>> {
        self.skip_until(|b| b > b' ')?;
        let start = self.at;
        let stop = self.skip_until(|b| b == b'=' || b == b'"' || b <= b' ');
        let key = self.line.get(start..self.at).unwrap_or_default();
        match stop {
            Some(b'=') if key.is_empty() => return Some(Err(self.unexpected(b'='))),
            Some(b'"') => return Some(Err(self.unexpected(b'"'))),
            _ => {}
        }
        let is_text = std::str::from_utf8(key).is_ok_and(|key| !key.contains("\u{fffd}"));
        if !is_text {
            return Some(Err(self.fail("invalid key")));
        }
        if stop != Some(b'=') {
            return Some(Ok((key, Cow::Borrowed(b""))));
        }
        self.at += 1;
        match self.line.get(self.at) {
            Some(b'"') => Some(self.quoted().map(|value| (key, value))),
            _ => Some(self.plain().map(|value| (key, Cow::Borrowed(value)))),
        }
    }

    fn plain(&mut self) -> Result<&'a [u8], LogfmtError> {
        let start = self.at;
        match self.skip_until(|b| b == b'=' || b == b'"' || b <= b' ') {
            Some(byte) if byte > b' ' => Err(self.unexpected(byte)),
            _ => Ok(self.line.get(start..self.at).unwrap_or_default()),
        }
    }

    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, LogfmtError> {
        let start = self.at + 1;
        let mut escaped = false;
        let mut from = start;
        loop {
            let rest = self.line.get(from..).unwrap_or_default();
            let Some(offset) = memchr::memchr2(b'"', b'\\', rest) else {
                self.at = self.line.len();
                return Err(self.fail("unterminated quoted value"));
            };
            let found = from + offset;
            if self.line.get(found) == Some(&b'\\') {
                escaped = true;
                from = found + 2;
                continue;
            }
            self.at = found + 1;
            let raw = self.line.get(start..found).unwrap_or_default();
            if !escaped {
                return Ok(Cow::Borrowed(raw));
            }
            return unescape_bytes(raw).map(Cow::Owned).ok_or_else(|| self.fail("invalid quoted value"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Vec<Result<(String, String), String>> {
        let mut scanner = Scanner::new(line.as_bytes());
        std::iter::from_fn(|| scanner.next_pair())
            .map(|pair| {
                let (key, value) = pair.map_err(|e| e.to_string())?;
                Ok((String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(&value).into_owned()))
            })
            .collect()
    }

    fn ok(key: &str, value: &str) -> Result<(String, String), String> {
        Ok((key.to_owned(), value.to_owned()))
    }

    #[test]
    fn reads_pairs() {
        assert_eq!(
            pairs(r#" a=1  b="x \"y\"\n" c d= e="" "#),
            [ok("a", "1"), ok("b", "x \"y\"\n"), ok("c", ""), ok("d", ""), ok("e", "")]
        );
    }

    #[test]
    fn goes_on_after_errors() {
        let wrong = |text: &str| Err(text.to_owned());
        assert_eq!(
            pairs("bar=bu=zz foo=1"),
            [wrong("logfmt syntax error at pos 7 : unexpected '='"), ok("foo", "1")]
        );
        assert_eq!(pairs("foobar====wqe=sdad1r"), [wrong("logfmt syntax error at pos 8 : unexpected '='")]);
        assert_eq!(
            pairs("foo=\"foo bar\" b\u{fffd}r=10ms x=1"),
            [ok("foo", "foo bar"), wrong("logfmt syntax error at pos 20 : invalid key"), ok("x", "1")]
        );
        assert_eq!(pairs("a=\"x")[0], wrong("logfmt syntax error at pos 5 : unterminated quoted value"));
        assert_eq!(pairs("a\"b c=1").len(), 2);
    }
}
