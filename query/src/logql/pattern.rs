//! Patterns: literals and captures, `<ip> - - [<_>] "<method> <path> <_>"`.

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    /// `None` for `<_>`.
    Capture(Option<String>),
}

/// A compiled pattern; captures are never neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

/// Splits at `<name>`; anything else is literal.
fn split(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let capture = rest.strip_prefix('<').and_then(|body| {
            let (name, after) = body.split_once('>')?;
            let starts_well = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
            let valid = starts_well && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            valid.then_some((name, after))
        });
        match capture {
            Some((name, after)) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Capture((name != "_").then(|| name.to_owned())));
                rest = after;
            }
            None => {
                literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    pieces
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let pieces = split(text);
        let name = |piece: &Piece| match piece {
            Piece::Capture(name) => Some(format!("<{}>", name.as_deref().unwrap_or("_"))),
            Piece::Literal(_) => None,
        };
        for pair in pieces.windows(2) {
            if let (Some(a), Some(b)) = (name(&pair[0]), name(&pair[1])) {
                return Err(format!("found consecutive capture '{a}' and '{b}'"));
            }
        }
        Ok(Self { pieces })
    }

    /// For `| pattern`: at least one named capture, no name twice.
    pub(crate) fn parser(text: &str) -> Result<Self, String> {
        let pattern = Self::new(text)?;
        let names: Vec<&str> = pattern.names().collect();
        if names.is_empty() {
            return Err("at least one capture is required".to_owned());
        }
        if let Some((i, name)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            let _ = i;
            return Err(format!("duplicate capture name ({name})"));
        }
        Ok(pattern)
    }

    /// For `|>`: no named captures.
    pub(crate) fn line_filter(text: &str) -> Result<Self, String> {
        let pattern = Self::new(text)?;
        if pattern.names().next().is_some() {
            return Err("named captures are not allowed".to_owned());
        }
        Ok(pattern)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Capture(Some(name)) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The literal texts that every matching line holds.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_slice()),
            Piece::Capture(_) => None,
        })
    }

    /// Whether the whole line is the pattern, each capture standing for at least one byte.
    pub(crate) fn is_match(&self, line: &[u8]) -> bool {
        if line.is_empty() || self.pieces.is_empty() {
            return line.is_empty() && self.pieces.is_empty();
        }
        let mut rest = line;
        for (i, piece) in self.pieces.iter().enumerate() {
            let Piece::Literal(literal) = piece else { continue };
            let Some(at) = memchr::memmem::find(rest, literal) else { return false };
            if (at == 0) != (i == 0) {
                return false; // text before the first literal, or nothing for a capture
            }
            rest = rest.get(at + literal.len()..).unwrap_or_default();
        }
        let ends_in_capture = matches!(self.pieces.last(), Some(Piece::Capture(_)));
        ends_in_capture != rest.is_empty()
    }

    /// The named captures in `line`, as far as it follows the pattern.
    pub(crate) fn captures<'a>(&'a self, line: &'a [u8], mut found: impl FnMut(&'a str, &'a [u8])) {
        let mut pieces = self.pieces.as_slice();
        let mut rest = line;
        if let [Piece::Literal(literal), tail @ ..] = pieces {
            let Some(after) = rest.strip_prefix(literal.as_slice()) else { return };
            rest = after;
            pieces = tail;
        }
        if line.is_empty() {
            return;
        }
        while let [Piece::Capture(name), tail @ ..] = pieces {
            let mut give = |value: &'a [u8]| {
                if let Some(name) = name {
                    found(name, value);
                }
            };
            let Some((Piece::Literal(literal), tail)) = tail.split_first() else { return give(rest) };
            let Some(at) = memchr::memmem::find(rest, literal) else { return give(rest) };
            give(rest.get(..at).unwrap_or_default());
            rest = rest.get(at + literal.len()..).unwrap_or_default();
            pieces = tail;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures(pattern: &str, line: &str) -> Vec<(String, String)> {
        let pattern = Pattern::parser(pattern).unwrap();
        let mut found = Vec::new();
        pattern.captures(line.as_bytes(), |n, v| {
            found.push((n.to_owned(), String::from_utf8_lossy(v).into_owned()))
        });
        found
    }

    #[test]
    fn captures_what_lies_between_literals() {
        assert_eq!(
            captures("<ip> - <_> \"<method> <path>\"", "1.2.3.4 - x \"GET /a\""),
            [("ip", "1.2.3.4"), ("method", "GET"), ("path", "/a")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        // a missing literal ends the match with the rest of the line
        assert_eq!(captures("<a> b <c>", "xyz"), [("a".to_owned(), "xyz".to_owned())]);
        assert_eq!(captures("foo <f>\"", "bar"), []);
        assert_eq!(captures("<a>", ""), []);
    }

    #[test]
    fn refuses_useless_patterns() {
        for bad in ["", "foo", "<_>", "<a><b>", "<a> <a>"] {
            assert!(Pattern::parser(bad).is_err(), "{bad}");
        }
        assert!(Pattern::line_filter("<a> x").is_err());
    }

    #[test]
    fn filters_whole_lines() {
        for (pattern, line, matches) in [
            ("GET <_> 200", "GET /api 200", true),
            ("GET <_> 200", "POST /api 200", false),
            ("GET /api", "GET /api 200", false),
            ("<_> x <_>", "a x b", true),
            ("<_> x <_>", " x b", false),
            ("level=error <_>", "level=error ", false),
            ("", "", true),
            ("", "a", false),
            ("GET <_>", "a GET b", false),
        ] {
            assert_eq!(
                Pattern::line_filter(pattern).unwrap().is_match(line.as_bytes()),
                matches,
                "{pattern} on {line}"
            );
        }
    }
}
