//! Dates and times of RFC 3339 in lines, as the difference to the time of their record.
//!
//! All of a column are written alike: the same byte between date and time, the same number of digits after
//! the second, the same zone. Only those whose text follows from their instant are taken.

use std::ops::Range;

use super::Rows;
use super::bytes::ByteSet;
use super::number::Digits;
use crate::block::wire::{Input, Malformed, put_bytes, put_signed};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;
/// Most digits in a row anywhere but in the fraction; a zone has as many.
const YEAR_DIGITS: usize = 4;

/// How all stamps of a column are written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Format {
    /// `T` or a space.
    separator: u8,
    /// `.` or `,` before the fraction.
    point: u8,
    /// Digits of the fraction of a second, at most nine; 0: there is no point.
    decimals: usize,
    /// What follows: `Z`, an offset, or nothing. Taken as text: only the digits before it are an instant.
    zone: Vec<u8>,
}

/// A column of stamps.
#[derive(Debug)]
pub(crate) struct Stamps {
    format: Format,
    /// Nanoseconds since 1970 of the clock they show, whatever its zone.
    instants: Vec<i64>,
}

/// Length of the date and time that `text` begins with.
pub(super) fn len(text: &[u8]) -> Option<usize> {
    const SECONDS: &[u8; 19] = b"0000-00-00T00:00:00";
    let head = text.first_chunk::<19>()?;
    if head[4] != b'-' || head[13] != b':' {
        return None;
    }
    for (byte, pattern) in head.iter().zip(SECONDS) {
        let fits = match pattern {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b' '),
            other => byte == other,
        };
        if !fits {
            return None;
        }
    }
    let digits =
        |at: usize| text.get(at..).map_or(0, |t| t.iter().take_while(|b| b.is_ascii_digit()).count());
    let mut end = 19;
    if matches!(text.get(end), Some(b'.' | b',')) && (1..=9).contains(&digits(end + 1)) {
        end += 1 + digits(end + 1);
    }
    match text.get(end) {
        Some(b'Z') => end += 1,
        Some(b'+' | b'-')
            if digits(end + 1) == 2 && text.get(end + 3) == Some(&b':') && digits(end + 4) == 2 =>
        {
            end += 6;
        }
        Some(b'+' | b'-') if digits(end + 1) == 4 => end += 5,
        _ => {}
    }
    Some(end)
}

impl Stamps {
    /// The values as stamps, if the text of all follows from their instants.
    pub(crate) fn of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut texts = texts.peekable();
        let format = Format::of(texts.peek()?)?;
        let mut instants = Vec::with_capacity(texts.size_hint().0);
        let mut day = Day::default();
        for text in texts {
            instants.push(format.parsed(text, &mut day)?);
        }
        Some(Self { format, instants })
    }

    /// Parameters and content of the column; `times` are those of the records.
    pub(crate) fn encode(&self, times: impl Iterator<Item = i64>) -> (Vec<u8>, Vec<u8>) {
        let mut params = vec![self.format.separator, self.format.point, self.format.decimals as u8];
        put_bytes(&mut params, &self.format.zone);
        let unit = self.format.unit();
        let mut raw = Vec::with_capacity(self.instants.len() * 2);
        for (instant, time) in self.instants.iter().zip(times) {
            put_signed(&mut raw, (instant / unit).wrapping_sub(time.div_euclid(unit)));
        }
        (params, raw)
    }

    pub(crate) fn decode(
        params: &[u8],
        raw: &[u8],
        mut times: impl Iterator<Item = i64>,
        len: usize,
    ) -> Result<Self, Malformed> {
        let format = Format::decode(params)?;
        let unit = format.unit();
        let mut input = Input::new(raw);
        let mut instants = Vec::with_capacity(len.min(raw.len()));
        for _ in 0..len {
            let time = times.next().ok_or(Malformed("number of stamps"))?;
            let ticks = time.div_euclid(unit).wrapping_add(input.signed("stamp")?);
            // Years 0 to 9999: what four digits can tell.
            let instant = ticks.checked_mul(unit).filter(|ns| DAYS.contains(&ns.div_euclid(DAY * SECOND)));
            instants.push(instant.ok_or(Malformed("stamp"))?);
        }
        if input.is_empty() { Ok(Self { format, instants }) } else { Err(Malformed("end of the stamps")) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.instants.len()
    }

    /// The stamps that hold these digits; `None` when it is not digits alone, or so few that they may stand
    /// elsewhere than in the fraction of a second.
    pub(super) fn rows_with(&self, needle: &[u8]) -> Option<Rows> {
        let digits = Digits::of(needle).filter(|_| needle.len() > YEAR_DIGITS)?;
        let mut rows = Rows::none(self.instants.len());
        let unit = self.format.unit();
        for (i, instant) in self.instants.iter().enumerate() {
            let fraction = instant.rem_euclid(SECOND) / unit;
            if digits.are_in_last(fraction.unsigned_abs(), self.format.decimals) {
                rows.insert(i);
            }
        }
        Some(rows)
    }

    /// Appends the text of stamp `i`.
    pub(crate) fn append(&self, i: usize, out: &mut Vec<u8>) {
        let instant = self.instants[i];
        let seconds = instant.div_euclid(SECOND);
        let (year, month, day) = date_of(seconds.div_euclid(DAY));
        let second = seconds.rem_euclid(DAY) as u64;
        let mut text = *b"0000-00-00T00:00:00";
        put_digits(&mut text[0..4], year);
        put_digits(&mut text[5..7], month);
        put_digits(&mut text[8..10], day);
        text[10] = self.format.separator;
        put_digits(&mut text[11..13], second / 3600);
        put_digits(&mut text[14..16], second / 60 % 60);
        put_digits(&mut text[17..19], second % 60);
        out.extend_from_slice(&text);
        if self.format.decimals > 0 {
            let mut fraction = [0; 9];
            let fraction = &mut fraction[..self.format.decimals];
            put_digits(fraction, (instant.rem_euclid(SECOND) / self.format.unit()) as u64);
            out.push(self.format.point);
            out.extend_from_slice(fraction);
        }
        out.extend_from_slice(&self.format.zone);
    }
}

