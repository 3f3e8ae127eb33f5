//! Selectors and pipelines.

use super::super::ast::*;
use super::{ParseError, Parser, Token};

impl Parser {
    /// `{…}`
    pub(super) fn selector(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.expect_symbol("{")?;
        if self.accept_symbol("}") {
            return Ok(Vec::new());
        }
        let matchers = self.comma_separated(Self::matcher)?;
        self.expect_symbol("}")?;
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let name = self.identifier()?;
        let op = match self.peek() {
            Token::Symbol("=") => MatchOp::Equal,
            Token::Symbol("!=") => MatchOp::NotEqual,
            Token::Symbol("=~") => MatchOp::Regex,
            Token::Symbol("!~") => MatchOp::NotRegex,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(Matcher { name, op, value: self.string()? })
    }

    /// Stages as long as there are any; stops before `| unwrap`.
    pub(super) fn stages(&mut self) -> Result<Vec<Stage>, ParseError> {
        let mut stages = Vec::new();
        loop {
            let op = match self.peek() {
                Token::Symbol("|=") => LineOp::Contains,
                Token::Symbol("!=") => LineOp::NotContains,
                Token::Symbol("|~") => LineOp::Regex,
                Token::Symbol("!~") => LineOp::NotRegex,
                Token::Symbol("|>") => LineOp::Pattern,
                Token::Symbol("!>") => LineOp::NotPattern,
                Token::Symbol("|") if *self.peek_at(1) != Token::Keyword("unwrap") => {
                    self.at += 1;
                    stages.push(self.stage()?);
                    continue;
                }
                _ => return Ok(stages),
            };
            self.at += 1;
            stages.push(Stage::Line(self.line_filter(op)?));
        }
    }

    fn line_filter(&mut self, op: LineOp) -> Result<LineFilter, ParseError> {
        let mut alternatives = Vec::new();
        loop {
            if matches!(self.peek(), Token::Function("ip")) {
                let position = self.position();
                if !matches!(op, LineOp::Contains | LineOp::NotContains) {
                    return Err(ParseError::at(position, "ip: invalid operation".to_owned()));
                }
                self.at += 1;
                self.expect_symbol("(")?;
                alternatives.push(LineMatch::Ip(self.string()?));
                self.expect_symbol(")")?;
            } else {
                alternatives.push(LineMatch::Text(self.string()?));
            }
            if !self.accept_keyword("or") {
                return Ok(LineFilter { op, alternatives });
            }
        }
    }

    /// What follows a `|`.
    fn stage(&mut self) -> Result<Stage, ParseError> {
        let Token::Keyword(keyword) = *self.peek() else {
            return Ok(Stage::Label(self.label_filter()?));
        };
        let known = [
            "json",
            "logfmt",
            "regexp",
            "pattern",
            "unpack",
            "decolorize",
            "line_format",
            "label_format",
            "drop",
            "keep",
        ];
        if !known.contains(&keyword) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(match keyword {
            "json" => Stage::Json(self.extractions()?),
            "logfmt" => self.logfmt()?,
            "regexp" => Stage::Regexp(self.string()?),
            "pattern" => Stage::Pattern(self.string()?),
            "unpack" => Stage::Unpack,
            "decolorize" => Stage::Decolorize,
            "line_format" => Stage::LineFormat(self.string()?),
            "label_format" => Stage::LabelFormat(self.comma_separated(Self::label_format)?),
            "drop" => Stage::Drop(self.comma_separated(Self::selection)?),
            _ => Stage::Keep(self.comma_separated(Self::selection)?),
        })
    }

    fn logfmt(&mut self) -> Result<Stage, ParseError> {
        let (mut strict, mut keep_empty) = (false, false);
        while let Token::Flag(flag) = *self.peek() {
            self.at += 1;
            match flag {
                "--strict" => strict = true,
                _ => keep_empty = true,
            }
        }
        Ok(Stage::Logfmt { strict, keep_empty, fields: self.extractions()? })
    }

    fn extractions(&mut self) -> Result<Vec<Extraction>, ParseError> {
        if !matches!(self.peek(), Token::Identifier(_)) {
            return Ok(Vec::new());
        }
        self.comma_separated(|parser| {
            let name = parser.identifier()?;
            let expression = if parser.accept_symbol("=") { parser.string()? } else { name.clone() };
            Ok(Extraction { name, expression })
        })
    }

    fn label_format(&mut self) -> Result<LabelFormat, ParseError> {
        let name = self.identifier()?;
        self.expect_symbol("=")?;
        if matches!(self.peek(), Token::Identifier(_)) {
            return Ok(LabelFormat::Rename { to: name, from: self.identifier()? });
        }
        Ok(LabelFormat::Template { name, template: self.string()? })
    }

    fn selection(&mut self) -> Result<Selection, ParseError> {
        if matches!(self.peek_at(1), Token::Symbol("=" | "!=" | "=~" | "!~"))
            && matches!(self.peek_at(2), Token::Text(_))
        {
            return Ok(Selection::Match(self.matcher()?));
        }
        Ok(Selection::Name(self.identifier()?))
    }

    /// Alternatives of conjunctions.
    pub(super) fn label_filter(&mut self) -> Result<LabelFilter, ParseError> {
        self.nested(|parser| {
            let mut left = parser.label_conjunction()?;
            while parser.accept_keyword("or") {
                let right = parser.label_conjunction()?;
                left = LabelFilter::Or(Box::new(left), Box::new(right));
            }
            Ok(left)
        })
    }

    /// `and`, a comma and mere juxtaposition mean the same.
    fn label_conjunction(&mut self) -> Result<LabelFilter, ParseError> {
        let mut left = self.label_condition()?;
        loop {
            let joined = self.accept_keyword("and") || self.accept_symbol(",");
            if !joined && !matches!(self.peek(), Token::Identifier(_) | Token::Symbol("(")) {
                return Ok(left);
            }
            let right = self.label_condition()?;
            left = LabelFilter::And(Box::new(left), Box::new(right));
        }
    }

    fn label_condition(&mut self) -> Result<LabelFilter, ParseError> {
        if self.accept_symbol("(") {
            let inner = self.label_filter()?;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        if matches!(self.peek_at(1), Token::Symbol("=~" | "!~"))
            || (matches!(self.peek_at(1), Token::Symbol("=" | "!="))
                && matches!(self.peek_at(2), Token::Text(_)))
        {
            return Ok(LabelFilter::Match(self.matcher()?));
        }
        let name = self.identifier()?;
        let op_at = self.at;
        let op = match self.peek() {
            Token::Symbol("=" | "==") => CompareOp::Equal,
            Token::Symbol("!=") => CompareOp::NotEqual,
            Token::Symbol(">") => CompareOp::Greater,
            Token::Symbol(">=") => CompareOp::GreaterEqual,
            Token::Symbol("<") => CompareOp::Less,
            Token::Symbol("<=") => CompareOp::LessEqual,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        match *self.peek() {
            Token::Duration(value_ns) => {
                self.at += 1;
                Ok(LabelFilter::Duration { name, op, value_ns })
            }
            Token::Bytes(value) => {
                self.at += 1;
                Ok(LabelFilter::Bytes { name, op, value })
            }
            Token::Function("ip") if matches!(self.tokens[op_at].0, Token::Symbol("=" | "!=")) => {
                self.at += 1;
                self.expect_symbol("(")?;
                let range = self.string()?;
                self.expect_symbol(")")?;
                Ok(LabelFilter::Ip { name, negative: op == CompareOp::NotEqual, range })
            }
            Token::Number(_) | Token::Symbol("+" | "-") => {
                Ok(LabelFilter::Number { name, op, value: self.signed_number()? })
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `| unwrap x` and the label filters after it, if they come next.
    pub(super) fn unwrap(&mut self) -> Result<Option<Unwrap>, ParseError> {
        if !self.is_symbol("|") || *self.peek_at(1) != Token::Keyword("unwrap") {
            return Ok(None);
        }
        self.at += 2;
        let conversion = match self.peek() {
            Token::Function("bytes") => Some(Conversion::Bytes),
            Token::Function("duration" | "duration_seconds") => Some(Conversion::Duration),
            _ => None,
        };
        let label = if conversion.is_some() {
            self.at += 1;
            self.expect_symbol("(")?;
            let label = self.identifier()?;
            self.expect_symbol(")")?;
            label
        } else {
            self.identifier()?
        };
        let mut filters = Vec::new();
        while self.accept_symbol("|") {
            filters.push(self.label_filter()?);
        }
        Ok(Some(Unwrap { label, conversion: conversion.unwrap_or(Conversion::Number), filters }))
    }
}
