//! Tokens to tree, by recursive descent; binary operators by precedence climbing.
//!
//! The grammar is Loki's, including what it refuses (a pipeline both before and after a range, say).

mod log;
mod metric;
mod validate;

use super::ParseError;
use super::ast::{Expr, LogExpr, Matcher, MetricExpr};
use super::lexer::{Position, Token, tokenize};

/// Deepest nesting of parentheses and operators: a guard of the stack against hostile queries.
const MAX_DEPTH: usize = 128;

/// Reads a query and checks it.
///
/// # Errors
/// When it is not LogQL, or holds an invalid regular expression, template, pattern or address.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser { tokens: tokenize(text)?, at: 0, depth: 0 };
    let expr = parser.expr(0)?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected());
    }
    let expr = expr.into_expr();
    validate::check(&expr)?;
    Ok(expr)
}

/// Reads the matchers of a selector, which may be empty; a pipeline after it is checked and left out.
///
/// # Errors
/// When it is no selector, or holds an invalid regular expression.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser { tokens: tokenize(text)?, at: 0, depth: 0 };
    let matchers = parser.selector()?;
    parser.stages()?;
    if *parser.peek() != Token::End {
        return Err(parser.unexpected());
    }
    for matcher in &matchers {
        validate::check_matcher(matcher)?;
    }
    Ok(matchers)
}

struct Parser {
    tokens: Vec<(Token, Position)>,
    at: usize,
    depth: usize,
}

/// An operand: lines may stand alone, but not in arithmetic.
enum Operand {
    Log(LogExpr),
    Metric(MetricExpr),
}

impl Operand {
    fn into_expr(self) -> Expr {
        match self {
            Self::Log(log) => Expr::Log(log),
            Self::Metric(metric) => Expr::Metric(metric),
        }
    }
}

impl Parser {
    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        self.tokens.get(self.at + ahead).map_or(&Token::End, |(token, _)| token)
    }

    fn position(&self) -> Position {
        let last = self.tokens.len() - 1; // the lexer always ends with `End`
        self.tokens[self.at.min(last)].1
    }

    fn unexpected(&self) -> ParseError {
        ParseError::at(self.position(), format!("syntax error: unexpected {}", self.peek().describe()))
    }

    fn expected(&self, what: &str) -> ParseError {
        let found = self.peek().describe();
        ParseError::at(self.position(), format!("syntax error: unexpected {found}, expecting {what}"))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(s) if *s == symbol)
    }

    fn accept_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), ParseError> {
        if self.accept_symbol(symbol) { Ok(()) } else { Err(self.expected(symbol)) }
    }

    fn accept_keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Token::Keyword(k) if *k == keyword);
        if found {
            self.at += 1;
        }
        found
    }

    fn identifier(&mut self) -> Result<String, ParseError> {
        match self.peek() {
            Token::Identifier(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.expected("IDENTIFIER")),
        }
    }

    fn string(&mut self) -> Result<String, ParseError> {
        match self.peek() {
            Token::Text(text) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.expected("STRING")),
        }
    }

    /// Unsigned.
    fn number(&mut self) -> Result<f64, ParseError> {
        let Token::Number(text) = self.peek() else { return Err(self.expected("NUMBER")) };
        let value =
            super::units::parse_float(text).map_err(|message| ParseError::at(self.position(), message))?;
        self.at += 1;
        Ok(value)
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.depth == MAX_DEPTH {
            let message = format!("the query is nested deeper than {MAX_DEPTH} levels");
            return Err(ParseError::at(self.position(), message));
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// One or more items separated by commas.
    fn comma_separated<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = vec![item(self)?];
        while self.accept_symbol(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `( )` or `(a, b)`
    fn label_list(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect_symbol("(")?;
        if self.accept_symbol(")") {
            return Ok(Vec::new());
        }
        let labels = self.comma_separated(Self::identifier)?;
        self.expect_symbol(")")?;
        Ok(labels)
    }
}