/// Days whose year has four digits, from 1678 to 2261: what 64 bits of nanoseconds tell.
const DAYS: Range<i64> = -106_000..106_000;

/// The day seen last: its text, and its number.
#[derive(Default)]
struct Day {
    text: [u8; 10],
    number: i64,
}

impl Day {
    fn number_of(&mut self, text: &[u8; 10]) -> Option<i64> {
        if self.text != *text {
            let (year, month, day) = (digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..])?);
            let number = day_of(year, month, day);
            if text[4] != b'-'
                || text[7] != b'-'
                || date_of(number) != (year, month, day)
                || !DAYS.contains(&number)
            {
                return None;
            }
            *self = Self { text: *text, number };
        }
        Some(self.number)
    }
}

impl Format {
    fn of(text: &[u8]) -> Option<Self> {
        let len = len(text)?;
        if len != text.len() {
            return None;
        }
        let has_fraction = matches!(text.get(19), Some(b'.' | b','));
        let rest = &text[19 + usize::from(has_fraction)..];
        let decimals = if has_fraction { rest.iter().take_while(|b| b.is_ascii_digit()).count() } else { 0 };
        let point = if has_fraction { text[19] } else { b'.' };
        Some(Self { separator: text[10], point, decimals, zone: rest[decimals..].to_vec() })
    }

    fn decode(params: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(params);
        let (separator, point) = (input.u8("format of a stamp")?, input.u8("format of a stamp")?);
        let decimals = usize::from(input.u8("decimals of a stamp")?);
        let zone = input.bytes("zone of a stamp")?.to_vec();
        if decimals > 9 || zone.len() > 6 || !input.is_empty() {
            return Err(Malformed("format of a stamp"));
        }
        Ok(Self { separator, point, decimals, zone })
    }

    /// Nanoseconds of the last digit.
    const fn unit(&self) -> i64 {
        10_i64.pow(9 - self.decimals as u32)
    }

