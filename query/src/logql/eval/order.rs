//! The order of values. The invariant: it is total, so that an answer does not hang on which of two values came first.
//!
//! Lines are added block by block and in any order; zeros of both signs, which compare as equal, would otherwise make
//! quantiles and extremes of the same lines differ.

use std::cmp::Ordering;

/// Not-a-number first, as Loki sorts; `-0` before `0`.
pub(super) fn order(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(&b),
        (a_is_nan, b_is_nan) => b_is_nan.cmp(&a_is_nan),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_ordered_whatever_their_sign_of_zero() {
        let mut values = [f64::INFINITY, 0.0, -0.0, f64::NAN, 1.5, f64::NEG_INFINITY, -f64::NAN, -2.0];
        values.sort_by(|a, b| order(*a, *b));
        assert_eq!(format!("{values:?}"), "[NaN, NaN, -inf, -2.0, -0.0, 0.0, 1.5, inf]");
        assert_eq!(order(f64::NAN, -f64::NAN), Ordering::Equal);
    }
}
