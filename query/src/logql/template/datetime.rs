//! Times in Go's layouts: `2006-01-02T15:04:05.999999999Z07:00`.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::value::Value;

/// The time as UTC; times outside what can be shown are cut to it.
pub(super) fn zoned(nanos: i128) -> Zoned {
    Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC)
}

pub(super) fn from_nanos(nanos: i128) -> Value {
    Value::Time(Box::new(zoned(nanos)))
}

/// Go's zero time, the result of text that cannot be parsed.
fn zero() -> Value {
    from_nanos(-62_135_596_800_000_000_000)
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// One element of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    LongMonth,
    ShortMonth,
    Month {
        padded: bool,
    },
    LongDay,
    ShortDay,
    Day {
        pad: Option<char>,
    },
    YearDay {
        pad: char,
    },
    Hour24,
    Hour12 {
        padded: bool,
    },
    Minute {
        padded: bool,
    },
    Second {
        padded: bool,
    },
    LongYear,
    ShortYear,
    AmPm {
        upper: bool,
    },
    ZoneName,
    /// `Z07:00` writes `Z` for UTC.
    Zone {
        iso: bool,
        colon: bool,
        seconds: bool,
        short: bool,
    },
    /// `.000` writes all digits, `.999` drops trailing zeros.
    Fraction {
        digits: usize,
        fixed: bool,
    },
}

/// Longest first among those with a common beginning.
const ELEMENTS: [(&str, Element); 34] = [
    ("January", Element::LongMonth),
    ("Jan", Element::ShortMonth),
    ("Monday", Element::LongDay),
    ("Mon", Element::ShortDay),
    ("MST", Element::ZoneName),
    ("002", Element::YearDay { pad: '0' }),
    ("01", Element::Month { padded: true }),
    ("02", Element::Day { pad: Some('0') }),
    ("03", Element::Hour12 { padded: true }),
    ("04", Element::Minute { padded: true }),
    ("05", Element::Second { padded: true }),
    ("06", Element::ShortYear),
    ("2006", Element::LongYear),
    ("__2", Element::YearDay { pad: ' ' }),
    ("_2006", Element::LongYear), // an underscore and the year; see `next_element`
    ("_2", Element::Day { pad: Some(' ') }),
    ("15", Element::Hour24),
    ("1", Element::Month { padded: false }),
    ("2", Element::Day { pad: None }),
    ("3", Element::Hour12 { padded: false }),
    ("4", Element::Minute { padded: false }),
    ("5", Element::Second { padded: false }),
    ("PM", Element::AmPm { upper: true }),
    ("pm", Element::AmPm { upper: false }),
    ("Z07:00:00", Element::Zone { iso: true, colon: true, seconds: true, short: false }),
    ("Z07:00", Element::Zone { iso: true, colon: true, seconds: false, short: false }),
    ("Z070000", Element::Zone { iso: true, colon: false, seconds: true, short: false }),
    ("Z0700", Element::Zone { iso: true, colon: false, seconds: false, short: false }),
    ("Z07", Element::Zone { iso: true, colon: false, seconds: false, short: true }),
    ("-07:00:00", Element::Zone { iso: false, colon: true, seconds: true, short: false }),
    ("-07:00", Element::Zone { iso: false, colon: true, seconds: false, short: false }),
    ("-070000", Element::Zone { iso: false, colon: false, seconds: true, short: false }),
    ("-0700", Element::Zone { iso: false, colon: false, seconds: false, short: false }),
    ("-07", Element::Zone { iso: false, colon: false, seconds: false, short: true }),
];

/// The first element: literal text before it, the element, the rest of the layout.
fn next_element(layout: &str) -> Option<(&str, Element, &str)> {
    for (i, _) in layout.char_indices() {
        let (before, rest) = layout.split_at(i);
        if let Some((element, length)) = fraction(rest) {
            return Some((before, element, rest.get(length..)?));
        }
        for (text, element) in ELEMENTS {
            let Some(tail) = rest.strip_prefix(text) else { continue };
            if text == "_2006" {
                let (before, _) = layout.split_at(i + 1);
                return Some((before, element, tail));
            }
            if text == "Jan" && tail.starts_with(|c: char| c.is_ascii_lowercase()) {
                continue; // part of another word
            }
            if text == "Mon" && tail.starts_with(|c: char| c.is_ascii_lowercase()) {
                continue;
            }
            return Some((before, element, tail));
        }
    }
    None
}

/// `.000`, `,999`: a run of equal digits that ends the number.
fn fraction(text: &str) -> Option<(Element, usize)> {
    let body = text.strip_prefix(['.', ','])?;
    let digit = body.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = body.chars().take_while(|c| *c == digit).count();
    let ends = !body.chars().nth(digits).is_some_and(|c| c.is_ascii_digit());
    (ends && digits <= 9).then_some((Element::Fraction { digits, fixed: digit == '0' }, digits + 1))
}

