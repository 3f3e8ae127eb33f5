//! The severity that a line states: in a field, at its beginning, or as the earliest word that names one.

use store::Level;

/// A line is searched for a word this far.
const MAX_SEARCHED_BYTES: usize = 32 << 10;
/// Abbreviations and rarer names count within this much of a line: further on they are prose.
const MAX_HEAD_BYTES: usize = 128;

/// The level that the value of the field `name` states, `None` for a value that states none.
pub(super) fn of_field(name: &str, value: &[u8]) -> Option<Level> {
    let value = value.trim_ascii();
    if let Some(number) = small_number(value) {
        return of_number(name, number);
    }
    let word = value.split(|b| !b.is_ascii_alphanumeric()).find(|word| !word.is_empty())?;
    match word {
        [letter] => of_letter(letter.to_ascii_uppercase()),
        // MongoDB's D1 to D5.
        [b'D', b'1'..=b'5'] => Some(Level::Debug),
        word => of_word(word).or_else(|| of_rare_word(word)),
    }
}

fn small_number(value: &[u8]) -> Option<u32> {
    (1..=4).contains(&value.len()).then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// The scale depends on who counts: OpenTelemetry up to 24, Python's `levelno`, pino and bunyan in tens, syslog below 8.
fn of_number(name: &str, number: u32) -> Option<Level> {
    if name.to_ascii_lowercase().contains("number") {
        return of_otel_number(number);
    }
    if name.eq_ignore_ascii_case("levelno") {
        return Some(match number {
            0..10 => return None,
            10..20 => Level::Debug,
            20..30 => Level::Info,
            30..40 => Level::Warn,
            40..50 => Level::Error,
            _ => Level::Critical,
        });
    }
    match number {
        0..=7 => of_syslog(number),
        10..20 => Some(Level::Trace),
        20..30 => Some(Level::Debug),
        30..40 => Some(Level::Info),
        40..50 => Some(Level::Warn),
        50..60 => Some(Level::Error),
        60..70 => Some(Level::Fatal),
        _ => None,
    }
}

/// The level of an OpenTelemetry severity number, `None` for 0 (unspecified) and what is none.
pub(crate) const fn of_otel_number(number: u32) -> Option<Level> {
    Some(match number {
        1..=4 => Level::Trace,
        5..=8 => Level::Debug,
        9..=12 => Level::Info,
        13..=16 => Level::Warn,
        17..=20 => Level::Error,
        21..=24 => Level::Fatal,
        _ => return None,
    })
}

const fn of_syslog(severity: u32) -> Option<Level> {
    Some(match severity {
        0 => Level::Fatal,
        1 | 2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warn,
        5 | 6 => Level::Info,
        7 => Level::Debug,
        _ => return None,
    })
}

const fn of_letter(letter: u8) -> Option<Level> {
    Some(match letter {
        b'T' | b'V' => Level::Trace,
        b'D' => Level::Debug,
        b'I' | b'N' => Level::Info,
        b'W' => Level::Warn,
        b'E' => Level::Error,
        b'C' => Level::Critical,
        b'F' => Level::Fatal,
        _ => return None,
    })
}

/// Words that name a level wherever they stand.
fn of_word(word: &[u8]) -> Option<Level> {
    const WORDS: [(&[u8], Level); 9] = [
        (b"info", Level::Info),
        (b"error", Level::Error),
        (b"debug", Level::Debug),
        (b"warn", Level::Warn),
        (b"warning", Level::Warn),
        (b"err", Level::Error),
        (b"trace", Level::Trace),
        (b"fatal", Level::Fatal),
        (b"critical", Level::Critical),
    ];
    find(&WORDS, word)
}

/// Words that name a level only where one is expected.
fn of_rare_word(word: &[u8]) -> Option<Level> {
    const WORDS: [(&[u8], Level); 27] = [
        (b"inf", Level::Info),
        (b"information", Level::Info),
        (b"informational", Level::Info),
        (b"notice", Level::Info),
        (b"note", Level::Info),
        (b"log", Level::Info),
        (b"dbg", Level::Debug),
        (b"dbug", Level::Debug),
        (b"fine", Level::Debug),
        (b"trc", Level::Trace),
        (b"trce", Level::Trace),
        (b"verbose", Level::Trace),
        (b"vrb", Level::Trace),
        (b"finer", Level::Trace),
        (b"finest", Level::Trace),
        (b"wrn", Level::Warn),
        (b"severe", Level::Error),
        (b"fail", Level::Error),
        (b"eror", Level::Error),
        (b"crit", Level::Critical),
        (b"alert", Level::Critical),
        (b"panic", Level::Fatal),
        (b"dpanic", Level::Fatal),
        (b"emerg", Level::Fatal),
        (b"emergency", Level::Fatal),
        (b"ftl", Level::Fatal),
        (b"config", Level::Info),
    ];
    find(&WORDS, word)
}

fn find(words: &[(&[u8], Level)], word: &[u8]) -> Option<Level> {
    words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
}

/// The level a text names, by its prefix or by the earliest word that is one.
pub(super) fn of_text(line: &[u8]) -> Option<Level> {
    let line = line.trim_ascii_start();
    let line = &line[..line.len().min(MAX_SEARCHED_BYTES)];
    of_prefix(line).or_else(|| of_earliest_word(line))
}

/// Notations that are no words: `<3>` of syslog, `W0821 10:00:00` of klog, `E/Tag` of logcat, Redis' marks.
fn of_prefix(line: &[u8]) -> Option<Level> {
    match line {
        [b'<', rest @ ..] => {
            let end = rest.iter().take(4).position(|b| *b == b'>')?;
            let priority = small_number(&rest[..end]).filter(|priority| *priority < 192)?;
            of_syslog(priority % 8)
        }
        [letter @ (b'I' | b'W' | b'E' | b'F'), digits @ ..] if is_klog(digits) => of_letter(*letter),
        [letter @ (b'V' | b'D' | b'I' | b'W' | b'E' | b'F'), b'/', next, ..]
            if next.is_ascii_alphabetic() =>
        {
            of_letter(*letter)
        }
        [b'0'..=b'9', ..] => of_redis(line),
        _ => None,
    }
}

/// `0821 10:00:00.123456`
fn is_klog(digits: &[u8]) -> bool {
    digits.len() > 8
        && digits[..4].iter().all(u8::is_ascii_digit)
        && digits[4] == b' '
        && digits[5..7].iter().all(u8::is_ascii_digit)
        && digits[7] == b':'
}

/// `1:M 01 Jan 2024 10:00:00.123 * Ready to accept connections`
fn of_redis(line: &[u8]) -> Option<Level> {
    let mut words = line[..line.len().min(64)].split(|b| *b == b' ');
    let process = words.next()?;
    let (role, pid) = process.split_last()?;
    if !matches!(role, b'M' | b'S' | b'C' | b'X') || !pid.ends_with(b":") {
        return None;
    }
    match words.nth(4)? {
        b"." | b"-" => Some(Level::Debug),
        b"*" => Some(Level::Info),
        b"#" => Some(Level::Warn),
        _ => None,
    }
}

/// Bytes of words. Dots, dashes and slashes bind: `error-handler`, `/api/error`, `log.error` name things.
const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || b >= 0x80 || matches!(b, b'_' | b'-' | b'/' | b'.');
        byte += 1;
    }
    table
};

