//! The time a line states, as text and as nanoseconds since the epoch.
//!
//! A time without a zone counts as UTC: containers run in UTC unless told otherwise.

const SECOND_NS: i128 = 1_000_000_000;

/// The date and time at the start of a text, `2024-01-01T10:00:00.123Z`, `2024-01-01 10:00:00,123`.
pub(super) fn leading(line: &[u8]) -> Option<&[u8]> {
    let (_, length) = date_time(line)?;
    Some(&line[..length])
}

/// Nanoseconds since the epoch of a time as lines state it: RFC 3339 (also with a blank, a comma before the
/// fraction or without zone), the common log format's, or a number of seconds, milli-, micro- or nanoseconds
/// since the epoch, told apart by their size. `None` for anything else and for times outside 1677 to 2262.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    if let Some((ns, length)) = date_time(text) {
        return (length == text.len()).then_some(ns);
    }
    number(text).or_else(|| common_log(text))
}

fn date_time(text: &[u8]) -> Option<(i64, usize)> {
    let head = text.get(..19)?;
    let marks = head[4] == b'-' && head[7] == b'-' && matches!(head[10], b'T' | b't' | b' ');
    if !marks || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let date = Date { year: digits(&head[..4])?, month: digits(&head[5..7])?, day: digits(&head[8..10])? };
    let clock = [digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..19])?];
    let (fraction_ns, fraction_length) = fraction(&text[19..]);
    let mut length = 19 + fraction_length;
    let (offset_seconds, zone_length) = zone(&text[length..])?;
    length += zone_length;
    let ns = nanoseconds(&date, clock, fraction_ns, offset_seconds)?;
    Some((ns, length))
}

/// `01/Jan/2024:10:00:00 +0000`
fn common_log(text: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let head = text.get(..20)?;
    if head[2] != b'/' || head[6] != b'/' || head[11] != b':' || head[14] != b':' || head[17] != b':' {
        return None;
    }
    let month = MONTHS.iter().position(|month| month.as_slice() == &head[3..6])?;
    let month = i64::try_from(month).ok()? + 1;
    let date = Date { year: digits(&head[7..11])?, month, day: digits(&head[..2])? };
    let clock = [digits(&head[12..14])?, digits(&head[15..17])?, digits(&head[18..20])?];
    let (offset_seconds, length) = zone(text[20..].trim_ascii_start())?;
    (length == text[20..].trim_ascii_start().len())
        .then(|| nanoseconds(&date, clock, 0, offset_seconds))
        .flatten()
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
}

