//! Order among values: numbers with numbers, durations with durations, all else as text.

use std::cmp::Ordering;

/// One end of a range.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// No limit.
    Open,
    /// The value itself lies inside.
    Inclusive(Quantity),
    /// The value itself lies outside.
    Exclusive(Quantity),
}

/// A value in the form in which it compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    /// A whole number, exact however long an id is.
    Whole(i128),
    /// A number with a fraction or an exponent.
    Number(f64),
    /// A duration in seconds: `250ms`, `1h30m`.
    Seconds(f64),
    /// Anything else, in the order of its bytes.
    Text(String),
}

const UNITS: [(&str, f64); 9] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];

impl Quantity {
    /// What `text` stands for.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if let Ok(whole) = text.parse() {
            return Self::Whole(whole);
        }
        // Rust also reads `inf` and `nan`, which are words in a log.
        let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        if let Some(number) = numeric.then(|| text.parse::<f64>().ok()).flatten() {
            return Self::Number(number);
        }
        seconds(text).map_or_else(|| Self::Text(text.to_owned()), Self::Seconds)
    }

    /// How it compares with `other`; `None` when they are of different kinds.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(b)),
            (Self::Seconds(a), Self::Seconds(b)) => a.partial_cmp(b),
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the other side has no more precision than this")]
            Self::Whole(whole) => Some(*whole as f64),
            Self::Number(number) => Some(*number),
            Self::Seconds(_) | Self::Text(_) => None,
        }
    }
}

/// Whether `value` lies between the bounds.
#[must_use]
pub fn within(value: &str, lower: &Bound, upper: &Bound) -> bool {
    let holds = |bound: &Bound, inside: Ordering| {
        let (limit, inclusive) = match bound {
            Bound::Open => return true,
            Bound::Inclusive(limit) => (limit, true),
            Bound::Exclusive(limit) => (limit, false),
        };
        let value = match limit {
            // A bound that is text asks for the order of text, whatever the value looks like.
            Quantity::Text(_) => Quantity::Text(value.to_owned()),
            _ => Quantity::of(value),
        };
        match value.compare(limit) {
            Some(Ordering::Equal) => inclusive,
            Some(order) => order == inside,
            None => false,
        }
    };
    holds(lower, Ordering::Greater) && holds(upper, Ordering::Less)
}

fn seconds(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let mut rest = unsigned;
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Some(if unsigned.len() < text.len() { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inclusive(low: &str, value: &str, high: &str) -> bool {
        within(value, &Bound::Inclusive(Quantity::of(low)), &Bound::Inclusive(Quantity::of(high)))
    }

    #[test]
    fn like_compares_with_like() {
        assert!(inclusive("400", "404", "499"));
        assert!(inclusive("400", "4.5e2", "499"));
        assert!(!inclusive("400", "40", "499"), "not as text");
        assert!(!inclusive("400", "4xx", "499"));
        assert!(!inclusive("400", "404ms", "499"));
        assert!(inclusive("100ms", "0.5s", "1m"));
        assert!(inclusive("1h", "1h30m", "2h"));
        assert!(!inclusive("100ms", "500", "1s"), "a plain number has no unit");
        assert!(inclusive("2026-01-01", "2026-01-15", "2026-02-01"));
        assert!(inclusive("a", "b", "c"));
        assert!(!inclusive("inf", "5", "nan"));
        assert!(inclusive("9007199254740993", "9007199254740993", "9007199254740993"));
        assert!(!inclusive("9007199254740993", "9007199254740992", "9007199254740993"), "exact beyond 2^53");
    }

    #[test]
    fn open_and_exclusive_ends_hold() {
        let five = || Quantity::of("5");
        assert!(within("6", &Bound::Exclusive(five()), &Bound::Open));
        assert!(!within("5", &Bound::Exclusive(five()), &Bound::Open));
        assert!(within("-7", &Bound::Open, &Bound::Exclusive(five())));
        assert!(within("anything", &Bound::Open, &Bound::Open));
    }
}