fn of_earliest_word(line: &[u8]) -> Option<Level> {
    let mut at = 0;
    let mut only_digits_before = true;
    while at < line.len() {
        if !WORD[usize::from(line[at])] {
            at += if line[at] == 0x1b { colour_length(&line[at..]) } else { 1 };
            continue;
        }
        let start = at;
        while at < line.len() && WORD[usize::from(line[at])] {
            at += 1;
        }
        let word = line[start..at].strip_suffix(b".").unwrap_or(&line[start..at]);
        if let Some(level) = of_word_in_text(line, start, word, only_digits_before) {
            return Some(level);
        }
        only_digits_before &= word[..word.len().min(1)].iter().all(u8::is_ascii_digit);
    }
    None
}

/// Length of the terminal colour at the start of `rest`, `ESC [ 1;32 m`.
fn colour_length(rest: &[u8]) -> usize {
    if rest.get(1) != Some(&b'[') {
        return 1;
    }
    let code = rest[2..].iter().take(16).take_while(|b| b.is_ascii_digit() || **b == b';').count();
    2 + code + usize::from(rest.get(2 + code).is_some_and(u8::is_ascii_alphabetic))
}

fn of_word_in_text(line: &[u8], start: usize, word: &[u8], only_digits_before: bool) -> Option<Level> {
    if !(1..=9).contains(&word.len()) {
        return None;
    }
    let after = &line[start + word.len()..];
    if let Some(level) = of_word(word) {
        return (!says_nothing(after)).then_some(level);
    }
    if start > MAX_HEAD_BYTES {
        return None;
    }
    let before = start.checked_sub(1).map(|i| line[i]);
    let next = after.first().copied();
    let bracketed = matches!((before, next), (Some(b'['), Some(b']' | b' ')) | (Some(b'|'), Some(b'|')))
        || matches!((before, next), (Some(b'('), Some(b')')) | (Some(b'<'), Some(b'>')));
    if let [letter] = word {
        let alone = only_digits_before && start > 0 && matches!((before, next), (Some(b' '), Some(b' ')));
        return (letter.is_ascii_uppercase() && (bracketed || alone)).then(|| of_letter(*letter)).flatten();
    }
    let first_with_colon = start == 0 && next == Some(b':');
    let capitals = word.iter().all(u8::is_ascii_uppercase);
    // `[information]` and `[config]` name topics; in capitals they are levels.
    let long = word.len() > 7 || word == b"config" || word == b"log";
    let stated = first_with_colon
        || (bracketed && !long)
        || (capitals && (bracketed || next == Some(b':') || only_digits_before));
    stated.then(|| of_rare_word(word)).flatten()
}

