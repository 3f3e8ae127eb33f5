//! Functions on text.

use super::eval::MAX_OUTPUT;
use super::functions::{Function, function, int, text};
use super::value::Value;
use crate::logql::regex::Regex;

pub(super) static FUNCTIONS: [Function; 31] = [
    function("ToLower", 1, 1, |_, v| Ok(Value::Text(text(v, 0)?.to_lowercase()))),
    function("lower", 1, 1, |_, v| Ok(Value::Text(text(v, 0)?.to_lowercase()))),
    function("ToUpper", 1, 1, |_, v| Ok(Value::Text(text(v, 0)?.to_uppercase()))),
    function("upper", 1, 1, |_, v| Ok(Value::Text(text(v, 0)?.to_uppercase()))),
    function("title", 1, 1, |_, v| Ok(Value::Text(title(text(v, 0)?)))),
    // these take the text first, as Go's own functions do
    function("Replace", 4, 4, |_, v| {
        replace(text(v, 0)?, text(v, 1)?, text(v, 2)?, usize::try_from(int(v, 3)?).unwrap_or(usize::MAX))
    }),
    function("Trim", 2, 2, |_, v| Ok(trim(text(v, 0)?, text(v, 1)?))),
    function("TrimLeft", 2, 2, |_, v| {
        let (text, set) = (text(v, 0)?, text(v, 1)?);
        Ok(Value::Text(text.trim_start_matches(|c| set.contains(c)).to_owned()))
    }),
    function("TrimRight", 2, 2, |_, v| {
        let (text, set) = (text(v, 0)?, text(v, 1)?);
        Ok(Value::Text(text.trim_end_matches(|c| set.contains(c)).to_owned()))
    }),
    function("TrimPrefix", 2, 2, |_, v| Ok(trim_prefix(text(v, 0)?, text(v, 1)?))),
    function("TrimSuffix", 2, 2, |_, v| Ok(trim_suffix(text(v, 0)?, text(v, 1)?))),
    function("TrimSpace", 1, 1, |_, v| Ok(Value::Text(text(v, 0)?.trim().to_owned()))),
    // these take it last, so that it can be piped
    function("replace", 3, 3, |_, v| replace(text(v, 2)?, text(v, 0)?, text(v, 1)?, usize::MAX)),
    function("trim", 1, 1, |_, v| Ok(Value::Text(text(v, 0)?.trim().to_owned()))),
    function("trimAll", 2, 2, |_, v| Ok(trim(text(v, 1)?, text(v, 0)?))),
    function("trimPrefix", 2, 2, |_, v| Ok(trim_prefix(text(v, 1)?, text(v, 0)?))),
    function("trimSuffix", 2, 2, |_, v| Ok(trim_suffix(text(v, 1)?, text(v, 0)?))),
    function("contains", 2, 2, |_, v| Ok(Value::Bool(text(v, 1)?.contains(text(v, 0)?)))),
    function("hasPrefix", 2, 2, |_, v| Ok(Value::Bool(text(v, 1)?.starts_with(text(v, 0)?)))),
    function("hasSuffix", 2, 2, |_, v| Ok(Value::Bool(text(v, 1)?.ends_with(text(v, 0)?)))),
    function("trunc", 2, 2, |_, v| Ok(trunc(int(v, 0)?, text(v, 1)?))),
    function("substr", 3, 3, |_, v| Ok(substr(int(v, 0)?, int(v, 1)?, text(v, 2)?))),
    function("repeat", 2, 2, |_, v| {
        let (count, text) = (usize::try_from(int(v, 0)?).map_err(|_| "negative Repeat count")?, text(v, 1)?);
        checked(count.saturating_mul(text.len()))?;
        Ok(Value::Text(text.repeat(count)))
    }),
    function("indent", 2, 2, |_, v| indent(int(v, 0)?, text(v, 1)?).map(Value::Text)),
    function("nindent", 2, 2, |_, v| Ok(Value::Text(format!("\n{}", indent(int(v, 0)?, text(v, 1)?)?)))),
    function("alignLeft", 2, 2, |_, v| align(int(v, 0)?, text(v, 1)?, true)),
    function("alignRight", 2, 2, |_, v| align(int(v, 0)?, text(v, 1)?, false)),
    function("quote", 0, usize::MAX, |_, v| {
        let words: Vec<String> = v.iter().map(|v| crate::logql::units::quote(&v.print())).collect();
        Ok(Value::Text(words.join(" ")))
    }),
    function("squote", 0, usize::MAX, |_, v| {
        let words: Vec<String> = v.iter().map(|v| format!("'{}'", v.print())).collect();
        Ok(Value::Text(words.join(" ")))
    }),
    function("toString", 1, 1, |_, v| Ok(Value::Text(v[0].print()))),
    function("nospace", 1, 1, |_, v| Ok(Value::Text(text(v, 0)?.split_whitespace().collect()))),
];

/// Refuses what would blow the memory up.
fn checked(bytes: usize) -> Result<(), String> {
    if bytes > MAX_OUTPUT { Err(format!("result is larger than {MAX_OUTPUT} bytes")) } else { Ok(()) }
}

