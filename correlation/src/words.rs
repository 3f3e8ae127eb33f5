//! The texts of a line in one piece of memory: a line in a trace that waits costs one allocation.

/// Path, operation, logger, id, first line of the message, its further lines, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    text: Box<str>,
    /// Where each of them ends, but the last.
    ends: [u16; PARTS - 1],
}

/// The texts, each cut to what is kept of it; empty for none. Together they are shorter than 64 KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Texts<'a> {
    pub(crate) path: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) logger: &'a str,
    pub(crate) id: &'a str,
    pub(crate) message: &'a str,
    pub(crate) rest: &'a str,
}

const PARTS: usize = 6;

impl Words {
    pub(crate) fn new(texts: &Texts<'_>) -> Self {
        let parts = [texts.path, texts.operation, texts.logger, texts.id, texts.message, texts.rest];
        let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        let mut ends = [0; PARTS - 1];
        for (place, part) in parts.into_iter().enumerate() {
            text.push_str(part);
            if let Some(end) = ends.get_mut(place) {
                *end = u16::try_from(text.len()).expect("BUG: the texts of a line are not cut");
            }
        }
        Self { text: text.into_boxed_str(), ends }
    }

    fn part(&self, place: usize) -> &str {
        let end = |place: usize| self.ends.get(place).map_or(self.text.len(), |end| usize::from(*end));
        let start = place.checked_sub(1).map_or(0, end);
        self.text.get(start..end(place)).unwrap_or_default()
    }

    /// Of the request, without query.
    pub(crate) fn path(&self) -> &str {
        self.part(0)
    }

    pub(crate) fn operation(&self) -> Option<&str> {
        Some(self.part(1)).filter(|text| !text.is_empty())
    }

    pub(crate) fn logger(&self) -> Option<&str> {
        Some(self.part(2)).filter(|text| !text.is_empty())
    }

    /// The id as logged that is no trace id.
    pub(crate) fn id(&self) -> Option<&str> {
        Some(self.part(3)).filter(|text| !text.is_empty())
    }

    /// First line of the message, never empty unless the line is.
    pub(crate) fn message(&self) -> &str {
        self.part(4)
    }

    /// Further lines.
    pub(crate) fn rest(&self) -> Option<&str> {
        Some(self.part(5)).filter(|text| !text.is_empty())
    }

    /// Bytes of all texts.
    pub(crate) const fn bytes(&self) -> usize {
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_apart() {
        let words = Words::new(&Texts { path: "/ä", id: "r-1", message: "begun", ..Texts::default() });
        assert_eq!((words.path(), words.operation(), words.logger()), ("/ä", None, None));
        assert_eq!((words.id(), words.message(), words.rest()), (Some("r-1"), "begun", None));
        assert_eq!(Words::new(&Texts { rest: "at", ..Texts::default() }).rest(), Some("at"));
        assert_eq!(Words::default().message(), "");
    }
}
