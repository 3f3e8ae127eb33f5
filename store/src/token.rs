//! Tokens: what the index knows of a line. Ingest and query cut bytes into tokens by this file alone.
//!
//! A token is a maximal run of alphanumeric characters (Unicode's; a byte that is not valid UTF-8
//! separates). Han characters and kana, which are written without spaces, are each a token of their own.
//! Tokens are compared folded: character by character to one representative of all its case variants.
//!
//! The invariant behind every index lookup: where tokens begin and end, their class and their folded
//! bytes depend on nothing but the token's own bytes and the character on either side. So a token in the
//! middle of a needle is a token, the same one, of every line that holds the needle.

use std::ops::Range;

use crate::ascii;

/// Longest word, in characters. Anything longer is an id.
const MAX_WORD_CHARS: usize = 24;

/// How a token is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Letters only, at most 24: a term of the window's word index.
    Word,
    /// Anything else: a key of the block's id filter.
    Id,
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Its bytes within the text.
    pub(crate) span: Range<usize>,
    pub(crate) class: Class,
    is_ascii: bool,
    /// It has a letter that is no hex digit.
    pub(crate) beyond_hex: bool,
    /// It is one character that no neighbour can extend.
    pub(crate) alone: bool,
}

// What a byte is, as bits that are or-ed over a token.
const SEPARATOR: u8 = 0;
const HEX_LETTER: u8 = 1;
const OTHER_LETTER: u8 = 2;
const DIGIT: u8 = 4;
const NOT_ASCII: u8 = 8;

const KIND: [u8; 256] = {
    let mut kinds = [SEPARATOR; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX_LETTER,
            b'g'..=b'z' | b'G'..=b'Z' => OTHER_LETTER,
            128.. => NOT_ASCII,
            _ => SEPARATOR,
        };
        byte += 1;
    }
    kinds
};

/// Calls `found` with every token of `text`, in order.
#[inline]
pub(crate) fn for_each(text: &[u8], found: impl FnMut(&Token)) {
    for_each_within(text, 0..text.len(), found);
}

/// Calls `found` with every token that begins within `span` of `text`, which no token extends into.
#[inline]
pub(crate) fn for_each_within(text: &[u8], span: Range<usize>, mut found: impl FnMut(&Token)) {
    let mut at = span.start;
    while at < span.end {
        match KIND[usize::from(text[at])] {
            SEPARATOR => at += 1,
            NOT_ASCII => {
                let (kind, len) = decode(&text[at..]);
                match kind {
                    CharKind::Separator => at += len,
                    CharKind::Alone => {
                        found(&Token {
                            span: at..at + len,
                            class: Class::Word,
                            is_ascii: false,
                            beyond_hex: true,
                            alone: true,
                        });
                        at += len;
                    }
                    CharKind::Letter | CharKind::Digit => {
                        let token = token_at(text, at);
                        found(&token);
                        at = token.span.end;
                    }
                }
            }
            _ => {
                let token = token_at(text, at);
                found(&token);
                at = token.span.end;
            }
        }
    }
}

/// The token that begins at `start`, where a letter or digit stands that is not alone.
#[inline]
fn token_at(text: &[u8], start: usize) -> Token {
    let (mut end, mut kinds) = (start, 0);
    // Sixteen bytes at a time: most tokens end within the first of them, ids within the second.
    while let Some(ahead) = text.get(end..).and_then(<[u8]>::first_chunk) {
        let (len, more) = leading_alphanumerics(ahead);
        end += len;
        kinds |= more;
        if len < ahead.len() {
            break;
        }
    }
    while let Some(byte) = text.get(end) {
        let kind = KIND[usize::from(*byte)];
        if kind == SEPARATOR {
            break;
        }
        if kind == NOT_ASCII {
            return wide_token(text, start, end, kinds);
        }
        kinds |= kind;
        end += 1;
    }
    let class = if kinds & DIGIT == 0 && end - start <= MAX_WORD_CHARS { Class::Word } else { Class::Id };
    Token { span: start..end, class, is_ascii: true, beyond_hex: kinds & OTHER_LETTER != 0, alone: false }
}

