//! Conditions on labels.
//!
//! Text compares a missing label as empty. Numbers, durations and sizes drop a line without the label,
//! and keep one whose value they cannot read, with an error.

use crate::logql::arithmetic::compare;
use crate::logql::ast::{CompareOp, LabelFilter, MatchOp, Matcher};
use crate::logql::ip::IpRange;
use crate::logql::line_labels::{ERROR, ERROR_DETAILS, LineLabels};
use crate::logql::regex::Regex;
use crate::logql::units;

const FILTER_ERROR: &str = "LabelFilterErr";

/// A compiled label filter.
#[derive(Debug)]
pub(crate) enum LabelTest {
    Text { name: String, value: String, negative: bool },
    Regex { name: String, regex: Regex, negative: bool },
    Number { name: String, op: CompareOp, value: f64 },
    Duration { name: String, op: CompareOp, value_ns: i64 },
    Bytes { name: String, op: CompareOp, value: u64 },
    Ip { name: String, range: IpRange, negative: bool },
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

impl LabelTest {
    pub(crate) fn new(filter: &LabelFilter) -> Result<Self, String> {
        let both = |a: &LabelFilter, b: &LabelFilter| -> Result<_, String> {
            Ok((Box::new(Self::new(a)?), Box::new(Self::new(b)?)))
        };
        Ok(match filter {
            LabelFilter::Match(matcher) => Self::of_matcher(matcher)?,
            LabelFilter::Number { name, op, value } => {
                Self::Number { name: name.clone(), op: *op, value: *value }
            }
            LabelFilter::Duration { name, op, value_ns } => {
                Self::Duration { name: name.clone(), op: *op, value_ns: *value_ns }
            }
            LabelFilter::Bytes { name, op, value } => {
                Self::Bytes { name: name.clone(), op: *op, value: *value }
            }
            LabelFilter::Ip { name, negative, range } => {
                Self::Ip { name: name.clone(), range: IpRange::parse(range)?, negative: *negative }
            }
            LabelFilter::And(a, b) => both(a, b).map(|(a, b)| Self::And(a, b))?,
            LabelFilter::Or(a, b) => both(a, b).map(|(a, b)| Self::Or(a, b))?,
        })
    }

    pub(crate) fn of_matcher(matcher: &Matcher) -> Result<Self, String> {
        let name = matcher.name.clone();
        let negative = super::is_negative(matcher.op);
        Ok(match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Self::Text { name, value: matcher.value.clone(), negative },
            MatchOp::Regex | MatchOp::NotRegex => {
                Self::Regex { name, regex: Regex::anchored(&matcher.value)?, negative }
            }
        })
    }

    /// Whether a text condition holds for this value.
    pub(crate) fn is_match_value(&self, text: &str) -> bool {
        match self {
            Self::Text { value, negative, .. } => (value == text) != *negative,
            Self::Regex { regex, negative, .. } => regex.is_match(text.as_bytes()) != *negative,
            _ => false,
        }
    }

    /// Whether every line without an error is kept, whatever other labels it has.
    pub(crate) fn keeps_all_without_errors(&self) -> bool {
        match self {
            Self::Text { name, .. } | Self::Regex { name, .. } => {
                (name == ERROR || name == ERROR_DETAILS) && self.is_match_value("")
            }
            Self::And(a, b) => a.keeps_all_without_errors() && b.keeps_all_without_errors(),
            Self::Or(a, b) => a.keeps_all_without_errors() || b.keeps_all_without_errors(),
            _ => false,
        }
    }

    /// Whether the line is kept.
    pub(crate) fn is_match(&self, labels: &mut LineLabels) -> bool {
        match self {
            Self::Text { name, .. } | Self::Regex { name, .. } => {
                self.is_match_value(labels.get(name).unwrap_or_default())
            }
            Self::Number { name, op, value } => measured(labels, name, |text| {
                units::parse_float(text).map(|found| compare(*op, found, *value))
            }),
            Self::Duration { name, op, value_ns } => measured(labels, name, |text| {
                units::parse_go_duration(text).map(|found| compare(*op, found, *value_ns))
            }),
            Self::Bytes { name, op, value } => measured(labels, name, |text| {
                units::parse_bytes(text).map(|found| compare(*op, found, *value))
            }),
            Self::Ip { name, range, negative } => {
                measured(labels, name, |text| Ok(range.occurs_in(text.as_bytes()) != *negative))
            }
            Self::And(a, b) => a.is_match(labels) && b.is_match(labels),
            Self::Or(a, b) => a.is_match(labels) || b.is_match(labels),
        }
    }
}

fn measured(labels: &mut LineLabels, name: &str, test: impl FnOnce(&str) -> Result<bool, String>) -> bool {
    if name == ERROR || name == ERROR_DETAILS {
        return false; // errors are text, and no label to these filters
    }
    let Some(text) = labels.get(name) else { return false };
    match test(text) {
        Ok(passes) => passes,
        Err(message) => {
            labels.set_error(FILTER_ERROR, message);
            true
        }
    }
}
