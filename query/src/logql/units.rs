//! Numbers, durations and sizes as Go programs write them: what Loki's clients send and logs contain.
//!
//! Durations are `i64` nanoseconds, sizes are bytes. Error texts are those of Go's libraries, because they
//! become `__error_details__`.

/// Prints a sample value: shortest digits that read back, never an exponent (Go's `'f', -1`).
#[must_use]
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

/// Reads a number as Go's `strconv.ParseFloat`.
///
/// # Errors
/// Go's message when `text` is no number or out of range.
pub fn parse_float(text: &str) -> Result<f64, String> {
    let is_plain = |b: u8| b.is_ascii_digit() || b == b'.';
    if text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(is_plain)
        && let Ok(value) = text.parse::<f64>()
        && value.is_finite()
    {
        return Ok(value); // nearly every number
    }
    let syntax = || format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text));
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => {
            return Ok(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        "nan" => return if unsigned.len() == text.len() { Ok(f64::NAN) } else { Err(syntax()) },
        _ => {}
    }
    let value = if let Some(hex) = lower.strip_prefix("0x") {
        let value = parse_hex_float(hex).ok_or_else(syntax)?;
        if text.starts_with('-') { -value } else { value }
    } else {
        if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Err(syntax());
        }
        match strip_underscores(text) {
            None => return Err(syntax()),
            Some(None) => text.parse::<f64>().map_err(|_| syntax())?,
            Some(Some(plain)) => plain.parse::<f64>().map_err(|_| syntax())?,
        }
    };
    if value.is_infinite() {
        return Err(format!("strconv.ParseFloat: parsing {}: value out of range", quote(text)));
    }
    Ok(value)
}

/// `None` for misplaced underscores, `Some(None)` when there is none.
#[expect(clippy::option_option, reason = "three outcomes, used once")]
fn strip_underscores(text: &str) -> Option<Option<String>> {
    if !text.contains('_') {
        return Some(None);
    }
    let bytes = text.as_bytes();
    let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    let misplaced =
        (0..bytes.len()).any(|i| bytes[i] == b'_' && !(digit(i.checked_sub(1)) && digit(Some(i + 1))));
    (!misplaced).then(|| Some(text.replace('_', "")))
}

/// The part after `0x`: hexadecimal digits, a point and a mandatory binary exponent.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = i32::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(value * 2f64.powi(exponent.checked_sub(shift)?))
}

/// Quotes as Go's `%q`.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

const NANOS: f64 = 1.0;
const MICROS: f64 = 1e3;
const MILLIS: f64 = 1e6;
/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;

fn go_unit(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => NANOS,
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROS,
        "ms" => MILLIS,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

/// Reads a duration as Go's `time.ParseDuration`: `1h15m30.918s`, `-1.5ms`.
///
/// # Errors
/// Go's message.
pub fn parse_go_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at(digits);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(tail) => tail.split_at(tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, tail) = after.split_at(unit_end);
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let Some(scale) = go_unit(unit) else {
            return Err(format!("time: unknown unit {} in duration {}", quote(unit), quote(text)));
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "scales are whole numbers"
        )]
        let scale_int = scale as u64;
        let mut part = whole.checked_mul(scale_int).ok_or_else(invalid)?;
        if !fraction.is_empty() {
            let value: f64 = format!("0.{fraction}").parse().map_err(|_| invalid())?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "less than one hour")]
            let nanos = (value * scale) as u64;
            part = part.checked_add(nanos).ok_or_else(invalid)?;
        }
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = tail;
    }
    if negative && total == 1 << 63 {
        return Ok(i64::MIN);
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if negative { -total } else { total })
}

const PROMETHEUS_UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3600 * SECOND),
    ("w", 7 * 24 * 3600 * SECOND),
    ("d", 24 * 3600 * SECOND),
    ("h", 3600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
];

/// Reads a duration as Prometheus: whole numbers with units in falling order, `1d12h`, `90s`, `1500ms`.
///
/// # Errors
/// Prometheus' message.
pub fn parse_prometheus_duration(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Err("empty duration string".to_owned());
    }
    if text == "0" {
        return Ok(0);
    }
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let mut rest = text;
    let mut next_unit = 0;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, tail) = after.split_at(unit_end);
        let found = PROMETHEUS_UNITS.iter().skip(next_unit).position(|(name, _)| *name == unit);
        let index = next_unit + found.ok_or_else(invalid)?;
        let number: i64 = number.parse().map_err(|_| invalid())?;
        let part = number.checked_mul(PROMETHEUS_UNITS[index].1);
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| "duration out of range".to_owned())?;
        next_unit = index + 1;
        rest = tail;
    }
    Ok(total)
}