/// Number of ASCII letters and digits that `bytes` begin with, and their kinds, but for hex letters.
#[inline]
fn leading_alphanumerics(bytes: &[u8; 16]) -> (usize, u8) {
    let bytes = u128::from_le_bytes(*bytes);
    let (letters, digits) = (ascii::letters(bytes), ascii::digits(bytes));
    let len = ascii::before(!(letters | digits) & ascii::HIGH);
    let within = if len == 16 { u128::MAX } else { (1 << (8 * len)) - 1 };
    let mut kinds = 0;
    if digits & within != 0 {
        kinds |= DIGIT;
    }
    let beyond_f = (bytes & !ascii::HIGH | ascii::each(0x20)) + ascii::each(0x7f - b'f');
    if letters & beyond_f & within != 0 {
        kinds |= OTHER_LETTER;
    }
    (len, kinds)
}

/// A token with characters beyond ASCII: `start..end`, of these kinds, has been seen.
#[cold]
fn wide_token(text: &[u8], start: usize, mut end: usize, mut kinds: u8) -> Token {
    let mut chars = end - start;
    while let Some(byte) = text.get(end) {
        let kind = KIND[usize::from(*byte)];
        match kind {
            SEPARATOR => break,
            NOT_ASCII => {
                let (kind, len) = decode(&text[end..]);
                match kind {
                    CharKind::Separator | CharKind::Alone => break,
                    CharKind::Letter => kinds |= OTHER_LETTER,
                    CharKind::Digit => kinds |= DIGIT,
                }
                end += len;
            }
            _ => {
                kinds |= kind;
                end += 1;
            }
        }
        chars += 1;
    }
    let class = if kinds & DIGIT == 0 && chars <= MAX_WORD_CHARS { Class::Word } else { Class::Id };
    let is_ascii = text[start..end].is_ascii();
    Token { span: start..end, class, is_ascii, beyond_hex: kinds & OTHER_LETTER != 0, alone: false }
}

/// What a character is to the tokenizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CharKind {
    Separator,
    Letter,
    Digit,
    /// A token of its own.
    Alone,
}

/// Kind and length of the character that `bytes` begin with; a byte that begins none separates.
fn decode(bytes: &[u8]) -> (CharKind, usize) {
    match first_char(bytes) {
        Some(c) => (char_kind(c), c.len_utf8()),
        None => (CharKind::Separator, 1),
    }
}

fn first_char(bytes: &[u8]) -> Option<char> {
    let len = match bytes.first()? {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return None,
    };
    std::str::from_utf8(bytes.get(..len)?).ok()?.chars().next()
}

fn char_kind(c: char) -> CharKind {
    match c {
        // Hiragana, katakana; Han: extension A, unified, compatibility, the two supplementary planes.
        '\u{3041}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}'
            if c.is_alphabetic() =>
        {
            CharKind::Alone
        }
        _ if c.is_alphabetic() => CharKind::Letter,
        _ if c.is_numeric() => CharKind::Digit,
        _ => CharKind::Separator,
    }
}

/// Appends the folded form of a token's bytes.
pub(crate) fn fold(bytes: &[u8], folded: &mut Vec<u8>) {
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii() {
            folded.push(bytes[at].to_ascii_lowercase());
            at += 1;
        } else if let Some(c) = first_char(&bytes[at..]) {
            folded.extend_from_slice(fold_char(c).encode_utf8(&mut [0; 4]).as_bytes());
            at += c.len_utf8();
        } else {
            folded.push(bytes[at]); // not part of any token
            at += 1;
        }
    }
}

impl Token {
    /// The folded bytes of a token of at most 16 ASCII characters, followed by zeroes, which are in no
    /// token: equal for equal tokens only. `None` for others, and near the end of `text`.
    #[inline]
    pub(crate) fn short(&self, text: &[u8]) -> Option<u128> {
        let len = self.span.len();
        if len > 16 || !self.is_ascii {
            return None;
        }
        let bytes = text.get(self.span.start..)?.first_chunk::<16>()?;
        let unused = 8 * (16 - len as u32);
        let folded = u128::from_le_bytes(*bytes) | u128::from_le_bytes([0x20; 16]);
        Some(folded << unused >> unused)
    }

