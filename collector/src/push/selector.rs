//! The labels of a stream as Loki writes them: `{app="shop", env="prod"}`.

/// Names and values in their order; the reason, with its place, where the text is none.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut parser = Parser { text, at: 0 };
    parser.expect('{')?;
    let mut labels = Vec::new();
    parser.skip_space();
    while parser.peek() != Some('}') {
        labels.push(parser.pair()?);
        parser.skip_space();
        match parser.peek() {
            Some(',') => parser.at += 1,
            Some('}') => break,
            _ => return Err(parser.unexpected("`,` or `}`")),
        }
        parser.skip_space();
    }
    parser.at += 1;
    parser.skip_space();
    if parser.peek().is_some() {
        return Err(parser.unexpected("the end"));
    }
    Ok(labels)
}

struct Parser<'a> {
    text: &'a str,
    /// Always at a character's first byte.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        self.skip_space();
        if self.peek() != Some(wanted) {
            return Err(self.unexpected(&format!("`{wanted}`")));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn unexpected(&self, wanted: &str) -> String {
        let found = self.peek().map_or_else(|| "the end".to_owned(), |c| format!("`{c}`"));
        format!("col {}: expected {wanted}, found {found}", self.at + 1)
    }

    fn pair(&mut self) -> Result<(String, String), String> {
        let name: &str = self.rest();
        let length = name.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name.len());
        let name = name.get(..length).unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(self.unexpected("the name of a label"));
        }
        self.at += length;
        self.expect('=')?;
        self.skip_space();
        Ok((name, self.value()?))
    }

    fn value(&mut self) -> Result<String, String> {
        let quote = self.peek();
        if !matches!(quote, Some('"' | '`')) {
            return Err(self.unexpected("`\"`"));
        }
        self.at += 1;
        if quote == Some('`') {
            let end = self.rest().find('`').ok_or_else(|| self.unexpected("a closing backtick"))?;
            let value = self.rest().get(..end).unwrap_or_default().to_owned();
            self.at += end + 1;
            return Ok(value);
        }
        self.quoted()
    }

    /// The rest of a string with Go's escapes.
    fn quoted(&mut self) -> Result<String, String> {
        let mut value = Vec::new();
        loop {
            let c = self.peek().filter(|c| *c != '\n').ok_or_else(|| self.unexpected("a closing `\"`"))?;
            self.at += c.len_utf8();
            match c {
                '"' => break,
                '\\' => self.escape(&mut value)?,
                c => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        // `\x` escapes may make bytes that are no text; a label is text.
        Ok(String::from_utf8(value).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    fn escape(&mut self, value: &mut Vec<u8>) -> Result<(), String> {
        let c = self.peek().ok_or_else(|| self.unexpected("an escape"))?;
        let simple = match c {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            'a' => 0x07,
            'b' => 0x08,
            'f' => 0x0c,
            'v' => 0x0b,
            '\\' | '"' | '\'' => c as u8,
            'x' => return self.number(1, 2, 16, value),
            'u' => return self.number(1, 4, 16, value),
            'U' => return self.number(1, 8, 16, value),
            '0'..='7' => return self.number(0, 3, 8, value),
            _ => return Err(self.unexpected("an escape")),
        };
        self.at += 1;
        value.push(simple);
        Ok(())
    }

    /// `\x41` and `\101` are bytes, `\u00e9` and `\U0001f600` characters.
    fn number(&mut self, skip: usize, digits: usize, radix: u32, value: &mut Vec<u8>) -> Result<(), String> {
        let number = self
            .rest()
            .get(skip..skip + digits)
            .filter(|text| text.bytes().all(|b| b.is_ascii_alphanumeric()))
            .and_then(|text| u32::from_str_radix(text, radix).ok())
            .ok_or_else(|| self.unexpected("an escape"))?;
        if digits <= 3 {
            value.push(u8::try_from(number).map_err(|_| self.unexpected("an escape"))?);
        } else {
            let c = char::from_u32(number).ok_or_else(|| self.unexpected("an escape"))?;
            value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.at += skip + digits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_are_read_with_their_escapes() {
        for (text, expected) in [
            ("{}", vec![]),
            (r#"{a="b"}"#, vec![("a", "b")]),
            (r#" { a = "b" , c="d",} "#, vec![("a", "b"), ("c", "d")]),
            (r#"{a="x\"\\\n\t\x41\101\u00e9\U0001f600"}"#, vec![("a", "x\"\\\n\tAAé😀")]),
            (r"{a=`raw\n`}", vec![("a", r"raw\n")]),
            (r#"{a=""}"#, vec![("a", "")]),
            (r#"{a="é}"}"#, vec![("a", "é}")]),
        ] {
            let expected: Vec<_> =
                expected.into_iter().map(|(n, v): (&str, &str)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_label_set_is_refused_with_its_place() {
        for (text, place) in [
            ("", 1),
            ("a", 1),
            ("{", 2),
            (r#"{a="b""#, 7),
            (r#"{a="b"} x"#, 9),
            (r#"{a!="b"}"#, 3),
            (r#"{="b"}"#, 2),
            (r"{a='b'}", 4),
            (r#"{a="b" c="d"}"#, 8),
            (r#"{a="\q"}"#, 6),
            (r#"{a="\400"}"#, 6),
            ("{a=\"b\n\"}", 6),
            ("{a=`b}", 5),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("col {place}:")), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_with_escapes_reads_back(pairs in proptest::collection::vec(("[a-z_]{1,6}", ".{0,10}"), 0..5)) {
            let text: Vec<String> = pairs
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
                .collect();
            prop_assert_eq!(parse(&format!("{{{}}}", text.join(","))), Ok(pairs));
        }

        #[test]
        fn any_text_is_survived(text in "[{}a=\"\\\\`,xuU0-9é\n ]{0,30}") {
            let (Ok(_) | Err(_)) = parse(&text);
        }
    }
}
