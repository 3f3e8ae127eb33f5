//! `field:` tests. A record's value of a field is the first of: the stream label, the pair, the field of
//! the line (JSON and logfmt by dotted path) with that name.
//!
//! Labels and pairs are compared as a whole, fields of lines by words; both regardless of case. A value in a
//! line must also stand there as written, so that the block index can look for it: a line that spells plain
//! letters as `\u0061` is not found by them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regex::{Regex, RegexBuilder};
use store::{Labels, Prune};

use super::Row;
use super::compare::{self, Bound};
use super::text::{self, TextTest};

/// Short names of stream labels that people write.
pub(crate) const ALIASES: [(&str, &str); 2] = [("service", "service_name"), ("project", "compose_project")];

/// A test of one field.
#[derive(Clone, Debug)]
pub struct FieldTest {
    /// Name as written.
    pub name: String,
    /// Where the name stands in the query, in bytes.
    pub position: usize,
    /// What is asked of its value.
    pub test: ValueTest,
    /// Whether some record looked at had the field at all; tells an unknown field from an unmatched one.
    pub seen: Arc<AtomicBool>,
}

/// A test of a value.
#[derive(Clone, Debug)]
pub enum ValueTest {
    /// There is a value.
    Exists,
    /// It is this text; in a line, it holds this text as whole words.
    Equals(Spelling),
    /// It begins with this text; in a line, one of its words does.
    Prefix(Spelling),
    /// It matches this pattern somewhere.
    Regex(TextTest),
    /// It lies between these bounds.
    Range(Bound, Bound),
}

/// A text to compare values with.
#[derive(Clone, Debug)]
pub struct Spelling {
    text: String,
    whole: Regex,
    words: TextTest,
    /// What the line must hold however its value is escaped.
    as_written: Vec<TextTest>,
}

impl FieldTest {
    /// A test of the field `name`, written at byte `position` of the query.
    #[must_use]
    pub fn new(name: impl Into<String>, position: usize, test: ValueTest) -> Self {
        Self { name: name.into(), position, test, seen: Arc::default() }
    }

    /// Whether the record passes.
    #[must_use]
    pub fn is_match(&self, row: &Row<'_>) -> bool {
        if let Some(decided) = self.decide(row.labels) {
            return decided;
        }
        if let Some(value) = row.pair(&self.name) {
            self.seen.store(true, Ordering::Relaxed);
            return self.test.is_match_whole(value);
        }
        if !self.test.may_stand_in(row.line) {
            return false;
        }
        match store::fields::get(row.line, &self.name) {
            Some(value) => {
                self.seen.store(true, Ordering::Relaxed);
                self.test.is_match_in_line(&value)
            }
            None => false,
        }
    }

    /// The answer for all records of a stream that has a label of this name.
    #[must_use]
    pub fn decide(&self, labels: &Labels) -> Option<bool> {
        let value = in_labels(labels, &self.name)?;
        self.seen.store(true, Ordering::Relaxed);
        Some(self.test.is_match_whole(value))
    }

    /// What every passing record of a stream without such a label fulfils.
    #[must_use]
    pub fn prune(&self) -> Prune {
        match &self.test {
            ValueTest::Exists | ValueTest::Regex(_) | ValueTest::Range(..) => Prune::Any,
            ValueTest::Equals(spelling) | ValueTest::Prefix(spelling) => {
                let parts: Vec<Prune> =
                    spelling.as_written.iter().map(TextTest::prune).filter(|p| *p != Prune::Any).collect();
                if parts.is_empty() { Prune::Any } else { Prune::And(parts) }
            }
        }
    }
}

/// The value of the stream label `name`, which may be one of the short names.
#[must_use]
pub fn in_labels<'a>(labels: &'a Labels, name: &str) -> Option<&'a str> {
    let alias = || ALIASES.iter().find(|(short, _)| *short == name).map(|(_, long)| *long);
    labels.get(name).or_else(|| labels.get(alias()?))
}

/// A record's value of the field `name`: of its label, its pair or its line, the first that there is.
#[must_use]
pub fn value_of<'a>(row: &Row<'a>, name: &str) -> Option<Cow<'a, str>> {
    let known = in_labels(row.labels, name).or_else(|| row.pair(name));
    known.map(Cow::Borrowed).or_else(|| store::fields::get(row.line, name).map(Cow::Owned))
}

impl ValueTest {
    /// [`ValueTest::Equals`] this text.
    ///
    /// # Panics
    /// Never, as [`TextTest::literal`].
    #[must_use]
    pub fn equals(text: &str) -> Self {
        let whole = format!("^(?:{})$", regex::escape(text));
        Self::Equals(Spelling::new(text, &whole, TextTest::words(text), text::ends_with_token(text)))
    }

    /// [`ValueTest::Prefix`] of this text.
    ///
    /// # Panics
    /// Never, as [`TextTest::literal`].
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        let whole = format!("^(?:{})", regex::escape(text));
        Self::Prefix(Spelling::new(text, &whole, TextTest::prefix(text), false))
    }

    /// Whether a label's or pair's value passes.
    #[must_use]
    pub fn is_match_whole(&self, value: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(spelling) | Self::Prefix(spelling) => spelling.whole.is_match(value),
            Self::Regex(test) => test.is_match(value.as_bytes()),
            Self::Range(lower, upper) => compare::within(value, lower, upper),
        }
    }

    /// Whether the value of a line's field passes.
    fn is_match_in_line(&self, value: &str) -> bool {
        match self {
            Self::Equals(spelling) if spelling.text.is_empty() => value.is_empty(),
            Self::Equals(spelling) | Self::Prefix(spelling) => spelling.words.is_match(value.as_bytes()),
            Self::Exists | Self::Regex(_) | Self::Range(..) => self.is_match_whole(value),
        }
    }

    /// Whether the line holds what a passing value must show as written.
    fn may_stand_in(&self, line: &[u8]) -> bool {
        match self {
            Self::Equals(spelling) | Self::Prefix(spelling) => {
                spelling.as_written.iter().all(|piece| piece.is_match(line))
            }
            Self::Exists | Self::Regex(_) | Self::Range(..) => true,
        }
    }
}

impl Spelling {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn new(text: &str, whole: &str, words: TextTest, ends_token: bool) -> Self {
        let whole = RegexBuilder::new(whole)
            .case_insensitive(true)
            .size_limit(usize::MAX)
            .build()
            .expect("BUG: an escaped literal is a valid pattern");
        let mut as_written = Vec::new();
        for (at, piece) in text::pieces(text, never_escaped) {
            // After an escape such as `\n` or `\u003c`, a letter of the escape touches the piece.
            let starts = at == 0 && text::begins_with_token(piece);
            let ends = if at + piece.len() == text.len() {
                ends_token
            } else {
                text::ends_with_token(piece)
                    && !text.get(at + piece.len()..).is_some_and(text::begins_with_token)
            };
            as_written.push(TextTest::literal(piece, starts, ends));
        }
        Self { text: text.to_owned(), whole, words, as_written }
    }
}

/// Characters that JSON and logfmt writers leave as they are. Others (`"`, `\`, `/`, `<`, `=`, é, ...) some
/// writer escapes.
const fn never_escaped(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(
            c,
            ' ' | '-' | '_' | '.' | ':' | ',' | ';' | '@' | '#' | '(' | ')' | '[' | ']' | '*' | '~' | '!'
        )
}