/// Writes `time` in `layout`.
pub(super) fn format(time: &Zoned, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while let Some((before, element, tail)) = next_element(rest) {
        out.push_str(before);
        out.push_str(&write_element(time, element));
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn write_element(time: &Zoned, element: Element) -> String {
    let month = MONTHS[usize::try_from(time.month() - 1).unwrap_or(0)];
    let day = DAYS[usize::try_from(time.weekday().to_monday_zero_offset()).unwrap_or(0)];
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let number = |value: i8, padded: bool| if padded { format!("{value:02}") } else { value.to_string() };
    match element {
        Element::LongMonth => month.to_owned(),
        Element::ShortMonth => month.get(..3).unwrap_or_default().to_owned(),
        Element::Month { padded } => number(time.month(), padded),
        Element::LongDay => day.to_owned(),
        Element::ShortDay => day.get(..3).unwrap_or_default().to_owned(),
        Element::Day { pad: Some('0') } => number(time.day(), true),
        Element::Day { pad: Some(_) } => format!("{:>2}", time.day()),
        Element::Day { pad: None } => number(time.day(), false),
        Element::YearDay { pad: '0' } => format!("{:03}", time.day_of_year()),
        Element::YearDay { .. } => format!("{:>3}", time.day_of_year()),
        Element::Hour24 => number(time.hour(), true),
        Element::Hour12 { padded } => number(hour12, padded),
        Element::Minute { padded } => number(time.minute(), padded),
        Element::Second { padded } => number(time.second(), padded),
        Element::LongYear => format!("{:04}", time.year()),
        Element::ShortYear => format!("{:02}", time.year().rem_euclid(100)),
        Element::AmPm { upper } => match (time.hour() >= 12, upper) {
            (true, true) => "PM",
            (true, false) => "pm",
            (false, true) => "AM",
            (false, false) => "am",
        }
        .to_owned(),
        Element::ZoneName => time.strftime("%Z").to_string(),
        Element::Zone { iso, colon, seconds, short } => {
            write_offset(time.offset(), iso, colon, seconds, short)
        }
        Element::Fraction { digits, fixed } => write_fraction(time.subsec_nanosecond(), digits, fixed),
    }
}

fn write_offset(offset: Offset, iso: bool, colon: bool, seconds: bool, short: bool) -> String {
    if iso && offset.seconds() == 0 {
        return "Z".to_owned();
    }
    let sign = if offset.seconds() < 0 { '-' } else { '+' };
    let total = offset.seconds().unsigned_abs();
    let (hours, minutes) = (total / 3600, total / 60 % 60);
    let separator = if colon { ":" } else { "" };
    let mut out = format!("{sign}{hours:02}");
    if !short {
        out.push_str(&format!("{separator}{minutes:02}"));
    }
    if seconds {
        out.push_str(&format!("{separator}{:02}", total % 60));
    }
    out
}

fn write_fraction(nanos: i32, digits: usize, fixed: bool) -> String {
    let all = format!("{nanos:09}");
    let cut = all.get(..digits).unwrap_or(&all);
    let shown = if fixed { cut } else { cut.trim_end_matches('0') };
    if shown.is_empty() { String::new() } else { format!(".{shown}") }
}

/// Reads `text` in `layout`; without an offset in it, as a time of `zone`. Go's zero time when it does
/// not fit, as the templates ignore the error.
pub(super) fn parse(layout: &str, text: &str, zone: &TimeZone) -> Value {
    match parse_fields(layout, text).and_then(|fields| fields.resolve(zone)) {
        Some(time) => Value::Time(Box::new(time)),
        None => zero(),
    }
}

#[derive(Default)]
struct Fields {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    hour: i8,
    afternoon: Option<bool>,
    minute: i8,
    second: i8,
    nanos: i32,
    offset_seconds: Option<i32>,
}

impl Fields {
    fn resolve(&self, zone: &TimeZone) -> Option<Zoned> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let mut time =
            DateTime::new(self.year, month, day, hour, self.minute, self.second, self.nanos).ok()?;
        if let Some(day) = self.year_day {
            time = time.with().day_of_year(day).build().ok()?;
        }
        let zone = match self.offset_seconds {
            Some(seconds) => TimeZone::fixed(Offset::from_seconds(seconds).ok()?),
            None => zone.clone(),
        };
        time.to_zoned(zone).ok()
    }
}

fn parse_fields(layout: &str, text: &str) -> Option<Fields> {
    let mut fields = Fields::default();
    let (mut layout, mut text) = (layout, text);
    while let Some((before, element, tail)) = next_element(layout) {
        text = text.strip_prefix(before)?;
        text = read_element(&mut fields, element, text)?;
        layout = tail;
        // Go accepts a fraction after the seconds that the layout does not name
        let seconds = matches!(element, Element::Second { .. });
        let named = matches!(next_element(layout), Some(("", Element::Fraction { .. }, _)));
        if seconds && !named && text.starts_with(['.', ',']) {
            text = read_fraction(&mut fields, text)?;
        }
    }
    text.strip_prefix(layout)?.is_empty().then_some(fields)
}

/// `min..=max` digits.
fn digits(text: &str, min: usize, max: usize) -> Option<(i32, &str)> {
    let length = text.bytes().take(max).take_while(u8::is_ascii_digit).count();
    (length >= min)
        .then(|| text.split_at(length))
        .and_then(|(number, rest)| Some((number.parse().ok()?, rest)))
}

fn read_element<'a>(fields: &mut Fields, element: Element, text: &'a str) -> Option<&'a str> {
    let small = |(value, rest): (i32, &'a str)| Some((i8::try_from(value).ok()?, rest));
    match element {
        Element::LongMonth | Element::ShortMonth => {
            let (i, rest) = read_name(text, &MONTHS, element == Element::LongMonth)?;
            fields.month = Some(i8::try_from(i + 1).ok()?);
            Some(rest)
        }
        Element::LongDay | Element::ShortDay => Some(read_name(text, &DAYS, element == Element::LongDay)?.1),
        Element::Month { padded } => {
            let (month, rest) = small(digits(text, if padded { 2 } else { 1 }, 2)?)?;
            fields.month = Some(month);
            Some(rest)
        }
        Element::Day { pad } => {
            let text = if pad == Some(' ') { text.trim_start_matches(' ') } else { text };
            let (day, rest) = small(digits(text, if pad == Some('0') { 2 } else { 1 }, 2)?)?;
            fields.day = Some(day);
            Some(rest)
        }
        Element::YearDay { .. } => {
            let (day, rest) = digits(text.trim_start_matches(' '), 1, 3)?;
            fields.year_day = i16::try_from(day).ok();
            Some(rest)
        }
        Element::Hour24 => assign(small(digits(text, 2, 2)?)?, &mut fields.hour),
        Element::Hour12 { padded } => {
            assign(small(digits(text, if padded { 2 } else { 1 }, 2)?)?, &mut fields.hour)
        }
        Element::Minute { padded } => {
            assign(small(digits(text, if padded { 2 } else { 1 }, 2)?)?, &mut fields.minute)
        }
        Element::Second { padded } => {
            assign(small(digits(text, if padded { 2 } else { 1 }, 2)?)?, &mut fields.second)
        }
        Element::LongYear => {
            let (year, rest) = digits(text, 4, 4)?;
            fields.year = i16::try_from(year).ok()?;
            Some(rest)
        }
        Element::ShortYear => {
            let (year, rest) = digits(text, 2, 2)?;
            fields.year = i16::try_from(if year >= 69 { year + 1900 } else { year + 2000 }).ok()?;
            Some(rest)
        }
        Element::AmPm { .. } => {
            let (mark, rest) = text.split_at_checked(2)?;
            fields.afternoon = Some(match mark.to_ascii_uppercase().as_str() {
                "AM" => false,
                "PM" => true,
                _ => return None,
            });
            Some(rest)
        }
        Element::ZoneName => {
            let length = text.bytes().take_while(u8::is_ascii_uppercase).count();
            let (name, rest) = text.split_at(length);
            if matches!(name, "UTC" | "GMT") {
                fields.offset_seconds = Some(0);
            }
            (length >= 3).then_some(rest)
        }
        Element::Zone { iso, colon, seconds, short } => read_offset(fields, text, iso, colon, seconds, short),
        Element::Fraction { fixed, digits } => match text.starts_with(['.', ',']) {
            true => {
                let rest = read_fraction(fields, text)?;
                (!fixed || text.len() - rest.len() == digits + 1).then_some(rest)
            }
            false => (!fixed).then_some(text),
        },
    }
}

