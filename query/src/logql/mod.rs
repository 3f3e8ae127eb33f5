//! LogQL: Loki's query language, from text to answers.
//!
//! [`parse`] checks all that can be checked without data, so that a query it accepts fails later only for
//! what its data holds. The parts: `lexer` and `parser` make the tree (`ast`), `print` writes it back;
//! `pipeline` runs the stages on one line; `eval` computes series; `plan` and `exec` read the store.

pub(crate) mod arithmetic;
pub mod ast;
pub mod eval;
pub mod explain;
pub(crate) mod fields;
mod ip;
pub mod label_set;
mod lexer;
mod line_labels;
pub mod logs;
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
