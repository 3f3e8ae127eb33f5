//! The times that the daemon writes before each message, and in `since`.
//!
//! Replies hold RFC 3339 with up to nine digits, in UTC or (driver `local`) in the daemon's time zone, so
//! times are compared as nanoseconds since the Unix epoch, never as text.

/// Longest timestamp accepted: nine digits and an offset are 35 bytes.
pub(super) const MAX_LEN: usize = 40;

/// Nanoseconds since the epoch of an RFC 3339 timestamp; `None` when it is none.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    if text.len() > MAX_LEN || text.get(10) != Some(&b'T') {
        return None;
    }
    static PARSER: jiff::fmt::temporal::DateTimeParser = jiff::fmt::temporal::DateTimeParser::new();
    let timestamp = PARSER.parse_timestamp(text).ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}

/// Nanoseconds since the epoch of the header `Date` of a reply; `None` when it is none.
pub(super) fn http_date(text: &[u8]) -> Option<i64> {
    static PARSER: jiff::fmt::rfc2822::DateTimeParser = jiff::fmt::rfc2822::DateTimeParser::new();
    i64::try_from(PARSER.parse_timestamp(text).ok()?.as_nanosecond()).ok()
}

/// Splits `timestamp SPACE rest`; `None` when `message` does not begin so.
pub(super) fn split(message: &[u8]) -> Option<(i64, &[u8])> {
    let head = &message[..message.len().min(MAX_LEN + 1)];
    let space = memchr::memchr(b' ', head)?;
    Some((parse(&message[..space])?, &message[space + 1..]))
}

/// The time as the API wants it in `since`: seconds with nine digits of fraction. Times before 1970 are 0,
/// which means no limit.
pub(super) fn since(ns: i64) -> String {
    let ns = ns.max(0);
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// Nanoseconds since the epoch, now.
pub(super) fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_write_times_in_several_ways() {
        for (text, ns) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-20T20:56:50.749183000Z", 1_795_208_210_749_183_000),
            ("2026-11-20T20:56:50.749183Z", 1_795_208_210_749_183_000),
            ("2026-11-20T23:56:50.749183000+03:00", 1_795_208_210_749_183_000),
            ("2026-11-20T20:56:50Z", 1_795_208_210_000_000_000),
            ("2026-11-20T20:56:50.000000001-00:30", 1_795_210_010_000_000_001),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(ns), "{text}");
        }
    }

    #[test]
    fn dates_of_replies_are_read() {
        assert_eq!(http_date(b"Fri, 20 Nov 2026 20:56:50 GMT"), Some(1_795_208_210_000_000_000));
        for text in [&b""[..], b"now", b"\xff", b"2026-11-20T20:56:50Z"] {
            assert_eq!(http_date(text), None);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "2026-11-20", "2026-13-20T20:56:50Z", "yesterday", "2026-11-20T20:56:50", "0", "Error"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(&[b'2'; 4096]), None);
        assert_eq!(split(b"2026-11-20T20:56:50.7Zno space"), None);
        assert_eq!(split(b" x"), None);
    }

    #[test]
    fn a_message_is_split_at_its_first_space() {
        assert_eq!(split(b"1970-01-01T00:00:01Z a b\n"), Some((1_000_000_000, &b"a b\n"[..])));
        assert_eq!(split(b"1970-01-01T00:00:01Z "), Some((1_000_000_000, &b""[..])));
    }

    #[test]
    fn since_is_text_with_nine_digits() {
        assert_eq!(since(1_795_209_065_995_910_683), "1795209065.995910683");
        assert_eq!(since(5), "0.000000005");
        assert_eq!(since(-5), "0.000000000");
    }
}