    /// Replaces `folded` by the folded form of the token, a token of `text`.
    #[inline]
    pub(crate) fn fold_into(&self, text: &[u8], folded: &mut Vec<u8>) {
        folded.clear();
        let bytes = &text[self.span.clone()];
        if self.is_ascii {
            // Letters and digits have this bit in lower case, and digits have it anyway.
            folded.extend(bytes.iter().map(|byte| byte | 0x20));
        } else {
            fold(bytes, folded);
        }
    }
}

/// One representative of each set of characters that are the same but for case, by Unicode's simple case
/// folding and the pairs of upper and lower case: `K`, `k` and the Kelvin sign; `S`, `s` and `ſ`.
fn fold_char(c: char) -> char {
    let c = match c {
        // Equal by simple case folding, yet without a single character for their upper case.
        '\u{1fd3}' => '\u{390}',
        '\u{1fe3}' => '\u{3b0}',
        '\u{fb05}' => '\u{fb06}',
        _ => c,
    };
    let upper = single(c.to_uppercase()).unwrap_or(c);
    single(upper.to_lowercase()).unwrap_or(upper)
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next();
    if chars.next().is_none() { first } else { None }
}

/// Calls `found` with every maximal run of letters in a folded token, and its place.
pub(crate) fn for_each_run(folded: &[u8], mut found: impl FnMut(&[u8], Range<usize>)) {
    let (mut start, mut at) = (0, 0);
    while at < folded.len() {
        let (is_letter, len) = letter_at(folded, at);
        if !is_letter {
            if start < at {
                found(&folded[start..at], start..at);
            }
            start = at + len;
        }
        at += len;
    }
    if start < at {
        found(&folded[start..at], start..at);
    }
}

/// Whether a folded token has no digit.
pub(crate) fn is_letters(folded: &[u8]) -> bool {
    let mut at = 0;
    while at < folded.len() {
        let (is_letter, len) = letter_at(folded, at);
        if !is_letter {
            return false;
        }
        at += len;
    }
    true
}

fn letter_at(folded: &[u8], at: usize) -> (bool, usize) {
    match KIND[usize::from(folded[at])] {
        NOT_ASCII => {
            let (kind, len) = decode(&folded[at..]);
            (kind == CharKind::Letter, len)
        }
        kind => (kind & (HEX_LETTER | OTHER_LETTER) != 0, 1),
    }
}

/// Whether a byte ends whatever stands beside it: it is part of no token, and of no group of ids with hyphens.
pub(crate) const fn is_edge(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b'-'
}

/// Key of an id in the block filters, from its folded bytes.
pub(crate) fn id_key(folded: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(folded)
}

/// The three middle groups of a UUID, `e29b-41d4-a716` between hyphens, of which `token` is the first.
/// They have a key of their own: the outer groups may go on beyond a needle's ends, and each of the middle
/// ones alone says little. Depends on the groups and the two hyphens around them, nothing else.
pub(crate) fn uuid_middle<'a>(text: &'a [u8], token: &Token) -> Option<&'a [u8]> {
    if token.class != Class::Id || token.span.len() != 4 {
        return None;
    }
    let around = text.get(token.span.start.checked_sub(1)?..token.span.start + 15)?;
    let fits = |(i, byte): (usize, &u8)| {
        if i.is_multiple_of(5) { *byte == b'-' } else { byte.is_ascii_alphanumeric() }
    };
    around.iter().enumerate().all(fits).then_some(&around[1..15])
}

