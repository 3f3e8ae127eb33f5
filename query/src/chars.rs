//! A place in a text that is read character by character: what the hand-written parsers stand on.

/// A text and a place in it, always at a character's first byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chars<'a> {
    pub(crate) text: &'a str,
    /// Byte offset of the next character.
    pub(crate) at: usize,
}

impl<'a> Chars<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What was read from byte `start` on.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Steps over the next character.
    pub(crate) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }
}
