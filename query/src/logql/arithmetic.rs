//! The arithmetic of two sample values.

use super::ast::{BinaryOp, CompareOp};

/// Whether the comparison holds.
#[must_use]
pub(crate) fn compare<T: PartialOrd + Copy>(op: CompareOp, left: T, right: T) -> bool {
    match op {
        CompareOp::Equal => left == right,
        CompareOp::NotEqual => left != right,
        CompareOp::Greater => left > right,
        CompareOp::GreaterEqual => left >= right,
        CompareOp::Less => left < right,
        CompareOp::LessEqual => left <= right,
    }
}

/// The value of `left op right`; comparisons yield 0 or 1. Division by zero is NaN, as in Loki.
///
/// Set operators have no value of their own: they yield `left`.
#[must_use]
pub(crate) fn apply(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide if right == 0.0 => f64::NAN,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo if right == 0.0 => f64::NAN,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Compare(op) => f64::from(u8::from(compare(op, left, right))),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Unless => left,
    }
}
