//! Go's syntax rewritten into the `regex` crate's.

use crate::chars::Chars;

/// Go's largest repetition count.
const MAX_REPEAT: u32 = 1000;

fn error(what: &str, part: &str) -> String {
    format!("error parsing regexp: {what}: `{part}`")
}

/// What the previous item allows.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    /// Start of an expression, group or alternative: nothing to repeat.
    Nothing,
    /// Something that can be repeated.
    Item,
    /// A repetition, which cannot be repeated again.
    Repetition,
}

struct Translator<'a> {
    chars: Chars<'a>,
    out: String,
    last: Last,
    /// Open groups.
    depth: usize,
}

/// Rewrites Go's syntax into the `regex` crate's.
pub(crate) fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        chars: Chars::new(pattern),
        out: String::with_capacity(pattern.len() + 8),
        last: Last::Nothing,
        depth: 0,
    };
    while let Some(c) = translator.chars.peek() {
        translator.item(c)?;
    }
    if translator.depth > 0 {
        return Err(error("missing closing )", pattern));
    }
    Ok(translator.out)
}

impl Translator<'_> {
    fn literal(&mut self, c: char) {
        self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        self.last = Last::Item;
    }

    fn item(&mut self, c: char) -> Result<(), String> {
        match c {
            '\\' => return self.escape(),
            '[' => return self.class(),
            '(' => return self.group(),
            ')' => {
                if self.depth == 0 {
                    return Err(error("unexpected )", self.chars.text));
                }
                self.depth -= 1;
                self.out.push(')');
                self.last = Last::Item;
            }
            '|' => {
                self.out.push('|');
                self.last = Last::Nothing;
            }
            '*' | '+' | '?' => {
                self.chars.bump();
                return self.repetition(&c.to_string());
            }
            '{' => {
                if let Some(count) = self.count()? {
                    self.chars.at += count.len();
                    return self.repetition(&count);
                }
                self.literal('{');
            }
            '.' | '^' | '$' => {
                self.out.push(c);
                self.last = Last::Item;
            }
            c => self.literal(c),
        }
        self.chars.bump();
        Ok(())
    }

    fn repetition(&mut self, op: &str) -> Result<(), String> {
        match self.last {
            Last::Nothing => return Err(error("missing argument to repetition operator", op)),
            Last::Repetition => return Err(error("invalid nested repetition operator", op)),
            Last::Item => {}
        }
        self.out.push_str(op);
        if self.chars.peek() == Some('?') {
            self.chars.bump();
            self.out.push('?');
        }
        self.last = Last::Repetition;
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,5}` at the present place, or nothing.
    fn count(&self) -> Result<Option<String>, String> {
        let Some(end) = self.chars.rest().find('}') else { return Ok(None) };
        let Some(inner) = self.chars.rest().get(1..end) else { return Ok(None) };
        let (min, max) = inner.split_once(',').unwrap_or((inner, inner));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(min) || !(digits(max) || max.is_empty()) || (max.is_empty() && !inner.contains(',')) {
            return Ok(None);
        }
        let text = format!("{{{inner}}}");
        let min: u32 = min.parse().unwrap_or(u32::MAX);
        let max: u32 = if max.is_empty() { min } else { max.parse().unwrap_or(u32::MAX) };
        if min > MAX_REPEAT || max > MAX_REPEAT || min > max {
            return Err(error("invalid repeat count", &text));
        }
        Ok(Some(text))
    }

    fn group(&mut self) -> Result<(), String> {
        self.chars.bump();
        self.depth += 1;
        self.last = Last::Nothing;
        let Some(head) = self.chars.rest().strip_prefix('?') else {
            self.out.push('(');
            return Ok(());
        };
        let named = head.strip_prefix("P<").or_else(|| head.strip_prefix('<'));
        if let Some(named) = named {
            let Some(end) = named.find('>') else {
                return Err(error("invalid named capture", self.chars.rest()));
            };
            let name = named.get(..end).unwrap_or_default();
            let valid = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_alphanumeric());
            if !valid {
                return Err(error("invalid named capture", &format!("(?P<{name}>")));
            }
            self.chars.at += self.chars.rest().len() - named.len() + end + 1;
            // The crate wants names to begin with a letter; Go does not.
            let prefix = if name.starts_with(|c: char| c.is_numeric()) { "_" } else { "" };
            self.out.push_str(&format!("(?P<{prefix}{name}>"));
            return Ok(());
        }
        let end = head.find([':', ')']).ok_or_else(|| error("missing closing )", self.chars.text))?;
        let flags = head.get(..end).unwrap_or_default();
        let negated = flags.matches('-').count();
        let known = flags.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-'));
        if !known || negated > 1 || flags.ends_with('-') {
            return Err(error("invalid or unsupported Perl syntax", &format!("(?{flags}")));
        }
        self.chars.at += 1 + end + 1;
        if head.get(end..).is_some_and(|tail| tail.starts_with(')')) {
            self.depth -= 1;
            if !flags.is_empty() {
                self.out.push_str(&format!("(?{flags})"));
            }
            return Ok(());
        }
        self.out.push_str(&format!("(?{flags}:"));
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        self.chars.bump();
        let Some(c) = self.chars.bump() else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".to_owned());
        };
        self.last = Last::Item;
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[\t\n\f\r ]"),
            'S' => self.out.push_str(r"[^\t\n\f\r ]"),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' => self.out.push_str(r"(?-u:\B)"),
            'A' | 'z' => self.out.push_str(&format!("\\{c}")),
            'Q' => {
                let end = self.chars.rest().find("\\E");
                let quoted =
                    end.map_or(self.chars.rest(), |end| self.chars.rest().get(..end).unwrap_or_default());
                for c in quoted.chars() {
                    self.literal(c);
                }
                self.chars.at += quoted.len() + if end.is_some() { 2 } else { 0 };
            }
            'p' | 'P' => self.unicode_class(c)?,
            c => {
                let value = self.character_escape(c)?;
                self.literal(value);
            }
        }
        Ok(())
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`
    fn unicode_class(&mut self, kind: char) -> Result<(), String> {
        let invalid = |name: &str| error("invalid character class range", &format!("\\{kind}{name}"));
        let (name, length) = match self.chars.rest().strip_prefix('{') {
            Some(body) => {
                let end = body.find('}').ok_or_else(|| invalid(self.chars.rest()))?;
                (body.get(..end).unwrap_or_default(), end + 2)
            }
            None => {
                let c = self.chars.peek().ok_or_else(|| invalid(""))?;
                (self.chars.rest().get(..c.len_utf8()).unwrap_or_default(), c.len_utf8())
            }
        };
        let (negated, plain) = match name.strip_prefix('^') {
            Some(plain) => (kind == 'p', plain),
            None => (kind == 'P', name),
        };
        let simple = !plain.is_empty() && plain.chars().all(|c| c == '_' || c.is_ascii_alphabetic());
        if !simple {
            return Err(invalid(name));
        }
        self.out.push_str(&format!("\\{}{{{plain}}}", if negated { 'P' } else { 'p' }));
        self.chars.at += length;
        Ok(())
    }

    /// The character that `\c` means, `c` and the backslash having been read.
    fn character_escape(&mut self, c: char) -> Result<char, String> {
        let simple = match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => return self.hex_escape(),
            '0'..='7' => return self.octal_escape(c),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            c => return Err(error("invalid escape sequence", &format!("\\{c}"))),
        };
        Ok(simple)
    }

    fn octal_escape(&mut self, first: char) -> Result<char, String> {
        let next_is_octal = self.chars.peek().is_some_and(|c| c.is_digit(8));
        if first != '0' && !next_is_octal {
            return Err(error("invalid escape sequence", &format!("\\{first}")));
        }
        let mut value = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(8)) else { break };
            value = value * 8 + digit;
            self.chars.bump();
        }
        char::from_u32(value).ok_or_else(|| error("invalid escape sequence", self.chars.text))
    }

    fn hex_escape(&mut self) -> Result<char, String> {
        let invalid = || error("invalid escape sequence", "\\x");
        let digits = match self.chars.rest().strip_prefix('{') {
            Some(body) => {
                let end = body.find('}').ok_or_else(invalid)?;
                self.chars.at += end + 2;
                body.get(..end).unwrap_or_default()
            }
            None => {
                let digits = self.chars.rest().get(..2).ok_or_else(invalid)?;
                self.chars.at += 2;
                digits
            }
        };
        u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).ok_or_else(invalid)
    }

    /// `[…]`
    fn class(&mut self) -> Result<(), String> {
        let missing = || error("missing closing ]", self.chars.text);
        let start = self.chars.at;
        self.chars.bump();
        self.out.push('[');
        if self.chars.peek() == Some('^') {
            self.chars.bump();
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let c = self.chars.peek().ok_or_else(missing)?;
            if c == ']' && !first {
                self.chars.bump();
                break;
            }
            first = false;
            if let Some(name) = self.posix_class()? {
                self.out.push_str(&name);
                continue;
            }
            if c == '\\' && self.perl_class()? {
                continue;
            }
            self.class_range(start)?;
        }
        self.out.push(']');
        self.last = Last::Item;
        Ok(())
    }

    /// `[:alpha:]` within a class.
    fn posix_class(&mut self) -> Result<Option<String>, String> {
        let Some(body) = self.chars.rest().strip_prefix("[:") else { return Ok(None) };
        let Some(end) = body.find(":]") else { return Ok(None) };
        let name = body.get(..end).unwrap_or_default();
        let known = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
            "space", "upper", "word", "xdigit",
        ];
        let written = format!("[:{name}:]");
        if !known.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(error("invalid character class range", &written));
        }
        self.chars.at += written.len();
        Ok(Some(written))
    }

    /// `\d` and its kin within a class; false when the escape is a character.
    fn perl_class(&mut self) -> Result<bool, String> {
        let kind = self.chars.rest().chars().nth(1);
        let class = match kind {
            Some('d') => "0-9",
            Some('D') => "[^0-9]",
            Some('w') => "0-9A-Za-z_",
            Some('W') => "[^0-9A-Za-z_]",
            Some('s') => r"\t\n\f\r\x20",
            Some('S') => r"[^\t\n\f\r\x20]",
            Some(kind @ ('p' | 'P')) => {
                self.chars.at += 2;
                self.unicode_class(kind)?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.chars.at += 2;
        self.out.push_str(class);
        Ok(true)
    }

    fn class_range(&mut self, start: usize) -> Result<(), String> {
        let low = self.class_character()?;
        let mut high = low;
        let mut after = self.chars.rest().chars();
        if after.next() == Some('-') && after.next().is_some_and(|c| c != ']') {
            self.chars.bump();
            high = self.class_character()?;
        }
        if high < low {
            let part = self.chars.since(start);
            return Err(error("invalid character class range", part));
        }
        self.out.push_str(&format!("\\x{{{:x}}}", low as u32));
        if high != low {
            self.out.push_str(&format!("-\\x{{{:x}}}", high as u32));
        }
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, String> {
        let missing = || error("missing closing ]", self.chars.text);
        match self.chars.bump().ok_or_else(missing)? {
            '\\' => {
                let c = self.chars.bump().ok_or_else(missing)?;
                self.character_escape(c)
            }
            c => Ok(c),
        }
    }
}