    /// The instant that `text` shows, if it is written in this format.
    fn parsed(&self, text: &[u8], day: &mut Day) -> Option<i64> {
        let (head, rest) = text.split_first_chunk::<19>()?;
        let date = day.number_of(head.first_chunk()?)?;
        let (hour, minute, second) = (digits(&head[11..13])?, digits(&head[14..16])?, digits(&head[17..])?);
        let is_clock = head[10] == self.separator && head[13] == b':' && head[16] == b':';
        if !is_clock || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = date * DAY + (hour * 3600 + minute * 60 + second) as i64;
        let (fraction, zone) = if self.decimals == 0 {
            (0, rest)
        } else {
            let rest = rest.strip_prefix(&[self.point])?;
            let (fraction, zone) = rest.split_at_checked(self.decimals)?;
            (digits(fraction)? as i64 * self.unit(), zone)
        };
        (zone == self.zone).then_some(seconds * SECOND + fraction)
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

fn put_digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years are counted from March, so that the leap
/// day is the last of its year.
const fn day_of(year: u64, month: u64, day: u64) -> i64 {
    let year = year as i64 - (month <= 2) as i64;
    let month = (month as i64 + 9) % 12;
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day as i64 - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of a day counted from 1970-01-01, in [`DAYS`].
const fn date_of(day: i64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    ((era * 400 + year + (month <= 2) as i64) as u64, month as u64, day as u64)
}

/// Bytes that stamps with these parameters may have: these name what stands between date and time, before the fraction, and
/// for the zone.
pub(crate) fn bytes_of_stamps(params: &[u8]) -> ByteSet {
    let mut set = ByteSet::of(b"0123456789-:");
    params.iter().for_each(|byte| set.insert(*byte));
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Lines;

    fn read_back(texts: &[&str], times: &[i64]) -> Option<Vec<String>> {
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(text.as_bytes()));
        let stamps = Stamps::of(lines.iter())?;
        let (params, raw) = stamps.encode(times.iter().copied());
        let stamps = Stamps::decode(&params, &raw, times.iter().copied(), texts.len()).unwrap();
        let text = |i| {
            let mut out = Vec::new();
            stamps.append(i, &mut out);
            String::from_utf8(out).unwrap()
        };
        Some((0..texts.len()).map(text).collect())
    }

    #[test]
    fn stamps_are_taken_only_when_their_text_follows_from_them() {
        let times = [1_763_632_800_123_456_789, -5];
        for texts in [
            ["2026-11-20T10:00:00.123456Z", "1969-12-31T23:59:59.999999Z"],
            ["2024-02-29 00:00:00", "2000-02-29 23:59:59"],
            ["2026-11-20T10:00:00.1+02:00", "1999-01-01T00:00:00.0+02:00"],
            ["2026-11-20T10:00:00,123456789-0800", "2026-11-20T10:00:00,000000000-0800"],
        ] {
            assert_eq!(read_back(&texts, &times).unwrap(), texts);
        }
        for texts in [
            ["2026-11-20T10:00:00Z", "2026-11-20T10:00:00.1Z"],
            ["2026-11-20T10:00:00Z", "2026-02-29T10:00:00Z"],
            ["2026-11-20T10:00:60Z", "2026-11-20T10:00:00Z"],
            ["2026-11-20T10:00:00Z", "2026-11-20 10:00:00Z"],
            ["2026-11-20T10:00:00Z", "2026-11-20T10:00:00+01:00"],
            ["9999-11-20T10:00:00Z", "2026-11-20T10:00:00Z"],
            ["0000-00-00T00:00:00Z", "2026-11-20T10:00:00Z"],
        ] {
            assert_eq!(read_back(&texts, &times), None, "{texts:?}");
        }
    }

    #[test]
    fn digits_are_found_in_the_fraction_of_a_second() {
        let mut lines = Lines::default();
        for text in
            ["2026-11-20T10:00:00.123456Z", "2026-11-20T10:00:00.012345Z", "2026-11-20T10:00:00.000012Z"]
        {
            lines.push(text.as_bytes());
        }
        let stamps = Stamps::of(lines.iter()).unwrap();
        let rows =
            |needle: &str| stamps.rows_with(needle.as_bytes()).map(|rows| rows.iter().collect::<Vec<_>>());
        assert_eq!(rows("12345"), Some(vec![0, 1]));
        assert_eq!(rows("00001"), Some(vec![2]));
        assert_eq!(rows("1234567"), Some(vec![]));
        assert_eq!(rows("2026"), None);
        assert_eq!(rows("2345Z"), None);
    }

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for day in DAYS {
            let (year, month, date) = date_of(day);
            assert_eq!(day_of(year, month, date), day);
        }
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(date_of(20_777), (2026, 11, 20));
    }
}