fn replace(text: &str, old: &str, new: &str, count: usize) -> Result<Value, String> {
    checked(text.len().saturating_add((text.len() + 1).saturating_mul(new.len())))?;
    Ok(Value::Text(text.replacen(old, new, count)))
}

fn trim(text: &str, set: &str) -> Value {
    Value::Text(text.trim_matches(|c| set.contains(c)).to_owned())
}

fn trim_prefix(text: &str, prefix: &str) -> Value {
    Value::Text(text.strip_prefix(prefix).unwrap_or(text).to_owned())
}

fn trim_suffix(text: &str, suffix: &str) -> Value {
    Value::Text(text.strip_suffix(suffix).unwrap_or(text).to_owned())
}

fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    out
}

/// Bytes `start..end`; text cut within a character shows U+FFFD.
fn bytes(text: &str, start: usize, end: usize) -> Value {
    let part = text.as_bytes().get(start.min(text.len())..end.min(text.len())).unwrap_or_default();
    Value::Text(String::from_utf8_lossy(part).into_owned())
}

/// The first `count` bytes, or the last ones of a negative count.
fn trunc(count: i64, text: &str) -> Value {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    match count {
        0.. => bytes(text, 0, wanted),
        _ => bytes(text, text.len().saturating_sub(wanted), text.len()),
    }
}

fn substr(start: i64, end: i64, text: &str) -> Value {
    let whole = text.len();
    let end = usize::try_from(end).map_or(whole, |end| end.min(whole));
    bytes(text, usize::try_from(start).unwrap_or(0), end)
}

fn indent(spaces: i64, text: &str) -> Result<String, String> {
    let spaces = usize::try_from(spaces).map_err(|_| "negative Repeat count")?;
    checked(spaces.saturating_mul(text.matches('\n').count() + 1))?;
    let pad = " ".repeat(spaces);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn align(count: i64, text: &str, left: bool) -> Result<Value, String> {
    let length = text.chars().count();
    let Ok(count) = usize::try_from(count) else { return Ok(Value::Text(text.to_owned())) };
    checked(count)?;
    let pad = " ".repeat(count.saturating_sub(length));
    Ok(Value::Text(match left {
        true => format!("{}{pad}", text.chars().take(count).collect::<String>()),
        false => format!("{pad}{}", text.chars().skip(length.saturating_sub(count)).collect::<String>()),
    }))
}

/// Expressions in templates are data, so they compile when executed; the last one is kept.
pub(super) fn regex(pattern: &str) -> Result<Regex, String> {
    thread_local! {
        static LAST: std::cell::RefCell<Option<(String, Regex)>> = const { std::cell::RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if let Some((known, regex)) = last
            && known == pattern
        {
            return Ok(regex.clone());
        }
        let regex = Regex::new(pattern)?;
        *last = Some((pattern.to_owned(), regex.clone()));
        Ok(regex)
    })
}

/// `regexReplaceAll "re" "text" "replacement"`
pub(super) fn regex_replace(values: &[Value], expand: bool) -> Result<Value, String> {
    let regex = regex(text(values, 0)?)?;
    let (subject, replacement) = (text(values, 1)?.as_bytes(), text(values, 2)?);
    let replaced = if expand {
        regex.program().replace_all(subject, replacement.as_bytes())
    } else {
        regex.program().replace_all(subject, regex::bytes::NoExpand(replacement.as_bytes()))
    };
    checked(replaced.len())?;
    Ok(Value::Text(String::from_utf8_lossy(&replaced).into_owned()))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let six = (group >> (18 - 6 * i)) & 63;
            out.push(if i > chunk.len() { '=' } else { char::from(BASE64[six as usize]) });
        }
    }
    out
}

/// The text of a base64 string, or Go's message for what is none (sprig returns it as the result).
pub(super) fn base64_decode(encoded: &str) -> String {
    let digits = encoded.trim_end_matches('=');
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut group, mut bits) = (0_u32, 0);
    for (i, byte) in digits.bytes().enumerate() {
        let Some(six) = BASE64.iter().position(|known| *known == byte) else {
            return format!("illegal base64 data at input byte {i}");
        };
        group = (group << 6 | u32::try_from(six).unwrap_or(0)) & 0x00ff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(group >> bits & 0xff).unwrap_or(0));
        }
    }
    if !encoded.len().is_multiple_of(4) {
        return format!("illegal base64 data at input byte {}", encoded.len());
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub(super) fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub(super) fn url_decode(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = rest.get(..2).and_then(|d| std::str::from_utf8(d).ok());
                let value = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let value = value.and_then(|d| u8::from_str_radix(d, 16).ok());
                let shown = String::from_utf8_lossy(rest.get(..2).unwrap_or(rest)).into_owned();
                out.push(value.ok_or_else(|| format!("invalid URL escape \"%{shown}\""))?);
                rest = rest.get(2..).unwrap_or_default();
            }
            _ => out.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

pub(super) fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

pub(super) fn js_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