fn assign<'a>((value, rest): (i8, &'a str), field: &mut i8) -> Option<&'a str> {
    *field = value;
    Some(rest)
}

fn read_name<'a>(text: &'a str, names: &[&str], long: bool) -> Option<(usize, &'a str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let name = if long { name } else { name.get(..3)? };
        let (head, rest) = text.split_at_checked(name.len())?;
        head.eq_ignore_ascii_case(name).then_some((i, rest))
    })
}

fn read_fraction<'a>(fields: &mut Fields, text: &'a str) -> Option<&'a str> {
    let body = text.strip_prefix(['.', ','])?;
    let length = body.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = body.split_at(length);
    fields.nanos = format!("{number:0<9}").get(..9)?.parse().ok()?;
    (length > 0).then_some(rest)
}

fn read_offset<'a>(
    fields: &mut Fields,
    text: &'a str,
    iso: bool,
    colon: bool,
    seconds: bool,
    short: bool,
) -> Option<&'a str> {
    if iso && let Some(rest) = text.strip_prefix('Z') {
        fields.offset_seconds = Some(0);
        return Some(rest);
    }
    let negative = text.starts_with('-');
    let (hours, mut rest) = digits(text.strip_prefix(['+', '-'])?, 2, 2)?;
    let mut total = hours * 3600;
    for unit in [(!short).then_some(60), seconds.then_some(1)].into_iter().flatten() {
        if colon {
            rest = rest.strip_prefix(':')?;
        }
        let (value, tail) = digits(rest, 2, 2)?;
        total += value * unit;
        rest = tail;
    }
    fields.offset_seconds = Some(if negative { -total } else { total });
    Some(rest)
}
