//! Cuts a query into terms, operators and parentheses. Every token keeps its byte position.
//!
//! A term is everything up to white space or a parenthesis, except within quotes, ranges and regular
//! expressions: `field:"a b"`, `field:[1 TO 5]`, `/a (b|c)/`.

use std::fmt;

use super::Mistake;
use crate::chars::Chars;

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
    let mut scanner = Scanner { chars: Chars::new(query) };
    let mut found = Vec::new();
    while let Some(token) = scanner.token()? {
        found.push(token);
    }
    Ok(found)
}

struct Scanner<'a> {
    chars: Chars<'a>,
}

impl<'a> Scanner<'a> {
    fn skip_space(&mut self) {
        while self.chars.peek().is_some_and(char::is_whitespace) {
            self.chars.bump();
        }
    }

    fn token(&mut self) -> Result<Option<Token<'a>>, Mistake> {
        self.skip_space();
        let at = self.chars.at;
        let Some(c) = self.chars.peek() else { return Ok(None) };
        let kind = match c {
            '(' => self.symbol(TokenKind::Open),
            ')' => self.symbol(TokenKind::Close),
            '-' | '+' => {
                self.chars.bump();
                if self.chars.peek().is_none_or(|next| next.is_whitespace() || next == ')') {
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
        self.chars.bump();
        kind
    }

    fn word(&mut self) -> Result<TokenKind<'a>, Mistake> {
        let start = self.chars.at;
        let mut value = start;
        let mut colon = None;
        while let Some(c) = self.chars.peek() {
            match c {
                '\\' => {
                    self.chars.bump();
                    self.chars.bump();
                }
                '"' | '\'' if self.chars.at == value => self.quoted(c)?,
                '/' if self.chars.at == value => self.regex(),
                '[' | '{' if self.chars.at == value => self.range()?,
                ':' if colon.is_none() => {
                    colon = Some(self.chars.at);
                    self.chars.bump();
                    self.skip_space();
                    value = self.chars.at;
                    if self.chars.peek() == Some('(') {
                        self.chars.bump();
                        return Ok(TokenKind::FieldOpen(
                            self.chars.text.get(start..colon.unwrap_or(start)).unwrap_or_default(),
                        ));
                    }
                }
                '<' | '>' | '='
                    if colon.is_some()
                        && self.chars.text.get(value..self.chars.at).is_some_and(is_comparison) =>
                {
                    self.chars.bump();
                    self.skip_space();
                }
                '(' | ')' => break,
                c if c.is_whitespace() => {
                    if colon.is_none()
                        || self.chars.text.get(value..self.chars.at) != Some("IN")
                        || !self.set()?
                    {
                        break;
                    }
                }
                _ => {
                    self.chars.bump();
                }
            }
        }
        let text = self.chars.since(start);
        Ok(match text {
            "AND" => TokenKind::And,
            "OR" => TokenKind::Or,
            "NOT" => TokenKind::Not,
            _ => TokenKind::Term(text),
        })
    }

    fn quoted(&mut self, quote: char) -> Result<(), Mistake> {
        let start = self.chars.at;
        self.chars.bump();
        while let Some(c) = self.chars.bump() {
            if c == '\\' {
                self.chars.bump();
            } else if c == quote {
                return Ok(());
            }
        }
        Err(Mistake::new(start, format!("this {quote} is never closed; write \\{quote} to search for it")))
    }

    /// Passes over `/…/` when it is closed and ends the term; else `/` is a character of a word, as in a path.
    fn regex(&mut self) {
        self.chars.bump();
        let after_slash = self.chars.at;
        while let Some(c) = self.chars.bump() {
            match c {
                '\\' => {
                    self.chars.bump();
                }
                '/' => {
                    let ends_term = self.chars.peek().is_none_or(|next| next.is_whitespace() || next == ')');
                    if ends_term && self.chars.at > after_slash + 1 {
                        return;
                    }
                    break;
                }
                _ => {}
            }
        }
        self.chars.at = after_slash;
    }

    fn range(&mut self) -> Result<(), Mistake> {
        let start = self.chars.at;
        while let Some(c) = self.chars.bump() {
            if c == ']' || c == '}' {
                return Ok(());
            }
        }
        Err(Mistake::new(start, "this range is never closed; write it as `[400 TO 499]` or `{a TO b}`"))
    }

    /// Passes over `[a b]` after `IN`; `false` when no bracket follows.
    fn set(&mut self) -> Result<bool, Mistake> {
        let start = self.chars.at;
        self.skip_space();
        if self.chars.peek() == Some('[') {
            self.range()?;
            return Ok(true);
        }
        self.chars.at = start;
        Ok(false)
    }
}

fn is_comparison(text: &str) -> bool {
    matches!(text, "" | "<" | ">")
}