/// Whether no token of `text` extends across byte `at`: what begins or ends there does so at a token's
/// boundary. False inside a character.
#[must_use]
pub fn is_boundary(text: &[u8], at: usize) -> bool {
    let (Some(before), Some(after)) = (text.get(..at), text.get(at..)) else { return false };
    if before.is_empty() || after.is_empty() {
        return true;
    }
    // Characters are at most four bytes, and only their first byte is none of 0x80..0xc0.
    let last = before.iter().rev().take(4).position(|byte| !(0x80..0xc0).contains(byte));
    let last_kind = match last {
        Some(back) => {
            let start = at - back - 1;
            let (kind, len) = decode(&text[start..]);
            if start + len > at {
                return false;
            }
            if start + len == at { kind } else { CharKind::Separator }
        }
        None => CharKind::Separator,
    };
    let joins = |kind| matches!(kind, CharKind::Letter | CharKind::Digit);
    !(joins(last_kind) && joins(decode(after).0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &[u8]) -> Vec<(String, Class)> {
        let mut found = Vec::new();
        for_each(text, |token| {
            let mut folded = Vec::new();
            token.fold_into(text, &mut folded);
            found.push((String::from_utf8(folded).unwrap(), token.class));
        });
        found
    }

    /// A text, and its tokens folded.
    type Case<'a> = (&'a [u8], &'a [(&'a str, Class)]);

    #[test]
    fn text_is_cut_into_words_and_ids() {
        use Class::{Id, Word};
        let long = "é".repeat(25);
        let cases: &[Case<'_>] = &[
            (b"", &[]),
            (
                b"GET /Users/42 HTTP/1.1",
                &[("get", Word), ("users", Word), ("42", Id), ("http", Word), ("1", Id), ("1", Id)],
            ),
            (b"caf\xc3\xa9=na\xc3\xafve", &[("café", Word), ("naïve", Word)]),
            (b"a\xffb \xc3", &[("a", Word), ("b", Word)]),
            (
                "支付abc失败".as_bytes(),
                &[("支", Word), ("付", Word), ("abc", Word), ("失", Word), ("败", Word)],
            ),
            ("ÜBER_Straße".as_bytes(), &[("über", Word), ("straße", Word)]),
            (
                b"abcdefghijklmnopqrstuvwx abcdefghijklmnopqrstuvwxy",
                &[("abcdefghijklmnopqrstuvwx", Word), ("abcdefghijklmnopqrstuvwxy", Id)],
            ),
            (long.as_bytes(), &[(&long, Id)]),
            ("٣x —…“q”".as_bytes(), &[("٣x", Id), ("q", Word)]),
        ];
        for (text, expected) in cases {
            let found = tokens(text);
            let found: Vec<_> = found.iter().map(|(t, c)| (t.as_str(), *c)).collect();
            assert_eq!(found, *expected, "{}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        /// Byte by byte, as the tables tell it.
        #[test]
        fn sixteen_bytes_at_once_are_what_they_are_one_by_one(bytes: [u8; 16], text in "[a-gA-G0-9/:@`{]{16}") {
            for bytes in [bytes, text.as_bytes().try_into().unwrap()] {
                let kinds = bytes.map(|byte| KIND[usize::from(byte)]);
                let is_alphanumeric = |kind: &&u8| **kind != SEPARATOR && **kind != NOT_ASCII;
                let len = kinds.iter().take_while(is_alphanumeric).count();
                let expected = kinds[..len].iter().fold(0, |all, kind| all | kind) & !HEX_LETTER;
                prop_assert_eq!(leading_alphanumerics(&bytes), (len, expected));
            }
        }
    }

    /// What `regex` calls equal regardless of case must be one token to the index.
    #[test]
    fn case_variants_fold_to_one_character_of_one_kind() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| c.is_alphanumeric()) {
            if c.to_lowercase().eq([c]) && c.to_uppercase().eq([c]) {
                continue; // tested from its variants, if it has any
            }
            let mut class =
                regex_syntax::hir::ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(c, c)]);
            class.case_fold_simple();
            for variant in class.iter().flat_map(|range| range.start()..=range.end()) {
                assert_eq!(fold_char(c), fold_char(variant), "{c:?} {variant:?}");
                assert_eq!(char_kind(c), char_kind(variant), "{c:?} {variant:?}");
            }
            assert_eq!(char_kind(c), char_kind(fold_char(c)), "{c:?}");
            assert_eq!(fold_char(fold_char(c)), fold_char(c), "{c:?}");
        }
    }

    #[test]
    fn boundaries_are_where_no_token_goes_on() {
        let text = "ab-é支c\u{ff}".as_bytes();
        let found: Vec<usize> = (0..=text.len()).filter(|at| is_boundary(text, *at)).collect();
        assert_eq!(found, [0, 2, 3, 5, 8, 11]);
        assert!(!is_boundary(b"ab", 3));
    }
}
