//! LogQL: Loki's query language, from text to answers.
//!
//! [`parse`] checks all that can be checked without data, so that a query it accepts fails later only for
//! what its data holds. The parts: `lexer` and `parser` make the tree (`ast`), `print` writes it back;
//! `pipeline` runs the stages on one line; `eval` computes series; `plan` and `exec` read the store.

pub(crate) mod arithmetic;
pub mod ast;
pub mod eval;
pub(crate) mod fields;
mod ip;
pub mod label_set;
mod lexer;
mod line_labels;
pub mod logs;
pub(crate) mod mining;
mod narrow;
mod parser;
mod parsers;
mod pattern;
mod pipeline;
mod print;
mod regex;
pub(crate) mod select;
mod template;
#[cfg(test)]
mod tests;
pub mod units;
#[cfg(test)]
mod yardstick;

use std::fmt;

use lexer::Position;
pub use narrow::narrow;
pub use parser::{parse, parse_matchers};

/// Why a query is not LogQL, in Loki's words where clients know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    position: Option<Position>,
    message: String,
}

impl ParseError {
    const fn at(position: Position, message: String) -> Self {
        Self { position: Some(position), message }
    }

    fn new(message: impl Into<String>) -> Self {
        Self { position: None, message: message.into() }
    }

    /// Characters of `query`, which is the text that was parsed, before the mistake; `None` where the mistake is
    /// not at one place.
    #[must_use]
    pub fn offset(&self, query: &str) -> Option<usize> {
        let at = self.position?;
        let lines_before = (at.line as usize).saturating_sub(1);
        let before: usize = query.split_inclusive('\n').take(lines_before).map(|l| l.chars().count()).sum();
        Some((before + (at.column as usize).saturating_sub(1)).min(query.chars().count()))
    }
}

/// Whether a query is meant as LogQL where the search syntax may stand as well: it begins with a selector or with
/// a function of LogQL over one, or it is arithmetic with such.
#[must_use]
pub fn is_meant(query: &str) -> bool {
    let start = query.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    if start.starts_with('{') {
        return true;
    }
    let name_len = start.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(start.len());
    let (name, rest) = start.split_at(name_len);
    let is_call = rest.trim_start().starts_with('(')
        || rest
            .split_whitespace()
            .next()
            .is_some_and(|word| word.starts_with("by") || word.starts_with("without"));
    if is_call && is_function(name) && (query.contains('{') || query.contains("vector")) {
        return true;
    }
    matches!(parse(query), Ok(ast::Expr::Metric(metric)) if !matches!(metric, ast::MetricExpr::Literal(_)))
}

fn is_function(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ast::RangeOp::ALL.iter().any(|op| op.name() == name)
        || ast::VectorOp::ALL.iter().any(|op| op.name() == name)
        || matches!(name.as_str(), "label_replace" | "vector")
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(at) => write!(f, "parse error at line {}, col {}: {}", at.line, at.column, self.message),
            None => write!(f, "parse error : {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}
