//! Text to tokens.
//!
//! Words are keywords whatever their case; a function's name is one only when a `(` follows (or `by (`,
//! `without (`), so that a label may be called `rate`. Positions are lines and columns in characters,
//! both from 1.

use super::ParseError;
use super::units;
use crate::chars::Chars;

/// A place in the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Identifier(String),
    Text(String),
    /// As written: whether it is a number is for the parser to say.
    Number(String),
    /// Nanoseconds.
    Duration(i64),
    Bytes(u64),
    /// `[5m]`, nanoseconds.
    Range(i64),
    /// `--strict`
    Flag(&'static str),
    /// A reserved word, in lower case.
    Keyword(&'static str),
    /// A function's name, in lower case.
    Function(&'static str),
    Symbol(&'static str),
    End,
}

impl Token {
    /// The name in messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Identifier(_) => "IDENTIFIER".to_owned(),
            Self::Text(_) => "STRING".to_owned(),
            Self::Number(_) => "NUMBER".to_owned(),
            Self::Duration(_) => "DURATION".to_owned(),
            Self::Bytes(_) => "BYTES".to_owned(),
            Self::Range(_) => "RANGE".to_owned(),
            Self::Flag(_) => "PARSER_FLAG".to_owned(),
            Self::Keyword(word) | Self::Function(word) | Self::Symbol(word) => (*word).to_owned(),
            Self::End => "$end".to_owned(),
        }
    }
}

const KEYWORDS: [&str; 22] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "and",
    "or",
    "unless",
    "offset",
    "json",
    "logfmt",
    "regexp",
    "pattern",
    "unpack",
    "unwrap",
    "line_format",
    "label_format",
    "decolorize",
    "drop",
    "keep",
];

/// Functions that are neither range nor vector aggregations.
const OTHER_FUNCTIONS: [&str; 6] = ["label_replace", "vector", "ip", "bytes", "duration", "duration_seconds"];

/// Longest first.
const SYMBOLS: [&str; 28] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "{", "}", "(", ")", ",", "=", "|", ">", "<",
    "+", "-", "*", "/", "%", "^", "]", ".", "!",
];

const FLAGS: [&str; 2] = ["--strict", "--keep-empty"];

fn function(word: &str) -> Option<&'static str> {
    let ranges = super::ast::RangeOp::ALL.iter().map(|op| op.name());
    let vectors = super::ast::VectorOp::ALL.iter().map(|op| op.name());
    ranges.chain(vectors).chain(OTHER_FUNCTIONS).find(|name| *name == word)
}

struct Lexer<'a> {
    chars: Chars<'a>,
    position: Position,
}

/// All tokens of `text`; the last one is [`Token::End`].
pub(super) fn tokenize(text: &str) -> Result<Vec<(Token, Position)>, ParseError> {
    let mut lexer = Lexer { chars: Chars::new(text), position: Position { line: 1, column: 1 } };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.position;
        let token = lexer.next_token().map_err(|message| ParseError::at(start, message))?;
        let end = token == Token::End;
        tokens.push((token, start));
        if end {
            return Ok(tokens);
        }
    }
}

