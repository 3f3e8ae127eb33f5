//! The functions of templates, but those on text (`text_functions.rs`): logic, numbers, times.
//!
//! Arguments are checked as Go checks them: a function that wants text refuses a number.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::datetime;
use super::eval::Context;
use super::printf::{sprint, sprintf};
use super::text_functions;
use super::value::Value;
use crate::logql::units;

type Call = fn(&Context<'_>, &[Value]) -> Result<Value, String>;

/// A function and how many arguments it takes, a piped one included.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) call: Call,
}

pub(super) const fn function(name: &'static str, min: usize, max: usize, call: Call) -> Function {
    Function { name, min, max, call }
}

const MANY: usize = usize::MAX;

static FUNCTIONS: [Function; 58] = [
    // the line
    function("__line__", 0, 0, |context, _| {
        Ok(Value::Text(String::from_utf8_lossy(context.line).into_owned()))
    }),
    function("__timestamp__", 0, 0, |context, _| Ok(datetime::from_nanos(i128::from(context.timestamp_ns)))),
    // logic
    function("and", 1, MANY, |_, values| Ok(values.last().cloned().unwrap_or(Value::Nil))),
    function("or", 1, MANY, |_, values| Ok(values.last().cloned().unwrap_or(Value::Nil))),
    function("not", 1, 1, |_, values| Ok(Value::Bool(!values[0].is_true()))),
    function("eq", 2, MANY, |_, values| {
        for other in &values[1..] {
            if values[0].compare(other)? == Some(std::cmp::Ordering::Equal) {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    function("ne", 2, 2, |_, v| Ok(Value::Bool(v[0].compare(&v[1])? != Some(std::cmp::Ordering::Equal)))),
    function("lt", 2, 2, |_, v| Ok(Value::Bool(ordered(v)?.is_some_and(std::cmp::Ordering::is_lt)))),
    function("le", 2, 2, |_, v| Ok(Value::Bool(ordered(v)?.is_some_and(std::cmp::Ordering::is_le)))),
    function("gt", 2, 2, |_, v| Ok(Value::Bool(ordered(v)?.is_some_and(std::cmp::Ordering::is_gt)))),
    function("ge", 2, 2, |_, v| Ok(Value::Bool(ordered(v)?.is_some_and(std::cmp::Ordering::is_ge)))),
    function("default", 1, 2, |_, values| {
        let given = values.get(1).filter(|value| value.is_true());
        Ok(given.unwrap_or(&values[0]).clone())
    }),
    // collections
    function("len", 1, 1, |_, values| match &values[0] {
        Value::Text(text) => Ok(length(text.len())),
        Value::List(items) => Ok(length(items.len())),
        Value::Map(items) => Ok(length(items.len())),
        other => Err(format!("len of type {}", other.type_name())),
    }),
    function("index", 1, MANY, |_, values| index(values)),
    function("slice", 1, 4, |_, values| slice(values)),
    function("fromJson", 1, 1, |_, values| {
        let parsed = serde_json::from_str(text(values, 0)?);
        Ok(parsed.map_or(Value::Nil, from_json))
    }),
    // printing
    function("print", 0, MANY, |_, values| Ok(Value::Text(sprint(values)))),
    function("println", 0, MANY, |_, values| {
        let words: Vec<String> = values.iter().map(Value::print).collect();
        Ok(Value::Text(format!("{}\n", words.join(" "))))
    }),
    function("printf", 1, MANY, |_, values| Ok(Value::Text(sprintf(text(values, 0)?, &values[1..])))),
    // numbers
    function("int", 1, 1, |_, v| Ok(Value::Int(v[0].to_int()))),
    function("float64", 1, 1, |_, v| Ok(Value::Float(v[0].to_float()))),
    function("add", 0, MANY, |_, v| Ok(Value::Int(v.iter().fold(0, |sum, v| sum.wrapping_add(v.to_int()))))),
    function("sub", 2, 2, |_, v| Ok(Value::Int(v[0].to_int().wrapping_sub(v[1].to_int())))),
    function("mul", 1, MANY, |_, v| {
        Ok(Value::Int(v.iter().fold(1, |product, v| product.wrapping_mul(v.to_int()))))
    }),
    function("div", 2, 2, |_, v| divide(v, i64::wrapping_div)),
    function("mod", 2, 2, |_, v| divide(v, i64::wrapping_rem)),
    function("addf", 1, MANY, |_, v| Ok(fold_float(v, |a, b| a + b))),
    function("subf", 1, MANY, |_, v| Ok(fold_float(v, |a, b| a - b))),
    function("mulf", 1, MANY, |_, v| Ok(fold_float(v, |a, b| a * b))),
    function("divf", 1, MANY, |_, v| {
        if v.iter().skip(1).any(|value| value.to_float() == 0.0) {
            return Err("decimal division by 0".to_owned());
        }
        Ok(fold_float(v, |a, b| a / b))
    }),
    function("max", 1, MANY, |_, v| Ok(Value::Int(v.iter().map(Value::to_int).max().unwrap_or(0)))),
    function("min", 1, MANY, |_, v| Ok(Value::Int(v.iter().map(Value::to_int).min().unwrap_or(0)))),
    function("maxf", 1, MANY, |_, v| Ok(fold_float(v, f64::max))),
    function("minf", 1, MANY, |_, v| Ok(fold_float(v, f64::min))),
    function("ceil", 1, 1, |_, v| Ok(Value::Float(v[0].to_float().ceil()))),
    function("floor", 1, 1, |_, v| Ok(Value::Float(v[0].to_float().floor()))),
    function("round", 2, 3, |_, v| round(v)),
    function("bytes", 1, 1, |_, v| {
        #[expect(clippy::cast_precision_loss, reason = "as Loki does")]
        units::parse_bytes(text(v, 0)?).map(|bytes| Value::Float(bytes as f64))
    }),
    function("duration", 1, 1, |_, v| seconds(v)),
    function("duration_seconds", 1, 1, |_, v| seconds(v)),
    // times
    function("now", 0, 0, |_, _| Ok(datetime::from_nanos(Timestamp::now().as_nanosecond()))),
    function("date", 2, 2, |_, v| {
        let time = match &v[1] {
            Value::Time(time) => (**time).clone(),
            Value::Int(seconds) => datetime::zoned(i128::from(*seconds) * 1_000_000_000),
            _ => Timestamp::now().to_zoned(TimeZone::UTC),
        };
        Ok(Value::Text(datetime::format(&time, text(v, 0)?)))
    }),
    function("toDate", 2, 2, |_, v| Ok(datetime::parse(text(v, 0)?, text(v, 1)?, &TimeZone::UTC))),
    function("toDateInZone", 3, 3, |_, v| {
        let zone = TimeZone::get(text(v, 1)?).unwrap_or(TimeZone::UTC);
        Ok(datetime::parse(text(v, 0)?, text(v, 2)?, &zone))
    }),
    function("unixToTime", 1, 1, |_, v| unix_to_time(text(v, 0)?)),
    function("unixEpoch", 1, 1, |_, v| epoch(v, 1_000_000_000)),
    function("unixEpochMillis", 1, 1, |_, v| epoch(v, 1_000_000)),
    function("unixEpochNanos", 1, 1, |_, v| epoch(v, 1)),
    // encodings
    function("b64enc", 1, 1, |_, v| Ok(Value::Text(text_functions::base64_encode(text(v, 0)?.as_bytes())))),
    function("b64dec", 1, 1, |_, v| Ok(Value::Text(text_functions::base64_decode(text(v, 0)?)))),
    function("urlencode", 1, 1, |_, v| Ok(Value::Text(text_functions::url_encode(text(v, 0)?)))),
    function("urldecode", 1, 1, |_, v| text_functions::url_decode(text(v, 0)?).map(Value::Text)),
    function("urlquery", 0, MANY, |_, v| Ok(Value::Text(text_functions::url_encode(&sprint(v))))),
    function("html", 0, MANY, |_, v| Ok(Value::Text(text_functions::html_escape(&sprint(v))))),
    function("js", 0, MANY, |_, v| Ok(Value::Text(text_functions::js_escape(&sprint(v))))),
    // expressions
    function("count", 2, 2, |_, v| {
        let regex = text_functions::regex(text(v, 0)?)?;
        Ok(length(regex.program().find_iter(text(v, 1)?.as_bytes()).count()))
    }),
    function("regexReplaceAll", 3, 3, |_, v| text_functions::regex_replace(v, true)),
    function("regexReplaceAllLiteral", 3, 3, |_, v| text_functions::regex_replace(v, false)),
];

/// The function of this name.
pub(super) fn lookup(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().chain(&text_functions::FUNCTIONS).find(|function| function.name == name)
}

/// Argument `i` as text.
pub(super) fn text(values: &[Value], i: usize) -> Result<&str, String> {
    match values.get(i) {
        Some(Value::Text(text)) => Ok(text),
        Some(Value::Absent) | None => Ok(""),
        Some(other) => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
    }
}

/// Argument `i` as a whole number.
pub(super) fn int(values: &[Value], i: usize) -> Result<i64, String> {
    match values.get(i) {
        Some(Value::Int(value)) => Ok(*value),
        other => Err(format!(
            "wrong type for value; expected int; got {}",
            other.map_or("<nil>", Value::type_name)
        )),
    }
}

fn length(count: usize) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn ordered(values: &[Value]) -> Result<Option<std::cmp::Ordering>, String> {
    match &values[0] {
        Value::Bool(_) | Value::Nil => Err("invalid type for comparison".to_owned()),
        first => first.compare(&values[1]),
    }
}

fn fold_float(values: &[Value], combine: fn(f64, f64) -> f64) -> Value {
    Value::Float(values.iter().map(Value::to_float).reduce(combine).unwrap_or(0.0))
}

fn divide(values: &[Value], operation: fn(i64, i64) -> i64) -> Result<Value, String> {
    match values[1].to_int() {
        0 => Err("runtime error: integer divide by zero".to_owned()),
        divisor => Ok(Value::Int(operation(values[0].to_int(), divisor))),
    }
}

fn round(values: &[Value]) -> Result<Value, String> {
    let places = i32::try_from(int(values, 1)?).map_err(|_| "too many places".to_owned())?;
    let round_on = values.get(2).map_or(0.5, Value::to_float);
    let scale = 10f64.powi(places);
    let digits = values[0].to_float() * scale;
    let rounded = if digits.fract() >= round_on { digits.ceil() } else { digits.floor() };
    Ok(Value::Float(rounded / scale))
}

fn seconds(values: &[Value]) -> Result<Value, String> {
    #[expect(clippy::cast_precision_loss, reason = "as Go does")]
    units::parse_go_duration(text(values, 0)?).map(|ns| Value::Float(ns as f64 / 1e9))
}

fn epoch(values: &[Value], unit_ns: i128) -> Result<Value, String> {
    match &values[0] {
        Value::Time(time) => {
            Ok(Value::Text(time.timestamp().as_nanosecond().div_euclid(unit_ns).to_string()))
        }
        other => Err(format!("wrong type for value; expected time.Time; got {}", other.type_name())),
    }
}

/// The unit follows from the number of digits: days, seconds, milli-, micro-, nanoseconds.
fn unix_to_time(digits: &str) -> Result<Value, String> {
    let invalid = || format!("unable to parse time '{digits}'");
    let number: i128 = digits.parse::<i64>().map_err(|_| invalid())?.into();
    let unit_ns = match digits.len() {
        5 => 86_400_000_000_000,
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(invalid()),
    };
    Ok(datetime::from_nanos(number * unit_ns))
}

fn index(values: &[Value]) -> Result<Value, String> {
    let mut current = values[0].clone();
    for key in &values[1..] {
        current = match (current, key) {
            (Value::Map(mut map), Value::Text(key)) => map.remove(key).unwrap_or(Value::Text(String::new())),
            (Value::List(items), Value::Int(i)) => {
                let found = usize::try_from(*i).ok().and_then(|i| items.get(i).cloned());
                found.ok_or_else(|| format!("index out of range: {i}"))?
            }
            (Value::Text(text), Value::Int(i)) => {
                let found = usize::try_from(*i).ok().and_then(|i| text.as_bytes().get(i).copied());
                Value::Int(found.map(i64::from).ok_or_else(|| format!("index out of range: {i}"))?)
            }
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(current)
}

fn slice(values: &[Value]) -> Result<Value, String> {
    let bound = |i: usize, default: usize| match values.get(i) {
        Some(_) => usize::try_from(int(values, i)?).map_err(|_| "index out of range".to_owned()),
        None => Ok(default),
    };
    match &values[0] {
        Value::Text(text) => {
            let (start, end) = (bound(1, 0)?, bound(2, text.len())?);
            let part = text.as_bytes().get(start..end).ok_or("index out of range")?;
            Ok(Value::Text(String::from_utf8_lossy(part).into_owned()))
        }
        Value::List(items) => {
            let (start, end) = (bound(1, 0)?, bound(2, items.len())?);
            Ok(Value::List(items.get(start..end).ok_or("index out of range")?.to_vec()))
        }
        other => Err(format!("can't slice item of type {}", other.type_name())),
    }
}

fn from_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(items) => {
            Value::Map(items.into_iter().map(|(key, value)| (key, from_json(value))).collect())
        }
    }
}
