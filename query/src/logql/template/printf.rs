//! Go's `fmt.Sprintf` and `fmt.Sprint` for the values templates have.

use super::value::{Value, general};

/// Go's `Sprint`: a space between neighbours of which neither is text.
pub(super) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !after_text && !is_text {
            out.push(' ');
        }
        out.push_str(&value.print());
        after_text = is_text;
    }
    out
}

/// Flags, width and precision of one verb.
#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// Widest field: a guard against `%999999999d`.
const MAX_WIDTH: usize = 4096;

/// Go's `Sprintf`, including what it prints for wrong verbs and missing or extra arguments.
pub(super) fn sprintf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '#' | ' ' | '0')) {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
        }
        spec.width = number(&mut chars, &mut arguments).unwrap_or(0).min(MAX_WIDTH);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(number(&mut chars, &mut arguments).unwrap_or(0).min(MAX_WIDTH));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                Some(value) => out.push_str(&pad(&spec, verb, value)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    let extra: Vec<String> = arguments.map(|v| format!("{}={}", v.type_name(), v.print())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// Digits, or `*` for the next argument.
fn number<'a>(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    arguments: &mut impl Iterator<Item = &'a Value>,
) -> Option<usize> {
    if chars.next_if_eq(&'*').is_some() {
        return arguments.next().and_then(|value| usize::try_from(value.to_int()).ok());
    }
    let mut value = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        let digit = digit.to_digit(10).unwrap_or(0) as usize;
        value = Some(value.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit));
    }
    value
}

fn pad(spec: &Spec, verb: char, value: &Value) -> String {
    let text = render(spec, verb, value);
    let missing = spec.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if spec.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    let numeric = matches!(value, Value::Int(_) | Value::Float(_));
    if spec.zero && (numeric || matches!(verb, 's' | 'v' | 'q')) {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) if numeric => text.split_at(text.len() - digits.len()),
            _ => ("", text.as_str()),
        };
        return format!("{sign}{}{digits}", "0".repeat(missing));
    }
    format!("{}{text}", " ".repeat(missing))
}

fn signed(spec: &Spec, text: String) -> String {
    if text.starts_with(['-', '+']) {
        return if text.starts_with('+') && !spec.plus && !text.contains("Inf") {
            text.trim_start_matches('+').to_owned()
        } else {
            text
        };
    }
    match (spec.plus, spec.space) {
        (true, _) => format!("+{text}"),
        (false, true) => format!(" {text}"),
        _ => text,
    }
}

fn render(spec: &Spec, verb: char, value: &Value) -> String {
    let rendered = match (verb, value) {
        ('v', Value::Int(_) | Value::Float(_)) => Some(signed(spec, value.print())),
        ('v', Value::Text(text)) if spec.sharp => Some(crate::logql::units::quote(text)),
        ('v', _) => Some(value.print()),
        ('T', _) => Some(value.type_name().to_owned()),
        ('t', Value::Bool(value)) => Some(value.to_string()),
        ('s', Value::Text(text)) => Some(match spec.precision {
            Some(length) => text.chars().take(length).collect(),
            None => text.clone(),
        }),
        ('s', Value::Time(_) | Value::List(_) | Value::Map(_)) => Some(value.print()),
        ('q', Value::Text(text)) => Some(crate::logql::units::quote(text)),
        ('x', Value::Text(text)) => Some(text.bytes().map(|b| format!("{b:02x}")).collect()),
        ('X', Value::Text(text)) => Some(text.bytes().map(|b| format!("{b:02X}")).collect()),
        (_, Value::Int(int)) => integer(spec, verb, *int),
        (_, Value::Float(float)) => floating(spec, verb, *float),
        _ => None,
    };
    rendered.unwrap_or_else(|| format!("%!{verb}({}={})", value.type_name(), value.print()))
}

fn integer(spec: &Spec, verb: char, value: i64) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let prefix = |prefix: &'static str| if spec.sharp { prefix } else { "" };
    let digits = match verb {
        'd' => magnitude.to_string(),
        'x' => format!("{}{magnitude:x}", prefix("0x")),
        'X' => format!("{}{magnitude:X}", prefix("0X")),
        'o' => format!("{}{magnitude:o}", prefix("0")),
        'b' => format!("{magnitude:b}"),
        'c' => return u32::try_from(value).ok().and_then(char::from_u32).map(String::from),
        'U' => return Some(format!("U+{magnitude:04X}")),
        'q' => return u32::try_from(value).ok().and_then(char::from_u32).map(|c| format!("'{c}'")),
        _ => return None,
    };
    let padded = format!("{digits:0>width$}", width = spec.precision.unwrap_or(0));
    Some(signed(spec, if value < 0 { format!("-{padded}") } else { padded }))
}

fn floating(spec: &Spec, verb: char, value: f64) -> Option<String> {
    let precision = spec.precision.unwrap_or(6);
    let text = match verb {
        _ if !value.is_finite() => crate::logql::units::format_float(value),
        'f' | 'F' => format!("{value:.precision$}"),
        'e' | 'E' => {
            let text = format!("{value:.precision$e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}{verb}{sign}{:02}", exponent.abs())
        }
        'g' | 'G' => general(value, spec.precision),
        _ => return None,
    };
    Some(signed(spec, text))
}
