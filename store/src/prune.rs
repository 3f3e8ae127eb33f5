//! What a query requires of a line, as far as the block index can tell.
//!
//! A [`Prune`] may keep blocks that hold no match; it must never drop one that does. The query engine
//! verifies every line it decodes.

/// A condition that every matching record fulfils.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prune {
    /// Nothing is known: every block may hold a match.
    Any,
    /// The line, or one of its pairs' values, holds this text.
    Text(Text),
    /// A pair with this name has exactly this value.
    Pair {
        /// Name of the pair.
        name: String,
        /// Its whole value.
        value: String,
    },
    /// All hold.
    And(Vec<Self>),
    /// At least one holds; empty means no record can match.
    Or(Vec<Self>),
}

/// A piece of text that occurs in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The bytes looked for.
    pub bytes: Vec<u8>,
    /// The first byte is known to begin a token: it is preceded by the line's start or a byte that is
    /// not part of a token. Without it, the text may start inside a longer token.
    pub starts_token: bool,
    /// The same for the last byte and the end of a token.
    pub ends_token: bool,
    /// Letters match regardless of case.
    pub ignore_case: bool,
}

impl Text {
    /// Text that may start and end anywhere, as a substring search has it.
    #[must_use]
    pub fn substring(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), starts_token: false, ends_token: false, ignore_case: false }
    }
}