/// Whether a name that looks like a level is a field that says there is none: `"error":null`, `err=<nil>`.
fn says_nothing(after: &[u8]) -> bool {
    let after = after.strip_prefix(b"\"").unwrap_or(after);
    let Some((b':' | b'=', value)) = after.split_first() else { return false };
    let value = value.trim_ascii_start();
    [&b"null"[..], b"nil", b"<nil>", b"None", b"\"\"", b"false", b"[]", b"{}"].iter().any(|none| {
        value.strip_prefix(*none).is_some_and(|rest| rest.first().is_none_or(|b| !b.is_ascii_alphanumeric()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_state_levels_in_words_letters_and_numbers() {
        use Level::{Critical, Debug, Error, Fatal, Info, Trace, Warn};
        for (name, value, level) in [
            ("level", "info", Some(Info)),
            ("level", "WARNING", Some(Warn)),
            ("level", "Information", Some(Info)),
            ("level", "[ERR]", Some(Error)),
            ("level", "E", Some(Error)),
            ("level", "10", Some(Trace)),
            ("level", "20", Some(Debug)),
            ("level", "30", Some(Info)),
            ("level", "40", Some(Warn)),
            ("level", "50", Some(Error)),
            ("level", "60", Some(Fatal)),
            ("level", "3", Some(Error)),
            ("level", "99", None),
            ("levelno", "20", Some(Info)),
            ("levelno", "50", Some(Critical)),
            ("severity_number", "17", Some(Error)),
            ("severityNumber", "0", None),
            ("PRIORITY", "4", Some(Warn)),
            ("s", "D2", Some(Debug)),
            ("s", "I", Some(Info)),
            ("@l", "Verbose", Some(Trace)),
            ("level", "loud", None),
            ("level", "", None),
            ("level", "99999999999", None),
        ] {
            assert_eq!(of_field(name, value.as_bytes()), level, "{name}={value}");
        }
    }

    #[test]
    fn texts_state_levels_at_their_beginning() {
        use Level::{Critical, Debug, Error, Fatal, Info, Warn};
        for (line, level) in [
            ("<3>disk failed", Some(Error)),
            ("<165>1 2024-01-01T00:00:00Z host app - - - x", Some(Info)),
            ("<999>x", None),
            ("W0821 10:00:00.123456       1 main.go:1] slow", Some(Warn)),
            ("E/ActivityManager(12): gone", Some(Error)),
            ("1:M 01 Jan 2024 10:00:00.123 # Server overloaded", Some(Warn)),
            ("1:M 01 Jan 2024 10:00:00.123 * Ready to accept connections", Some(Info)),
            ("[10:00:00 INF] started", Some(Info)),
            ("10:00:00 DBG started", Some(Debug)),
            ("[I 2024-01-01 10:00:00 App] serving", Some(Info)),
            ("01-01 10:00:00.000  123  456 E Tag: gone", Some(Error)),
            ("2024/01/01 10:00:00 [emerg] 1#1: bind() failed", Some(Fatal)),
            ("2024/01/01 10:00:00 [notice] 1#1: start", Some(Info)),
            ("2024-01-01 10:00:00.000 UTC [1] LOG:  database system is ready", Some(Info)),
            ("2024-01-01T10:00:00.000000Z 0 [Note] [MY-010] x", Some(Info)),
            ("fail: Shop.Orders[13]", Some(Error)),
            ("panic: runtime error: index out of range", Some(Fatal)),
            ("SEVERE: cannot start", Some(Error)),
            ("\x1b[31mERROR\x1b[0m boom", Some(Error)),
            ("\x1b[1;31merror\x1b[0m boom", Some(Error)),
            ("2024-01-01 10:00:00 | CRIT | boom", Some(Critical)),
            ("|crit| boom", Some(Critical)),
            ("please note that all is fine", None),
            ("I think so", None),
        ] {
            assert_eq!(of_text(line.as_bytes()), level, "{line}");
        }
    }

    #[test]
    fn the_earliest_whole_word_counts() {
        for (line, level) in [
            ("cannot connect: an error.", Some(Level::Error)),
            ("took info then error", Some(Level::Info)),
            ("fooerror (error) x", Some(Level::Error)),
            ("GET /api/error/1 ok", None),
            ("see log.error and error-page", None),
            ("module:warning x", Some(Level::Warn)),
            ("éerror", None),
            (r#"{"error":null,"msg":"ok"}"#, None),
            (r#"{"error":"timeout"}"#, Some(Level::Error)),
            ("done err=<nil>", None),
            ("done err=timeout", Some(Level::Error)),
            ("", None),
        ] {
            assert_eq!(of_text(line.as_bytes()), level, "{line}");
        }
    }
}
