//! The lines of a block, in one buffer that can be searched at memory speed.

use std::ops::Range;

/// The lines of a block, in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    bytes: Vec<u8>,
    /// End of each line in `bytes`; each line is followed by one `\n` that is not part of it.
    ends: Vec<u32>,
}

impl Lines {
    pub(crate) fn with_capacity(lines: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes + lines), ends: Vec::with_capacity(lines) }
    }

    /// Appends one line.
    ///
    /// # Panics
    /// When the block outgrows 4 GiB, which the writer's block size rules out.
    #[inline]
    pub fn push(&mut self, line: &[u8]) {
        self.bytes.reserve(line.len() + 1);
        self.bytes.extend_from_slice(line);
        self.end_line();
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Forgets all lines but the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize + 1));
    }

    /// The buffer, to append to the line that [`Lines::end_line`] will end.
    pub(crate) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a part of the line that [`Lines::end_line`] will end.
    pub(crate) fn push_piece(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    #[inline]
    pub(crate) fn end_line(&mut self) {
        self.ends.push(u32::try_from(self.bytes.len()).expect("BUG: a block of over 4 GiB"));
        self.bytes.push(b'\n');
    }

    /// Takes over a buffer in which `\n` occurs only after each line.
    pub(crate) fn from_separated(bytes: Vec<u8>) -> Self {
        let ends = memchr::memchr_iter(b'\n', &bytes).map(|end| end as u32).collect();
        Self { bytes, ends }
    }

    /// Line `i`, without the separator.
    ///
    /// # Panics
    /// When `i` is not less than [`Lines::len`].
    #[must_use]
    #[inline]
    pub fn get(&self, i: usize) -> &[u8] {
        &self.bytes[self.span(i)]
    }

    /// All lines, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            &self.bytes[std::mem::replace(&mut start, end + 1)..end]
        })
    }

    /// Number of lines.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All lines, each followed by `\n`: the buffer to scan for a substring at memory speed. A line may
    /// itself hold `\n`, so a hit counts only when it lies within one line ([`Lines::line_at`]).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of all lines, without the separators.
    #[must_use]
    pub const fn line_bytes(&self) -> usize {
        self.bytes.len() - self.ends.len()
    }

    /// Index of the line that holds byte `offset` of [`Lines::bytes`] (its separator counts as part of it).
    #[must_use]
    pub fn line_at(&self, offset: usize) -> usize {
        self.separated().at(offset)
    }

    /// Byte range of line `i` within [`Lines::bytes`], without the separator.
    ///
    /// # Panics
    /// When `i` is not less than [`Lines::len`].
    #[must_use]
    #[inline]
    pub fn span(&self, i: usize) -> Range<usize> {
        self.separated().span(i)
    }

    #[inline]
    pub(crate) fn separated(&self) -> Separated<'_> {
        Separated { bytes: &self.bytes, ends: &self.ends }
    }

    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<u32>) {
        (self.bytes, self.ends)
    }
}

/// Texts in one buffer, a `\n` after each that is not part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Separated<'a> {
    pub(crate) bytes: &'a [u8],
    /// End of each text in `bytes`.
    pub(crate) ends: &'a [u32],
}

impl<'a> Separated<'a> {
    pub(crate) const fn len(self) -> usize {
        self.ends.len()
    }

    /// Text `i`, which exists.
    pub(crate) fn get(self, i: usize) -> &'a [u8] {
        &self.bytes[self.span(i)]
    }

    /// Number of the text that holds byte `offset`; its separator counts as part of it.
    pub(crate) fn at(self, offset: usize) -> usize {
        self.ends.partition_point(|end| (*end as usize) < offset)
    }

    /// Where text `i` lies, without its separator.
    #[inline]
    pub(crate) fn span(self, i: usize) -> Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize + 1 };
        start..self.ends[i] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_number_and_by_offset() {
        let mut lines = Lines::default();
        for line in [b"one".as_slice(), b"", b"two\nhalves"] {
            lines.push(line);
        }
        assert_eq!(lines.bytes(), b"one\n\ntwo\nhalves\n");
        assert_eq!(lines.iter().collect::<Vec<_>>(), [b"one".as_slice(), b"", b"two\nhalves"]);
        assert_eq!(lines.line_bytes(), 13);
        let at: Vec<_> = (0..lines.bytes().len()).map(|offset| lines.line_at(offset)).collect();
        assert_eq!(at, [0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn a_separated_buffer_is_taken_over() {
        let mut pushed = Lines::default();
        pushed.push(b"a");
        pushed.push(b"");
        assert_eq!(Lines::from_separated(b"a\n\n".to_vec()), pushed);
    }
}
