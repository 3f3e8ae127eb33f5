//! The lines of a request that are refused while others of it are stored, and why.
//!
//! As in Loki, a line that is wrong does not take the others with it: these are stored, and the answer says how many
//! lines are not, with the reasons of the first ones.

use std::fmt;

/// Reasons told; further lines are only counted.
const MAX_REASONS: usize = 10;

/// What is refused of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    lines: usize,
    /// Lines of the whole request.
    total: usize,
    reasons: Vec<String>,
}

impl Refused {
    /// A line is refused, for a reason of its own or, without one, because its stream is.
    pub(super) fn line(&mut self, reason: Option<String>) {
        self.lines += 1;
        self.reasons.extend(reason.filter(|_| self.reasons.len() < MAX_REASONS));
    }

    /// A stream is refused; its lines are still to be counted.
    pub(super) fn stream(&mut self, reason: String) {
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason);
        }
    }

    /// What is refused of a request of `total` lines; `None` when nothing is.
    pub(super) fn of(self, total: usize) -> Option<Self> {
        (self.lines > 0 || !self.reasons.is_empty()).then_some(Self { total, ..self })
    }

    /// Refused lines.
    pub(super) const fn lines(&self) -> usize {
        self.lines
    }

    /// Whether other lines of the request are not refused.
    pub(super) const fn is_partial(&self) -> bool {
        self.lines < self.total
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reason in &self.reasons {
            write!(f, "{reason}, ")?;
        }
        write!(f, "total ignored: {} out of {}", self.lines, self.total)
    }
}