/// Reads a duration literal of a query: Prometheus' form, else Go's, with an optional sign.
///
/// # Errors
/// The message of the latter.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    parse_prometheus_duration(text).or_else(|_| parse_go_duration(text))
}

/// Prints a duration so that [`parse_duration`] reads it back.
#[must_use]
pub fn format_duration(nanos: i64) -> String {
    let (sign, mut rest) = if nanos < 0 { ("-", nanos.unsigned_abs()) } else { ("", nanos.unsigned_abs()) };
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = sign.to_owned();
    for (unit, scale) in [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        if rest >= scale {
            out.push_str(&format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    out
}

const BYTE_UNITS: [(&str, u64); 26] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
    ("pib", 1 << 50),
    ("pb", 1_000_000_000_000_000),
    ("eib", 1 << 60),
    ("eb", 1_000_000_000_000_000_000),
    ("", 1),
    ("ki", 1 << 10),
    ("k", 1_000),
    ("mi", 1 << 20),
    ("m", 1_000_000),
    ("gi", 1 << 30),
    ("g", 1_000_000_000),
    ("ti", 1 << 40),
    ("t", 1_000_000_000_000),
    ("pi", 1 << 50),
    ("p", 1_000_000_000_000_000),
    ("ei", 1 << 60),
    ("e", 1_000_000_000_000_000_000),
];

/// Reads a size with a unit, `42kB`, `1.5 GiB`, `1,024`.
///
/// # Errors
/// When the number or the unit is unknown.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number = parse_float(&number.replace(',', ""))?;
    let unit = unit.trim().to_lowercase();
    let Some((_, scale)) = BYTE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("unhandled size name: {unit}"));
    };
    #[expect(clippy::cast_precision_loss, reason = "as Go does")]
    let value = number * *scale as f64;
    if value >= 18_446_744_073_709_551_615.0 {
        return Err(format!("too large: {text}"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above; never negative"
    )]
    Ok(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_without_exponent() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (-0.0, "-0"),
        ] {
            assert_eq!(format_float(value), text);
        }
    }

    #[test]
    fn floats_parse_as_go() {
        for (text, value) in [
            ("1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("+3", 3.0),
            ("1e3", 1000.0),
            ("1_000", 1000.0),
            ("0x1p-2", 0.25),
            ("-Inf", f64::NEG_INFINITY),
            ("infinity", f64::INFINITY),
        ] {
            assert_eq!(parse_float(text), Ok(value), "{text}");
        }
        for text in ["", "abc", "1x", "0x10", "+nan", "1__0", "_1", "1e400", " 1", "1e"] {
            assert!(parse_float(text).is_err(), "{text}");
        }
        assert_eq!(parse_float("a").unwrap_err(), "strconv.ParseFloat: parsing \"a\": invalid syntax");
    }

    #[test]
    fn durations_parse_as_go() {
        for (text, ns) in [
            ("1.5h", 5_400 * SECOND),
            ("2h45m", 9_900 * SECOND),
            ("-3ms", -3_000_000),
            ("3600000000\u{b5}s", 3_600 * SECOND),
            ("0", 0),
            (".5s", 500_000_000),
        ] {
            assert_eq!(parse_go_duration(text), Ok(ns), "{text}");
        }
        assert_eq!(
            parse_go_duration("2weeeeee").unwrap_err(),
            "time: unknown unit \"weeeeee\" in duration \"2weeeeee\""
        );
        assert_eq!(parse_go_duration("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(parse_go_duration("x").unwrap_err(), "time: invalid duration \"x\"");
        assert!(parse_go_duration("99999999999h").is_err());
    }

    #[test]
    fn durations_parse_as_prometheus() {
        assert_eq!(parse_prometheus_duration("1d12h"), Ok(36 * 3600 * SECOND));
        assert_eq!(parse_prometheus_duration("1500ms"), Ok(1_500_000_000));
        for text in ["", "5", "1.5h", "1h1d", "1h1h", "-5m", "5x", "9999999999y"] {
            assert!(parse_prometheus_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_print_readable() {
        for (ns, text) in [(0, "0s"), (90 * SECOND, "1m30s"), (-1_500_000, "-1ms500us"), (7, "7ns")] {
            assert_eq!(format_duration(ns), text);
            assert_eq!(parse_duration(text), Ok(ns));
        }
    }

    #[test]
    fn sizes_parse_as_humanize() {
        for (text, bytes) in [
            ("42", 42),
            ("1kB", 1000),
            ("1KiB", 1024),
            ("1.5 MB", 1_500_000),
            ("2gi", 2 << 30),
            ("1,024", 1024),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "1XB", "-1MB", "99999EB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
