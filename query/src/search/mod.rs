//! The short search syntax for people: `level:error service:checkout "payment declined" -debug`.
//!
//! Terms side by side must all match; `AND` binds tighter than `OR`, `NOT` and `-` tighter than both. The
//! structure is read here, with positions for error messages and a bound on nesting; each single term is
//! read by `tantivy-query-grammar`. docs/query-language.md is the user's page.

mod events;
mod scan;
mod term;
#[cfg(test)]
mod tests;

use std::fmt;

pub use events::without_events;

use crate::filter::Filter;
use scan::{Token, TokenKind};

/// Longest query accepted, in bytes: longer ones are pasted by mistake.
pub const MAX_QUERY_BYTES: usize = 16 << 10;
/// Deepest nesting of parentheses and NOTs, so that a hostile query cannot exhaust the stack.
const MAX_DEPTH: usize = 64;

/// Why a query cannot be understood, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The query.
    pub query: String,
    /// Place of the mistake: characters before it.
    pub position: usize,
    /// What is wrong there, and what to write instead.
    pub message: String,
}

impl SyntaxError {
    /// The query with a caret under the mistake, on two lines.
    #[must_use]
    pub fn pointer(&self) -> String {
        let line: String = self.query.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{line}\n{:width$}^", "", width = self.position)
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {} of the query", self.message, self.position + 1)
    }
}

impl std::error::Error for SyntaxError {}

/// Reads a query. An empty one, like `*`, is passed by every record.
///
/// # Errors
/// When the query is malformed; the error says where.
pub fn parse(query: &str) -> Result<Filter, SyntaxError> {
    let fail = |mistake: Mistake| SyntaxError {
        query: query.to_owned(),
        position: query.get(..mistake.at).map_or(0, |before| before.chars().count()),
        message: mistake.message,
    };
    if query.len() > MAX_QUERY_BYTES {
        return Err(SyntaxError {
            query: String::new(),
            position: MAX_QUERY_BYTES,
            message: format!("the query is {} bytes long, at most {MAX_QUERY_BYTES} are read", query.len()),
        });
    }
    let tokens = scan::tokens(query).map_err(fail)?;
    let mut parser = Parser { query, tokens: &tokens, next: 0, depth: 0 };
    let filter = parser.any(None).map_err(fail)?;
    match parser.peek() {
        None => Ok(filter),
        Some(token) => {
            Err(fail(Mistake::new(token.at, "`)` without a `(` before it; quote it to search for it")))
        }
    }
}

/// A mistake at a byte of the query.
#[derive(Debug)]
pub(super) struct Mistake {
    at: usize,
    message: String,
}

impl Mistake {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

struct Parser<'a> {
    query: &'a str,
    tokens: &'a [Token<'a>],
    next: usize,
    depth: usize,
}

/// A field whose values a parenthesis holds: `level:(warn OR error)`.
type Scope<'a> = Option<&'a str>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.next)
    }

    fn take(&mut self, wanted: TokenKind<'_>) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == wanted);
        self.next += usize::from(found);
        found
    }

    fn end(&self) -> usize {
        self.peek().map_or(self.query.len(), |token| token.at)
    }

    /// Alternatives: `a OR b`.
    fn any(&mut self, scope: Scope<'_>) -> Result<Filter, Mistake> {
        if matches!(self.peek(), None | Some(Token { kind: TokenKind::Close, .. })) {
            return Ok(Filter::All);
        }
        let mut alternatives = vec![self.all(scope)?];
        while self.take(TokenKind::Or) {
            alternatives.push(self.all(scope)?);
        }
        Ok(if alternatives.len() == 1 { alternatives.swap_remove(0) } else { Filter::Or(alternatives) })
    }

    /// Terms that must all match: `a b`, `a AND b`.
    fn all(&mut self, scope: Scope<'_>) -> Result<Filter, Mistake> {
        let mut terms = vec![self.single(scope)?];
        loop {
            let required = self.take(TokenKind::And);
            let more =
                !matches!(self.peek(), None | Some(Token { kind: TokenKind::Or | TokenKind::Close, .. }));
            if !required && !more {
                break;
            }
            terms.push(self.single(scope)?);
        }
        Ok(if terms.len() == 1 { terms.swap_remove(0) } else { Filter::And(terms) })
    }

    fn single(&mut self, scope: Scope<'_>) -> Result<Filter, Mistake> {
        let at = self.end();
        let Some(token) = self.tokens.get(self.next) else {
            return Err(Mistake::new(at, "a term is missing"));
        };
        self.next += 1;
        match &token.kind {
            TokenKind::Not => {
                self.enter(at)?;
                let inner = self.single(scope)?;
                self.depth -= 1;
                Ok(Filter::Not(Box::new(inner)))
            }
            TokenKind::Open => self.group(at, scope),
            TokenKind::FieldOpen(name) => {
                if scope.is_some() {
                    return Err(Mistake::new(
                        at,
                        format!("the field `{name}` stands within the values of another field"),
                    ));
                }
                self.group(at, Some(name))
            }
            TokenKind::Term(text) => term::filter(text, at, scope),
            TokenKind::Close | TokenKind::And | TokenKind::Or => {
                Err(Mistake::new(at, format!("a term is missing before `{}`", token.kind)))
            }
        }
    }

    fn group(&mut self, at: usize, scope: Scope<'_>) -> Result<Filter, Mistake> {
        self.enter(at)?;
        if self.take(TokenKind::Close) {
            return Err(Mistake::new(
                at,
                "nothing stands between these parentheses; quote them to search for them",
            ));
        }
        let inner = self.any(scope)?;
        if !self.take(TokenKind::Close) {
            return Err(Mistake::new(at, "this `(` is never closed; quote it to search for it"));
        }
        self.depth -= 1;
        Ok(inner)
    }

    fn enter(&mut self, at: usize) -> Result<(), Mistake> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Mistake::new(at, format!("the query is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }
}
