//! Numbers of payment cards: digits in the grouping of a card, with the beginning of an issuer and a right check digit.
//!
//! Counters, times and ids are full of digits, so everything that tells a card from them is asked for: 14 to 16 digits
//! (17 to 19 are left alone: ids of 64 bits have as many), nothing of a word or another number beside them.

use super::{Found, Rule};

/// Fewest digits of a card. A card is at least as many bytes long, so one probe each so many bytes finds it.
const MIN_DIGITS: usize = 14;
const MAX_DIGITS: usize = 16;
/// How cards print their digits.
const GROUPINGS: [&[usize]; 3] = [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];

pub(super) fn find(line: &[u8], found: &mut Vec<Found>) {
    let mut probe = MIN_DIGITS - 1;
    // Where the last stretch of digits ended.
    let mut floor = 0;
    while let Some(byte) = line.get(probe) {
        if !is_card_byte(*byte) {
            probe += MIN_DIGITS;
            continue;
        }
        let before = line[floor..probe].iter().rev().take_while(|byte| is_card_byte(**byte)).count();
        let after = line[probe..].iter().take_while(|byte| is_card_byte(**byte)).count();
        let (start, end) = (probe - before, probe + after);
        if end - start >= MIN_DIGITS {
            in_stretch(line, start, end, found);
        }
        floor = end;
        probe = end + MIN_DIGITS;
    }
}

const fn is_card_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b' ' | b'-')
}

/// The cards in a stretch of digits, blanks and dashes.
fn in_stretch(line: &[u8], start: usize, end: usize, found: &mut Vec<Found>) {
    let mut at = start;
    while at < end {
        if !line[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let card = if stands_alone_before(line, at) { card_at(line, at, end) } else { None };
        at = match card {
            Some(stop) => {
                found.push(Found { rule: Rule::Card, start: at, end: stop });
                stop
            }
            None => at + digits(line, at, end),
        };
    }
}

/// Where the card that begins at `start` ends.
fn card_at(line: &[u8], start: usize, end: usize) -> Option<usize> {
    let first = digits(line, start, end);
    let stop = if first >= MIN_DIGITS { start + first } else { grouped(line, start, end)? };
    let mut number = [0; MAX_DIGITS];
    let mut length = 0;
    for byte in line[start..stop].iter().filter(|byte| byte.is_ascii_digit()) {
        *number.get_mut(length)? = byte - b'0';
        length += 1;
    }
    let number = &number[..length];
    (stands_alone_after(line, stop) && has_issuer(number) && is_luhn(number)).then_some(stop)
}

/// Where digits that are grouped as on a card end, all groups apart by the same sign.
fn grouped(line: &[u8], start: usize, end: usize) -> Option<usize> {
    GROUPINGS.iter().find_map(|grouping| {
        let sign = line.get(start + grouping[0])?;
        let mut at = start;
        for (i, length) in grouping.iter().enumerate() {
            if i > 0 {
                at += usize::from(at < end && line[at] == *sign);
            }
            if digits(line, at, end) != *length {
                return None;
            }
            at += length;
        }
        // Without the signs between them the groups would have been one run of digits.
        Some(at)
    })
}

/// How many digits follow each other from `at` on.
fn digits(line: &[u8], at: usize, end: usize) -> usize {
    line[at.min(end)..end].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Neither a word nor a part of an id, a date or a fraction goes on here.
fn stands_alone_before(line: &[u8], start: usize) -> bool {
    let mut before = line[..start].iter().rev();
    match (before.next(), before.next()) {
        (None, _) => true,
        (Some(b'-' | b'.'), Some(next)) => !is_word_byte(*next),
        (Some(byte), _) => !is_word_byte(*byte),
    }
}

fn stands_alone_after(line: &[u8], end: usize) -> bool {
    match (line.get(end), line.get(end + 1)) {
        (None, _) => true,
        (Some(b'-' | b'.'), Some(next)) => !is_word_byte(*next),
        (Some(byte), _) => !is_word_byte(*byte),
    }
}

/// Whether the digits begin as those of an issuer, and are as many as it gives out.
fn has_issuer(number: &[u8]) -> bool {
    let prefix = |count: usize| number[..count].iter().fold(0, |value, digit| value * 10 + u32::from(*digit));
    match number.len() {
        // Visa, Mastercard, Discover, UnionPay, JCB
        16 => {
            number[0] == 4
                || matches!(prefix(2), 51..=55 | 62 | 65)
                || matches!(prefix(3), 644..=649)
                || matches!(prefix(4), 2221..=2720 | 3528..=3589 | 6011)
        }
        // American Express
        15 => matches!(prefix(2), 34 | 37),
        // Diners Club
        14 => matches!(prefix(2), 36 | 38 | 39) || matches!(prefix(3), 300..=305),
        _ => false,
    }
}

/// Luhn's check: from the right every second digit counts double, its two digits added.
fn is_luhn(number: &[u8]) -> bool {
    let sum: u32 = number
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| match (i % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