impl<'a> Lexer<'a> {
    fn bump(&mut self) -> Option<char> {
        let c = self.chars.bump()?;
        if c == '\n' {
            self.position.line += 1;
            self.position.column = 1;
        } else {
            self.position.column += 1;
        }
        Some(c)
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let start = self.chars.at;
        while self.chars.peek().is_some_and(&accept) {
            self.bump();
        }
        self.chars.since(start)
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if self.chars.peek() != Some('#') {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn next_token(&mut self) -> Result<Token, String> {
        let Some(c) = self.chars.peek() else { return Ok(Token::End) };
        match c {
            '"' => return self.quoted(),
            '`' => return self.raw(),
            '[' => return self.range(),
            '-' => {
                if let Some(token) = self.flag_or_negative_duration() {
                    return Ok(token);
                }
            }
            c if c == '_' || c.is_alphabetic() => return Ok(self.word()),
            c if c.is_ascii_digit() => return Ok(self.number()),
            '.' if self.chars.rest().chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => {
                return Ok(self.number());
            }
            _ => {}
        }
        let Some(symbol) = SYMBOLS.iter().find(|s| self.chars.rest().starts_with(**s)) else {
            return Err(format!("syntax error: unexpected character `{c}`"));
        };
        for _ in 0..symbol.len() {
            self.bump();
        }
        Ok(Token::Symbol(symbol))
    }

    fn word(&mut self) -> Token {
        let word = self.take_while(|c| c == '_' || c.is_alphanumeric());
        let lower = word.to_lowercase();
        if let Some(keyword) = KEYWORDS.iter().find(|k| **k == lower) {
            return Token::Keyword(keyword);
        }
        match function(&lower) {
            Some(name) if self.call_follows() => Token::Function(name),
            _ => Token::Identifier(word.to_owned()),
        }
    }

    /// Whether `(`, `by (` or `without (` comes next.
    fn call_follows(&self) -> bool {
        let rest = self.chars.rest().trim_start();
        if rest.starts_with('(') {
            return true;
        }
        let word_end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        (word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without"))
            && after.trim_start().starts_with('(')
    }

    fn number(&mut self) -> Token {
        let start = self.chars.at;
        if self.chars.rest().starts_with("0x") || self.chars.rest().starts_with("0X") {
            self.bump();
            self.bump();
            self.take_while(|c| c.is_ascii_hexdigit() || c == '_');
        } else {
            self.take_while(|c| c.is_ascii_digit() || c == '_');
            if self.chars.peek() == Some('.') {
                self.bump();
                self.take_while(|c| c.is_ascii_digit() || c == '_');
            }
            self.exponent();
        }
        let number = self.chars.since(start);
        self.with_unit(number).unwrap_or_else(|| Token::Number(number.to_owned()))
    }

    fn exponent(&mut self) {
        let mut chars = self.chars.rest().chars();
        if !matches!(chars.next(), Some('e' | 'E')) {
            return;
        }
        let signed = matches!(chars.clone().next(), Some('+' | '-'));
        if signed {
            chars.next();
        }
        if !chars.next().is_some_and(|c| c.is_ascii_digit()) {
            return;
        }
        self.bump();
        if signed {
            self.bump();
        }
        self.take_while(|c| c.is_ascii_digit());
    }

    /// A duration or a size that begins with `number`, which has been read already.
    fn with_unit(&mut self, number: &str) -> Option<Token> {
        let attempt = |is_unit: fn(char) -> bool, rest: &str| {
            let end = rest.find(|c: char| !(c.is_numeric() || c == '.' || is_unit(c))).unwrap_or(rest.len());
            let tail = rest.get(..end).unwrap_or_default();
            (!tail.is_empty()).then(|| (format!("{number}{tail}"), tail.chars().count()))
        };
        let rest = self.chars.rest();
        let is_duration =
            |c: char| matches!(c, 'n' | 'u' | '\u{b5}' | '\u{3bc}' | 'm' | 's' | 'h' | 'd' | 'w' | 'y');
        let duration = attempt(is_duration, rest)
            .and_then(|(text, chars)| Some((Token::Duration(units::parse_duration(&text).ok()?), chars)));
        let is_size = |c: char| matches!(c, 'B' | 'i' | 'k' | 'K' | 'M' | 'G' | 'T' | 'P' | 'E');
        let (token, chars) = duration.or_else(|| {
            attempt(is_size, rest)
                .and_then(|(text, chars)| Some((Token::Bytes(units::parse_bytes(&text).ok()?), chars)))
        })?;
        for _ in 0..chars {
            self.bump();
        }
        Some(token)
    }

    fn flag_or_negative_duration(&mut self) -> Option<Token> {
        if let Some(flag) = FLAGS.iter().find(|flag| self.chars.rest().starts_with(**flag)) {
            for _ in 0..flag.len() {
                self.bump();
            }
            return Some(Token::Flag(flag));
        }
        let (at, position) = (self.chars.at, self.position);
        self.bump();
        let digits = self.take_while(|c| c.is_ascii_digit() || c == '.');
        if !digits.is_empty()
            && let Some(Token::Duration(ns)) = self.with_unit(digits)
        {
            return Some(Token::Duration(ns.checked_neg()?));
        }
        (self.chars.at, self.position) = (at, position);
        None
    }

    /// `[5m]`
    fn range(&mut self) -> Result<Token, String> {
        self.bump();
        let text = self.take_while(|c| c != ']');
        if self.bump().is_none() {
            return Err("missing closing ']' in duration".to_owned());
        }
        units::parse_prometheus_duration(text).map(Token::Range)
    }

    fn raw(&mut self) -> Result<Token, String> {
        self.bump();
        let text = self.take_while(|c| c != '`');
        match self.bump() {
            Some(_) => Ok(Token::Text(text.to_owned())),
            None => Err("literal not terminated".to_owned()),
        }
    }

    fn quoted(&mut self) -> Result<Token, String> {
        self.bump();
        let start = self.chars.at;
        loop {
            match self.bump() {
                None | Some('\n') => return Err("literal not terminated".to_owned()),
                Some('"') => break,
                Some('\\') => {
                    self.bump();
                }
                Some(_) => {}
            }
        }
        let body = self.chars.text.get(start..self.chars.at - 1).unwrap_or_default();
        unescape(body).map(Token::Text).ok_or_else(|| format!("invalid char escape in \"{body}\""))
    }
}

/// Go's escapes of an interpreted string. Bytes that do not form UTF-8 become U+FFFD.
pub(super) fn unescape(body: &str) -> Option<String> {
    if !body.contains('\\') {
        return Some(body.to_owned());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let kind = chars.next()?;
        let simple = match kind {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' => Some(b'\\'),
            '"' => Some(b'"'),
            _ => None,
        };
        if let Some(byte) = simple {
            out.push(byte);
            continue;
        }
        let (digits, radix) = match kind {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (2, 8),
            _ => return None,
        };
        let mut value = if radix == 8 { kind.to_digit(8)? } else { 0 };
        for _ in 0..digits {
            value = value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
        }
        if matches!(kind, 'u' | 'U') {
            let c = char::from_u32(value)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.push(u8::try_from(value).ok()?);
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Token> {
        tokenize(text).unwrap().into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn functions_need_a_call() {
        assert_eq!(kinds("rate")[0], Token::Identifier("rate".to_owned()));
        assert_eq!(kinds("RATE (")[0], Token::Function("rate"));
        assert_eq!(kinds("sum by (x)")[0], Token::Function("sum"));
        assert_eq!(kinds("sum byte (x)")[0], Token::Identifier("sum".to_owned()));
    }

    #[test]
    fn units_make_literals() {
        assert_eq!(kinds("5m")[0], Token::Duration(300 * units::SECOND));
        assert_eq!(kinds("-1.5h")[0], Token::Duration(-5400 * units::SECOND));
        assert_eq!(kinds("1.5MiB")[0], Token::Bytes(1_572_864));
        assert_eq!(kinds("1e3")[0], Token::Number("1e3".to_owned()));
        assert_eq!(kinds(".5")[0], Token::Number(".5".to_owned()));
        assert_eq!(kinds("0x10")[0], Token::Number("0x10".to_owned()));
        assert_eq!(kinds("- 2")[..2], [Token::Symbol("-"), Token::Number("2".to_owned())]);
    }

    #[test]
    fn strings_have_go_escapes() {
        assert_eq!(kinds(r#""a\t\x41\u00e9\101""#)[0], Token::Text("a\tA\u{e9}A".to_owned()));
        assert_eq!(kinds(r"`a\t`")[0], Token::Text(r"a\t".to_owned()));
        for bad in [r#""\q""#, r#""\'""#, "\"a", "`a", "\"a\nb\"", r#""\uD800""#, "'a'"] {
            assert!(tokenize(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn comments_and_positions() {
        let tokens = tokenize("{ # note\n  a").unwrap();
        assert_eq!(tokens[1].1, Position { line: 2, column: 3 });
    }
}
