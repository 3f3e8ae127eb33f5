//! Cuts a query into terms, operators and parentheses. Every token keeps its byte position.
//!
//! A term is everything up to white space or a parenthesis, except within quotes, ranges and regular
//! expressions: `field:"a b"`, `field:[1 TO 5]`, `/a (b|c)/`.

use std::fmt;

use super::Mistake;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    /// Byte position in the query.
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind<'a> {
    Open,
    Close,
    And,
    Or,
    /// `NOT` or `-`
    Not,
    /// `name:(`
    FieldOpen(&'a str),
    Term(&'a str),
}

impl fmt::Display for TokenKind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "(",
            Self::Close => ")",
            Self::And => "AND",
            Self::Or => "OR",
            Self::Not => "NOT",
            Self::FieldOpen(text) | Self::Term(text) => text,
        })
    }
}

pub(super) fn tokens(query: &str) -> Result<Vec<Token<'_>>, Mistake> {
    let mut scanner = Scanner { query, at: 0 };
    let mut found = Vec::new();
    while let Some(token) = scanner.token()? {
        found.push(token);
    }
    Ok(found)
}

struct Scanner<'a> {
    query: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.query.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.bump();
        }
    }

    fn token(&mut self) -> Result<Option<Token<'a>>, Mistake> {
        self.skip_space();
        let at = self.at;
        let Some(c) = self.peek() else { return Ok(None) };
        let kind = match c {
            '(' => self.symbol(TokenKind::Open),
            ')' => self.symbol(TokenKind::Close),
            '-' | '+' => {
                self.bump();
                if self.peek().is_none_or(|next| next.is_whitespace() || next == ')') {
                    return Err(Mistake::new(at, format!("`{c}` stands alone; quote it to search for it")));
                }
                if c == '+' {
                    // Every term is required anyway.
                    return self.token();
                }
                TokenKind::Not
            }
            _ => self.word()?,
        };
        Ok(Some(Token { kind, at }))
    }

    fn symbol(&mut self, kind: TokenKind<'a>) -> TokenKind<'a> {
        self.bump();
        kind
    }

    fn word(&mut self) -> Result<TokenKind<'a>, Mistake> {
        let start = self.at;
        let mut value = start;
        let mut colon = None;
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.bump();
                    self.bump();
                }
                '"' | '\'' if self.at == value => self.quoted(c)?,
                '/' if self.at == value => self.regex(),
                '[' | '{' if self.at == value => self.range()?,
                ':' if colon.is_none() => {
                    colon = Some(self.at);
                    self.bump();
                    self.skip_space();
                    value = self.at;
                    if self.peek() == Some('(') {
                        self.bump();
                        return Ok(TokenKind::FieldOpen(
                            self.query.get(start..colon.unwrap_or(start)).unwrap_or_default(),
                        ));
                    }
                }
                '<' | '>' | '='
                    if colon.is_some() && self.query.get(value..self.at).is_some_and(is_comparison) =>
                {
                    self.bump();
                    self.skip_space();
                }
                '(' | ')' => break,
                c if c.is_whitespace() => {
                    if colon.is_none() || self.query.get(value..self.at) != Some("IN") || !self.set()? {
                        break;
                    }
                }
                _ => {
                    self.bump();
                }
            }
        }
        let text = self.query.get(start..self.at).unwrap_or_default();
        Ok(match text {
            "AND" => TokenKind::And,
            "OR" => TokenKind::Or,
            "NOT" => TokenKind::Not,
            _ => TokenKind::Term(text),
        })
    }

    fn quoted(&mut self, quote: char) -> Result<(), Mistake> {
        let start = self.at;
        self.bump();
        while let Some(c) = self.bump() {
            if c == '\\' {
                self.bump();
            } else if c == quote {
                return Ok(());
            }
        }
        Err(Mistake::new(start, format!("this {quote} is never closed; write \\{quote} to search for it")))
    }

    /// Passes over `/…/` when it is closed and ends the term; else `/` is a character of a word, as in a path.
    fn regex(&mut self) {
        self.bump();
        let after_slash = self.at;
        while let Some(c) = self.bump() {
            match c {
                '\\' => {
                    self.bump();
                }
                '/' => {
                    let ends_term = self.peek().is_none_or(|next| next.is_whitespace() || next == ')');
                    if ends_term && self.at > after_slash + 1 {
                        return;
                    }
                    break;
                }
                _ => {}
            }
        }
        self.at = after_slash;
    }

    fn range(&mut self) -> Result<(), Mistake> {
        let start = self.at;
        while let Some(c) = self.bump() {
            if c == ']' || c == '}' {
                return Ok(());
            }
        }
        Err(Mistake::new(start, "this range is never closed; write it as `[400 TO 499]` or `{a TO b}`"))
    }

    /// Passes over `[a b]` after `IN`; `false` when no bracket follows.
    fn set(&mut self) -> Result<bool, Mistake> {
        let start = self.at;
        self.skip_space();
        if self.peek() == Some('[') {
            self.range()?;
            return Ok(true);
        }
        self.at = start;
        Ok(false)
    }
}

fn is_comparison(text: &str) -> bool {
    matches!(text, "" | "<" | ">")
}