fn nanoseconds(date: &Date, [hour, minute, second]: [i64; 3], fraction_ns: i64, offset: i64) -> Option<i64> {
    // A leap second (60) counts as the first second of the next minute.
    if !(1..=12).contains(&date.month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if date.day < 1 || date.day > days_of_month(date.year, date.month) {
        return None;
    }
    let seconds = days_since_epoch(date) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    i64::try_from(i128::from(seconds) * SECOND_NS + i128::from(fraction_ns)).ok()
}

const fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days between 1970-01-01 and a date of the Gregorian calendar. Years are counted from March, so that the
/// leap day is their last.
const fn days_since_epoch(date: &Date) -> i64 {
    let year = if date.month <= 2 { date.year - 1 } else { date.year };
    let month_from_march = (date.month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
}

/// Nanoseconds and length of `.123`; digits past the ninth are passed over.
fn fraction(text: &[u8]) -> (i64, usize) {
    if !matches!(text.first(), Some(b'.' | b',')) {
        return (0, 0);
    }
    let count = text[1..].iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return (0, 0);
    }
    let ns = (0..9).fold(0, |ns, i| ns * 10 + if i < count { i64::from(text[1 + i] - b'0') } else { 0 });
    (ns, 1 + count)
}

/// Seconds east of UTC and length of `Z`, `+01:00`, `+0100`, ` +0100`; nothing is UTC. `None` for a zone that is none.
fn zone(text: &[u8]) -> Option<(i64, usize)> {
    let blank = usize::from(text.first() == Some(&b' ') && matches!(text.get(1), Some(b'+' | b'-')));
    let zone = &text[blank..];
    let sign = match zone.first() {
        Some(b'Z' | b'z') => return Some((0, 1)),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some((0, 0)),
    };
    let colon = usize::from(zone.get(3) == Some(&b':'));
    let parts = zone.get(1..3).and_then(digits).zip(zone.get(3 + colon..5 + colon).and_then(digits));
    match parts {
        Some((hours @ 0..=23, minutes @ 0..=59)) => {
            Some((sign * (hours * 3_600 + minutes * 60), blank + 5 + colon))
        }
        // ` - main - ERROR`: a dash that begins the next column.
        _ if blank == 1 => Some((0, 0)),
        _ => None,
    }
}

/// Whether a text looks like a time, readable to [`parse`] or not: `Mon Jan 1 10:00:00 2024` does, `12ms` does not.
pub(super) fn is_likely(text: &[u8]) -> bool {
    let digits = text.iter().filter(|b| b.is_ascii_digit()).count();
    (digits >= 4 && memchr::memchr(b':', text).is_some()) || number(text.trim_ascii()).is_some()
}

/// A decimal number of seconds, milli-, micro- or nanoseconds: 1e11 seconds are the year 5138, 1e11 ms are 1973.
/// Less than 1e8 seconds, the year 1973, is rather a duration.
fn number(text: &[u8]) -> Option<i64> {
    let whole_length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=19).contains(&whole_length) {
        return None;
    }
    let (fraction, fraction_length) = fraction(&text[whole_length..]);
    if whole_length + fraction_length != text.len() {
        return None;
    }
    let whole: i128 = std::str::from_utf8(&text[..whole_length]).ok()?.parse().ok()?;
    let unit_ns: i128 = match whole {
        0..100_000_000 => return None,
        100_000_000..100_000_000_000 => SECOND_NS,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let ns = whole * unit_ns + i128::from(fraction) * unit_ns / SECOND_NS;
    i64::try_from(ns).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_in_the_usual_notations() {
        let base = 1_704_103_200_000_000_000; // 2024-01-01T10:00:00Z
        for (text, ns) in [
            ("2024-01-01T10:00:00Z", base),
            ("2024-01-01t10:00:00z", base),
            ("2024-01-01 10:00:00", base),
            ("2024-01-01T10:00:00.123456789Z", base + 123_456_789),
            ("2024-01-01 10:00:00,123", base + 123_000_000),
            ("2024-01-01T12:30:00+02:30", base),
            ("2024-01-01T08:00:00.5-0200", base + 500_000_000),
            ("2024-01-01 10:00:00 +0000", base),
            ("01/Jan/2024:10:00:00 +0000", base),
            ("01/Jan/2024:11:00:00 +0100", base),
            ("1704103200", base),
            ("1704103200.25", base + 250_000_000),
            ("1704103200000", base),
            ("1704103200000.5", base + 500_000),
            ("1704103200000000", base),
            ("1704103200000000000", base),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(ns), "{text}");
        }
        for text in [
            "",
            "x",
            "2024-01-01",
            "2024-13-01T10:00:00Z",
            "2023-02-29T10:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T10:00:00Q",
            "2024-01-01T10:00:00+9",
            "1e9",
            "1.2.3",
            "-1704103200",
            "0",
            "12.5",
            "99999999",
            "99999999999999999999",
            "9999-01-01T00:00:00Z",
            "01/Foo/2024:10:00:00 +0000",
            "-",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_leading_time_ends_where_the_text_begins() {
        for (line, time) in [
            ("2024-01-01T10:00:00.5Z ready", Some("2024-01-01T10:00:00.5Z")),
            ("2024-01-01 10:00:00,123 - main - ERROR", Some("2024-01-01 10:00:00,123")),
            ("2024-01-01 10:00:00 +0100 x", Some("2024-01-01 10:00:00 +0100")),
            ("2024-01-01 ready", None),
            ("", None),
        ] {
            assert_eq!(leading(line.as_bytes()), time.map(str::as_bytes), "{line}");
        }
    }

    proptest! {
        #[test]
        fn dates_are_those_of_jiff(ns in any::<i64>()) {
            let stamp = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
            prop_assert_eq!(parse(format!("{stamp:.9}").as_bytes()), Some(ns));
        }

        #[test]
        fn any_bytes_are_survived(text in proptest::collection::vec(any::<u8>(), 0..40), tail in "[0-9TZ:., +/-]{0,40}") {
            parse(&text);
            leading(&text);
            parse(tail.as_bytes());
            leading(tail.as_bytes());
        }
    }
}
