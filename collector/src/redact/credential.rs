//! Credentials: what follows `Bearer` and `Basic`, and JSON Web Tokens wherever they stand.
//!
//! `Bearer` and `Basic` are words as well, so what follows must look like a credential.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{Found, Rule};

/// What a credential may begin after; the first letter is left out where it may be of either case.
const MARKS: [&[u8]; 5] = [b"earer", b"EARER", b"asic ", b"ASIC ", b"eyJ"];
/// Shorter texts after `Bearer` are no tokens.
const MIN_TOKEN_BYTES: usize = 8;
/// A text of letters alone is a word unless it is this long.
const MIN_LETTERS: usize = 20;
/// Shortest part of a JSON Web Token: `{"alg":""}` in base64 has 14 characters.
const MIN_JWT_PART: usize = 10;

/// The search for marks, built once.
#[derive(Debug)]
pub(super) struct Credentials(AhoCorasick);

impl Credentials {
    pub(super) fn new() -> Self {
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(MARKS);
        Self(search.expect("BUG: five short patterns are too many"))
    }

    pub(super) fn find(&self, line: &[u8], found: &mut Vec<Found>) {
        // Of two marks in one credential the first counts; what it covers is not looked at again.
        let mut done = 0;
        for mark in self.0.find_iter(line) {
            if mark.start() < done {
                continue;
            }
            let place = match mark.pattern().as_usize() {
                0 | 1 => bearer(line, mark.start(), mark.end()),
                2 | 3 => basic(line, mark.start(), mark.end()),
                _ => jwt(line, mark.start()),
            };
            if let Some((start, end)) = place {
                found.push(Found { rule: Rule::Token, start, end });
                done = end;
            }
        }
    }
}

/// Whether `first` or its capital stands before `at`, as the beginning of a word.
fn begins_word(line: &[u8], at: usize, first: u8) -> bool {
    let Some(start) = at.checked_sub(1) else { return false };
    line[start].eq_ignore_ascii_case(&first) && (start == 0 || !line[start - 1].is_ascii_alphanumeric())
}

fn bearer(line: &[u8], mark: usize, end: usize) -> Option<(usize, usize)> {
    if !begins_word(line, mark, b'b') {
        return None;
    }
    let start = after_blanks(line, end)?;
    let token = run(line, start, is_token_byte);
    let text = &line[start..token];
    let has_digit = text.iter().any(u8::is_ascii_digit);
    let is_token = text.len() >= MIN_LETTERS || text.len() >= MIN_TOKEN_BYTES && has_digit;
    is_token.then_some((start, token))
}

/// `Basic` is a word of every day: only the base64 of `user:password` counts.
fn basic(line: &[u8], mark: usize, end: usize) -> Option<(usize, usize)> {
    if !begins_word(line, mark, b'b') {
        return None;
    }
    let start = end + line[end..].iter().take_while(|byte| **byte == b' ').count();
    let stop = run(line, start, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
    let text = line[start..stop].strip_suffix(b"==").or(line[start..stop].strip_suffix(b"="));
    let pair = STANDARD_NO_PAD.decode(text.unwrap_or(&line[start..stop])).ok()?;
    let is_pair = pair.contains(&b':') && !pair.iter().any(u8::is_ascii_control);
    is_pair.then_some((start, stop))
}

/// Three or more parts of base64url, the first a JSON object (`eyJ` is `{"`).
fn jwt(line: &[u8], start: usize) -> Option<(usize, usize)> {
    let is_part_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if start > 0 && is_part_byte(line[start - 1]) {
        return None;
    }
    let header = run(line, start, is_part_byte);
    let payload = run(line, header + 1, is_part_byte);
    let has_parts = line.get(header) == Some(&b'.') && header - start >= MIN_JWT_PART;
    if !has_parts || payload < header + 1 + MIN_JWT_PART || line.get(payload) != Some(&b'.') {
        return None;
    }
    Some((start, run(line, payload, |byte| is_part_byte(byte) || byte == b'.')))
}

/// Where the credential begins after its scheme: after blanks, also as URLs write them, and a quote.
fn after_blanks(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        match line.get(at..)? {
            [b' ' | b'\t' | b'+' | b':' | b'=', ..] => at += 1,
            [b'%', b'2', b'0', ..] => at += 3,
            [b'"' | b'\'', ..] if at > from => at += 1,
            _ => break,
        }
    }
    (at > from).then_some(at)
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'%')
}

/// Where the bytes that fit end.
fn run(line: &[u8], from: usize, fits: impl Fn(u8) -> bool) -> usize {
    let rest = line.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| fits(**byte)).count()
}
