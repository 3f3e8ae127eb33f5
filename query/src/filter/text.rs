//! Text looked for in a line or in a value: words, phrases, prefixes and regular expressions.
//!
//! Words and phrases match regardless of case at token boundaries, like `grep -iw -F`: where the text begins
//! (ends) with an alphanumeric character, the character before (after) the occurrence must not be one. Han and
//! kana, written without spaces, may stand next to anything. The index cuts tokens by the same rule.
//! The invariant: what [`TextTest::prune`] says holds for every line that [`TextTest::is_match`] accepts.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use store::{Prune, Text, token};

use super::literals;
/// Largest compiled form of a user's regular expression, in bytes; a bigger one is refused.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A test of text.
#[derive(Clone, Debug)]
pub struct TextTest {
    regex: Regex,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Literal text, with the edges at which a token must end.
    Literal {
        text: String,
        starts_token: bool,
        ends_token: bool,
    },
    Regex {
        prune: Prune,
    },
}

impl TextTest {
    /// A word or phrase, whole tokens only.
    #[must_use]
    pub fn words(text: &str) -> Self {
        Self::literal(text, begins_with_token(text), ends_with_token(text))
    }

    /// A word or phrase whose last token may go on.
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        Self::literal(text, begins_with_token(text), false)
    }

    /// A piece of text with the token edges as given.
    ///
    /// # Panics
    /// Never: an escaped literal is a valid pattern, and its size is not limited.
    #[must_use]
    pub fn literal(text: &str, starts_token: bool, ends_token: bool) -> Self {
        let regex = RegexBuilder::new(&regex::escape(text))
            .case_insensitive(true)
            .size_limit(usize::MAX)
            .build()
            .expect("BUG: an escaped literal is a valid pattern");
        Self { regex, kind: Kind::Literal { text: text.to_owned(), starts_token, ends_token } }
    }

    /// A regular expression that matches anywhere, case-sensitive.
    ///
    /// # Errors
    /// When the pattern is malformed or compiles to something huge; the text says why.
    pub fn regex(pattern: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build().map_err(|e| match e {
            regex::Error::CompiledTooBig(limit) => {
                format!("the pattern needs more than {limit} bytes when compiled; write a simpler one")
            }
            other => other.to_string(),
        })?;
        Ok(Self { regex, kind: Kind::Regex { prune: literals::prune_of_pattern(pattern) } })
    }

    /// Whether `bytes` match.
    #[must_use]
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        match &self.kind {
            Kind::Regex { .. } => self.regex.is_match(bytes),
            Kind::Literal { starts_token, ends_token, .. } => {
                let mut from = 0;
                while let Some(hit) = self.regex.find_at(bytes, from) {
                    if fits(bytes, hit.range(), *starts_token, *ends_token) {
                        return true;
                    }
                    from = hit.start() + 1;
                    if from > bytes.len() {
                        return false;
                    }
                }
                false
            }
        }
    }

    /// What every matching line (or value) holds.
    #[must_use]
    pub fn prune(&self) -> Prune {
        match &self.kind {
            Kind::Regex { prune } => prune.clone(),
            Kind::Literal { text, starts_token, ends_token } => Prune::Text(Text {
                bytes: text.as_bytes().to_vec(),
                starts_token: *starts_token,
                ends_token: *ends_token,
                ignore_case: true,
            }),
        }
    }
}

/// The longest runs of characters that `keep` accepts, each with its place in `text`.
pub(super) fn pieces(text: &str, keep: impl Fn(char) -> bool) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), '\0')]) {
        let inside = at < text.len() && keep(c);
        match (inside, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.extend(text.get(from..at).map(|piece| (from, piece)));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// Whether the first character is part of a token.
pub(super) fn begins_with_token(text: &str) -> bool {
    text.chars().next().is_some_and(char::is_alphanumeric)
}

/// Whether the last character is part of a token.
pub(super) fn ends_with_token(text: &str) -> bool {
    text.chars().next_back().is_some_and(char::is_alphanumeric)
}

fn fits(line: &[u8], hit: Range<usize>, starts_token: bool, ends_token: bool) -> bool {
    (!starts_token || token::is_boundary(line, hit.start))
        && (!ends_token || token::is_boundary(line, hit.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_whole_tokens_regardless_of_case() {
        for (text, line, expected) in [
            ("pay", "pay now", true),
            ("pay", "PAY", true),
            ("pay", "repay", false),
            ("pay", "payment", false),
            ("pay", "payment pay", true),
            ("pay", "pre-pay_x", true),
            ("payment declined", "x: Payment Declined!", true),
            ("payment declined", "payment  declined", false),
            ("(x", "f(x)", true),
            ("(x", "f(xy)", false),
            ("=", "a=b", true),
            ("über", "ÜBER alles", true),
            ("über", "grüber", false),
            ("ber", "über", false),
            ("k", "\u{212a}", true),
            ("a", "caf\u{e9}a", false),
            ("支付", "微信支付失败", true),
        ] {
            assert_eq!(TextTest::words(text).is_match(line.as_bytes()), expected, "{text} in {line}");
        }
        assert!(TextTest::words("caf").is_match(b"caf\xe9"), "a broken byte is no letter");
        assert!(TextTest::words("a").is_match("\u{2014}a\u{2014}".as_bytes()), "a dash is no letter");
    }

    #[test]
    fn a_prefix_begins_a_token() {
        assert!(TextTest::prefix("pay").is_match(b"the PAYMENT"));
        assert!(!TextTest::prefix("pay").is_match(b"repayment"));
    }

    #[test]
    fn bad_and_huge_patterns_are_refused() {
        assert!(TextTest::regex("(").is_err());
        assert!(TextTest::regex(r"\w{1000}{1000}").is_err());
    }
}
