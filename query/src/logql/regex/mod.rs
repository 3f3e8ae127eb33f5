//! Regular expressions in Go's RE2 syntax, run by the `regex` crate.
//!
//! The two dialects differ in details: `\d \w \s \b` are ASCII in Go, `\Q…\E` quotes, `\C`, `x` flags and
//! nested classes do not exist, `{` that begins no count is itself. [`translate`] rewrites one into the
//! other and refuses what Go refuses. Bytes that are not UTF-8 match as U+FFFD, one per byte, as in Go.

use std::borrow::Cow;

use regex::bytes;

mod runs;
mod translate;

pub(crate) use runs::pattern_of;
pub(crate) use translate::translate;

/// Largest compiled program, bytes: a guard against `(a{1000}){1000}` in a query.
const SIZE_LIMIT: usize = 16 << 20;
/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Regex {
    program: bytes::Regex,
}

impl Regex {
    /// Matches anywhere in the text.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        Self::compile(pattern, &translate(pattern)?)
    }

    /// Matches the whole text.
    pub(crate) fn anchored(pattern: &str) -> Result<Self, String> {
        Self::compile(pattern, &format!("^(?s:{})$", translate(pattern)?))
    }

    fn compile(written: &str, translated: &str) -> Result<Self, String> {
        let program = bytes::RegexBuilder::new(translated).size_limit(SIZE_LIMIT).build();
        match program {
            Ok(program) => Ok(Self { program }),
            Err(regex::Error::CompiledTooBig(_)) => Err("expression too large".to_owned()),
            Err(_) => Err(format!("error parsing regexp: invalid syntax: `{written}`")),
        }
    }

    /// Whether it matches somewhere.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.program.is_match(text)
            || (std::str::from_utf8(text).is_err() && self.program.is_match(&valid(text)))
    }

    /// The program, for captures and replacement on text that is valid UTF-8.
    pub(crate) const fn program(&self) -> &bytes::Regex {
        &self.program
    }
}

/// Replaces each byte that is not part of UTF-8 by U+FFFD.
pub(crate) fn valid(text: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len() + 8);
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_go_refuses() {
        for bad in [
            r"\q",
            r"\C",
            r"a**",
            "*",
            "(",
            ")",
            "(?x)a",
            "[a",
            "[z-a]",
            "a{1001}",
            "a{3,2}",
            r"\8",
            r"\pé",
            "(?P<>a)",
            "(?=a)",
            "[[:foo:]]",
            "\\",
            "(?i-)a",
            r"\x1",
            "+a",
            "(|*)",
        ] {
            assert!(Regex::new(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Regex::new(r"^^^^x43\q").unwrap_err(),
            r"error parsing regexp: invalid escape sequence: `\q`"
        );
    }

    #[test]
    fn matches_what_go_matches() {
        for (pattern, text, matches) in [
            (r"^\d+$", "12", true),
            (r"^\d$", "\u{664}", false),
            (r"^\w$", "\u{e9}", false),
            (r"^[^\w]$", "\u{e9}", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b", "axb", false),
            ("a{,2}", "a{,2}", true),
            ("{", "{", true),
            ("a{2}", "aa", true),
            ("[[]", "[", true),
            ("[]a]", "]", true),
            ("[a&&b]", "&", true),
            ("[a-]", "-", true),
            (r"[\d-x]", "-", true),
            (r"\<", "<", true),
            (r"\_", "_", true),
            (r"\x{e9}", "\u{e9}", true),
            (r"\101", "A", true),
            ("(?i)ERR", "err", true),
            ("(?<n>a)", "a", true),
            ("(?P<1>a)", "a", true),
            (r"a\z", "a", true),
            ("a$", "a\n", false),
            ("(?m)a$", "a\nb", true),
            ("a.b", "a\nb", false),
            (r"\p{^Greek}", "a", true),
            (r"[[:^digit:]]", "a", true),
            ("(?s)a.b", "a\nb", true),
        ] {
            assert_eq!(
                Regex::new(pattern).unwrap().is_match(text.as_bytes()),
                matches,
                "{pattern} on {text:?}"
            );
        }
    }

    #[test]
    fn a_byte_outside_utf8_is_one_character() {
        assert!(Regex::new("^a..b$").unwrap().is_match(b"a\xff\xfeb"));
        assert!(!Regex::new("^a.b$").unwrap().is_match(b"a\xff\xfeb"));
    }

    #[test]
    fn anchored_matches_the_whole() {
        let regex = Regex::anchored("a|bc").unwrap();
        assert!(regex.is_match(b"a") && regex.is_match(b"bc"));
        assert!(!regex.is_match(b"ab") && !regex.is_match(b"abc"));
    }
}
