//! The values of a template, and how Go prints and compares them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Zoned;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nil,
    /// What a map without the key yields.
    Absent,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Time(Box<Zoned>),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
    /// All labels of the line.
    Labels,
}

impl Value {
    /// Go's name of the type.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Nil | Self::Absent => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Time(_) => "time.Time",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Labels => "map[string]string",
        }
    }

    /// Whether `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil | Self::Absent => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(value) => !value.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(items) => !items.is_empty(),
            Self::Time(_) | Self::Labels => true,
        }
    }

    /// Go's `%v`.
    pub(super) fn print(&self) -> String {
        match self {
            Self::Nil => "<nil>".to_owned(),
            Self::Absent => "<no value>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => general(*value, None),
            Self::Text(value) => value.clone(),
            Self::Time(time) => super::datetime::format(time, "2006-01-02 15:04:05.999999999 -0700 MST"),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::print).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Map(items) => {
                let items: Vec<String> = items.iter().map(|(k, v)| format!("{k}:{}", v.print())).collect();
                format!("map[{}]", items.join(" "))
            }
            Self::Labels => "map[]".to_owned(),
        }
    }

    /// Order of two values of one basic kind; the outer error is Go's when they are not.
    pub(super) fn compare(&self, other: &Self) -> Result<Option<Ordering>, String> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Ok(Some(a.cmp(b))),
            (Self::Float(a), Self::Float(b)) => Ok(a.partial_cmp(b)),
            (Self::Text(a), Self::Text(b)) => Ok(Some(a.cmp(b))),
            (Self::Bool(a), Self::Bool(b)) => Ok(Some(a.cmp(b))),
            (Self::Nil, Self::Nil) => Ok(Some(Ordering::Equal)),
            (Self::Nil, _) | (_, Self::Nil) => Ok(None),
            (Self::List(_) | Self::Map(_) | Self::Time(_) | Self::Labels | Self::Absent, _) => {
                Err("invalid type for comparison".to_owned())
            }
            _ => Err("incompatible types for comparison".to_owned()),
        }
    }

    /// Sprig's lenient reading of a whole number: 0 for what is none.
    pub(super) fn to_int(&self) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "as Go does")]
        match self {
            Self::Int(value) => *value,
            Self::Float(value) => *value as i64,
            Self::Bool(value) => i64::from(*value),
            Self::Text(text) => parse_int(text.trim()).unwrap_or(0),
            _ => 0,
        }
    }

    /// Sprig's lenient reading of a number: 0 for what is none.
    pub(super) fn to_float(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "as Go does")]
        match self {
            Self::Int(value) => *value as f64,
            Self::Float(value) => *value,
            Self::Bool(value) => f64::from(u8::from(*value)),
            Self::Text(text) => crate::logql::units::parse_float(text).unwrap_or(0.0),
            _ => 0.0,
        }
    }
}

/// Go's integer literals: decimal, `0x`, `0o`, `0b`, with underscores.
pub(super) fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let lower = digits.to_ascii_lowercase();
    let radix = |prefix: &str, radix| lower.strip_prefix(prefix).map(|rest| i64::from_str_radix(rest, radix));
    let octal = (lower.len() > 1).then(|| radix("0", 8)).flatten();
    let value = radix("0x", 16).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2)).or(octal);
    let value = value.unwrap_or_else(|| digits.parse()).ok()?;
    Some(if negative { -value } else { value })
}

/// Go's `%g`: the shortest form, with an exponent when it is below -4 or at least 21 (or the precision).
pub(super) fn general(value: f64, precision: Option<usize>) -> String {
    if !value.is_finite() {
        return crate::logql::units::format_float(value);
    }
    let scientific = match precision {
        Some(digits) => format!("{value:.*e}", digits.max(1) - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let limit = precision.map_or(21, |digits| i32::try_from(digits.max(1)).unwrap_or(i32::MAX));
    let strip = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if exponent < -4 || exponent >= limit {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", strip(mantissa), exponent.abs());
    }
    match precision {
        None => value.to_string(),
        Some(digits) => {
            let decimals =
                usize::try_from(i32::try_from(digits.max(1)).unwrap_or(17) - 1 - exponent).unwrap_or(0);
            strip(&format!("{value:.decimals$}"))
        }
    }
}
