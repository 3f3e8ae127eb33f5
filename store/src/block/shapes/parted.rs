//! Texts that are alike but for numbers, ids and words (addresses, paths, ids with something around them), token by token.
//!
//! The *outline* of a text is what stands between its tokens, the runs of ASCII letters and digits. The tokens of one place of
//! an outline are packed by themselves: as numbers, as one of few, or as text. The invariant: reading gives the very bytes
//! back; what is read is text again, and searched as such.
//!
//! ```text
//! bytes of all texts with a line end after each varint; outlines: number varint, each bytes, 0 for a token
//! outline of each text: nothing if there is one, u8
//! for each token of each outline: kind u8, then
//!   1 constant    the token bytes
//!   2 numbers     before bytes, after bytes, base u8, digits u8 (0: no zeros before others), lowest varint, `dense`
//!   3 dictionary  number varint, the tokens with `\n` after each, which of them: `dense`
//!   4 text        the tokens with `\n` after each
//! ```

use super::Interner;
use super::texts::Texts;
use crate::block::header::MAX_COLUMN_BYTES;
use crate::block::wire::{Input, Malformed, put_bytes, put_varint};
use crate::block::{Lines, Piece, dense};

/// Fewer texts are not worth it.
const MIN_TEXTS: usize = 64;
/// Most outlines, and tokens of all of them.
const MAX_OUTLINES: usize = 64;
const MAX_PLACES: usize = 256;
/// Stands for a token in an outline.
const TOKEN: u8 = 0;

mod kind {
    pub(super) const CONSTANT: u8 = 1;
    pub(super) const NUMBERS: u8 = 2;
    pub(super) const DICTIONARY: u8 = 3;
    pub(super) const TEXT: u8 = 4;
}

/// Numbers so near each other need no dictionary.
const NEAR: u64 = 1024;
/// One token in so many may be a new one for a small dictionary, for any.
const PER_FEW: usize = 16;
const FEW: usize = 256;
const PER_DISTINCT: usize = 4;

/// What is written, and the pieces that it is packed in.
#[derive(Debug, Default)]
struct Output {
    raw: Vec<u8>,
    pieces: Vec<Piece>,
    /// Bytes that are in pieces.
    done: usize,
}

impl Output {
    /// Ends a piece that is to be compressed.
    fn end_packed(&mut self) {
        self.pieces.push(Piece::Packed(self.raw.len() - self.done));
        self.done = self.raw.len();
    }

    fn put_dense(&mut self, values: &[u64], min: u64) {
        if self.raw.len() > self.done {
            self.pieces.push(Piece::Plain(self.raw.len() - self.done));
        }
        self.pieces.extend(dense::put(values, min, &mut self.raw));
        self.done = self.raw.len();
    }
}

/// The content of a column of `texts`, none of which holds a line end, and its pieces; `None` where they are not alike.
pub(super) fn encode(texts: &Lines) -> Option<(Vec<u8>, Vec<Piece>)> {
    let has_digit = |text: &[u8]| text.iter().any(u8::is_ascii_digit);
    if texts.len() < MIN_TEXTS || !has_digit(texts.get(0)) && !has_digit(texts.get(texts.len() / 2)) {
        return None;
    }
    let (mut outlines, mut codes) = (Interner::default(), Vec::with_capacity(texts.len()));
    let mut places: Vec<Vec<Lines>> = Vec::new();
    let (mut outline, mut tokens) = (Vec::new(), Vec::new());
    for text in texts.iter() {
        outline.clear();
        tokens.clear();
        let mut rest = text;
        while let Some(byte) = rest.first() {
            let len = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let (token, later) = rest.split_at(len.max(1));
            rest = later;
            if len == 0 {
                outline.push(*byte);
            } else {
                outline.push(TOKEN);
                tokens.push(token);
            }
        }
        if outline.iter().filter(|byte| **byte == TOKEN).count() != tokens.len() {
            return None; // the text holds the mark
        }
        let code = outlines.number(&outline, MAX_OUTLINES)? as usize;
        if code == places.len() {
            places.push(vec![Lines::default(); tokens.len()]);
        }
        places[code].iter_mut().zip(&tokens).for_each(|(place, token)| place.push(token));
        codes.push(code as u8);
    }
    if places.iter().map(Vec::len).sum::<usize>() > MAX_PLACES {
        return None;
    }
    let mut out = Output::default();
    put_varint(&mut out.raw, texts.bytes().len() as u64);
    put_varint(&mut out.raw, outlines.len() as u64);
    outlines.texts().iter().for_each(|outline| put_bytes(&mut out.raw, outline));
    out.end_packed();
    if outlines.len() > 1 {
        out.raw.extend_from_slice(&codes);
        out.end_packed();
    }
    places.iter().flatten().for_each(|place| put_place(place, &mut out));
    Some((out.raw, out.pieces))
}

fn put_place(tokens: &Lines, out: &mut Output) {
    let first = tokens.get(0);
    if tokens.iter().all(|token| token == first) {
        out.raw.push(kind::CONSTANT);
        put_bytes(&mut out.raw, first);
        return out.end_packed();
    }
    let numbers = Numbers::of(tokens);
    if let Some(numbers) = numbers.as_ref().filter(|numbers| numbers.are_near()) {
        return numbers.put(out);
    }
    let few = FEW.min(tokens.len() / PER_FEW);
    if put_dictionary(tokens, few, out) {
        return;
    }
    if let Some(numbers) = numbers {
        return numbers.put(out);
    }
    if !put_dictionary(tokens, tokens.len() / PER_DISTINCT, out) {
        out.raw.push(kind::TEXT);
        out.raw.extend_from_slice(tokens.bytes());
        out.end_packed();
    }
}

fn put_dictionary(tokens: &Lines, max: usize, out: &mut Output) -> bool {
    let (mut distinct, mut codes) = (Interner::default(), Vec::with_capacity(tokens.len()));
    for token in tokens.iter() {
        let Some(code) = distinct.number(token, max) else { return false };
        codes.push(u64::from(code));
    }
    out.raw.push(kind::DICTIONARY);
    put_varint(&mut out.raw, distinct.len() as u64);
    out.raw.extend_from_slice(distinct.texts().bytes());
    out.end_packed();
    out.put_dense(&codes, 0);
    true
}

/// Tokens that are numbers between the same letters.
#[derive(Debug)]
struct Numbers {
    format: Format,
    values: Vec<u64>,
    min: u64,
    max: u64,
}

#[derive(Debug)]
struct Format {
    before: Vec<u8>,
    after: Vec<u8>,
    is_hex: bool,
    /// Digits of each; 0: as many as it has, no zeros before others.
    digits: usize,
}

impl Numbers {
    fn of(tokens: &Lines) -> Option<Self> {
        let first = tokens.get(0);
        let (mut before, mut after) = (first, first);
        for token in tokens.iter() {
            let same = before.iter().zip(token).take_while(|(a, b)| a == b).count();
            before = &before[..same];
            let same = after.iter().rev().zip(token.iter().rev()).take_while(|(a, b)| a == b).count();
            after = &after[after.len() - same..];
        }
        // Digits that all have in common are part of the number.
        let is_letter = |byte: &u8| !byte.is_ascii_digit();
        before = &before[..before.iter().rposition(is_letter).map_or(0, |at| at + 1)];
        after = &after[after.iter().position(is_letter).unwrap_or(after.len())..];
        let middle =
            |token: &'_ [u8]| before.len()..token.len().saturating_sub(after.len()).max(before.len());
        let span = middle(first);
        let digits = span.len();
        let (mut is_decimal, mut is_plain, mut is_hex) = (true, true, digits <= 16);
        let mut is_fixed = digits <= 19;
        for token in tokens.iter() {
            let number = &token[middle(token)];
            is_fixed &= number.len() == digits;
            is_decimal &= number.iter().all(u8::is_ascii_digit);
            is_plain &= (1..=19).contains(&number.len()) && (number[0] != b'0' || number.len() == 1);
            is_hex &= number.iter().all(|byte| super::hex::is_digit(*byte));
        }
        is_plain &= is_decimal;
        if !is_plain && (!is_fixed || digits == 0 || !(is_decimal || is_hex)) {
            return None;
        }
        let is_hex = !is_decimal;
        let format = Format {
            before: before.into(),
            after: after.into(),
            is_hex,
            digits: if is_plain { 0 } else { digits },
        };
        let base = format.base();
        let value = |token: &[u8]| {
            let digits = token[middle(token)].iter();
            digits.fold(0_u64, |value, digit| {
                value * base + u64::from(char::from(*digit).to_digit(16).unwrap_or(0))
            })
        };
        let values: Vec<u64> = tokens.iter().map(value).collect();
        let (min, max) = (values.iter().min().copied()?, values.iter().max().copied()?);
        Some(Self { format, values, min, max })
    }

    const fn are_near(&self) -> bool {
        self.max - self.min < NEAR
    }

    fn put(&self, out: &mut Output) {
        let Format { before, after, digits, .. } = &self.format;
        out.raw.push(kind::NUMBERS);
        put_bytes(&mut out.raw, before);
        put_bytes(&mut out.raw, after);
        out.raw.push(self.format.base() as u8);
        out.raw.push(*digits as u8);
        put_varint(&mut out.raw, self.min);
        out.put_dense(&self.values, self.min);
    }
}

impl Format {
    const fn base(&self) -> u64 {
        if self.is_hex { 16 } else { 10 }
    }

    fn append(&self, value: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        if self.digits == 0 && !self.is_hex {
            out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        } else {
            let start = out.len();
            out.resize(start + self.digits, b'0');
            let mut rest = value;
            for digit in out[start..].iter_mut().rev() {
                let low = (rest % self.base()) as u8;
                *digit = low + if low < 10 { b'0' } else { b'a' - 10 };
                rest /= self.base();
            }
        }
        out.extend_from_slice(&self.after);
    }
}

/// Tokens of one place, from the first to the last.
#[derive(Debug)]
enum Place<'a> {
    Constant(&'a [u8]),
    Numbers(Format, std::vec::IntoIter<u64>),
    Dictionary(Vec<&'a [u8]>, std::vec::IntoIter<u64>),
    Text(std::vec::IntoIter<&'a [u8]>),
}

/// Reads `len` texts.
pub(super) fn decode(raw: &[u8], len: usize) -> Result<Texts, Malformed> {
    const WRONG: Malformed = Malformed("texts in parts");
    let mut input = Input::new(raw);
    let bytes = input.len("bytes of texts")?;
    if bytes > MAX_COLUMN_BYTES as usize {
        return Err(WRONG);
    }
    let number = input.len("number of outlines")?;
    if number > MAX_OUTLINES || (number == 0 && len > 0) {
        return Err(WRONG);
    }
    let mut outlines = Vec::with_capacity(number);
    for _ in 0..number {
        outlines.push(input.bytes("outline")?);
    }
    let codes = if number > 1 { Some(input.take(len, "outline of a text")?) } else { None };
    let code = |text: usize| codes.map_or(0, |codes| usize::from(codes[text]));
    let mut texts_of = vec![0; number];
    for text in 0..len {
        *texts_of.get_mut(code(text)).ok_or(WRONG)? += 1;
    }
    let mut places = Vec::with_capacity(number);
    for (outline, texts) in outlines.iter().zip(texts_of) {
        let tokens = outline.iter().filter(|byte| **byte == TOKEN).count();
        if tokens > MAX_PLACES {
            return Err(WRONG);
        }
        let of_outline = (0..tokens).map(|_| Place::decode(&mut input, texts));
        places.push(of_outline.collect::<Result<Vec<_>, _>>()?);
    }
    let mut out = Vec::with_capacity(bytes.min(raw.len().saturating_mul(8)));
    for text in 0..len {
        let mut places = places[code(text)].iter_mut();
        for byte in outlines[code(text)] {
            match byte {
                &TOKEN => places.next().ok_or(WRONG)?.append_next(&mut out)?,
                byte => out.push(*byte),
            }
        }
        out.push(b'\n');
        if out.len() > bytes {
            return Err(WRONG);
        }
    }
    let fits = out.len() == bytes && input.is_empty() && memchr::memchr_iter(b'\n', &out).count() == len;
    if fits { Ok(Texts::new(out, len)) } else { Err(WRONG) }
}

impl<'a> Place<'a> {
    /// Those of `texts` texts.
    fn decode(input: &mut Input<'a>, texts: usize) -> Result<Self, Malformed> {
        match input.u8("kind of tokens")? {
            kind::CONSTANT => Ok(Self::Constant(input.bytes("token")?)),
            kind::NUMBERS => {
                let (before, after) =
                    (input.bytes("text of a number")?.into(), input.bytes("text of a number")?.into());
                let is_hex = match input.u8("base of a number")? {
                    10 => false,
                    16 => true,
                    _ => return Err(Malformed("base of a number")),
                };
                let digits = usize::from(input.u8("digits of a number")?);
                let min = input.varint("lowest number")?;
                let values = dense::take(input, min, texts)?;
                Ok(Self::Numbers(Format { before, after, is_hex, digits }, values.into_iter()))
            }
            kind::DICTIONARY => {
                let distinct = input.len("number of tokens")?;
                let tokens = take_lines(input, distinct)?;
                let codes = dense::take(input, 0, texts)?;
                Ok(Self::Dictionary(tokens, codes.into_iter()))
            }
            kind::TEXT => Ok(Self::Text(take_lines(input, texts)?.into_iter())),
            _ => Err(Malformed("kind of tokens")),
        }
    }

    fn append_next(&mut self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        const MISSING: Malformed = Malformed("a token is missing");
        match self {
            Self::Constant(token) => out.extend_from_slice(token),
            Self::Numbers(format, values) => format.append(values.next().ok_or(MISSING)?, out),
            Self::Dictionary(tokens, codes) => {
                let code = usize::try_from(codes.next().ok_or(MISSING)?).map_err(|_| MISSING)?;
                out.extend_from_slice(tokens.get(code).ok_or(MISSING)?);
            }
            Self::Text(tokens) => out.extend_from_slice(tokens.next().ok_or(MISSING)?),
        }
        Ok(())
    }
}

/// So many tokens with a line end after each.
fn take_lines<'a>(input: &mut Input<'a>, len: usize) -> Result<Vec<&'a [u8]>, Malformed> {
    let mut lines = Vec::with_capacity(len.min(input.rest().len()));
    for _ in 0..len {
        let end = memchr::memchr(b'\n', input.rest()).ok_or(Malformed("tokens"))?;
        lines.push(input.take(end, "token")?);
        input.take(1, "end of a token")?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines<T: AsRef<str>>(texts: &[T]) -> Lines {
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(text.as_ref().as_bytes()));
        lines
    }

    fn read_back(texts: &Lines) -> Option<usize> {
        let (raw, pieces) = encode(texts)?;
        let packed = pieces.iter().map(|piece| match piece {
            Piece::Packed(len) | Piece::Plain(len) => *len,
        });
        assert_eq!(packed.sum::<usize>(), raw.len());
        let found = decode(&raw, texts.len()).unwrap();
        assert_eq!(
            (0..found.len).map(|i| found.get(i)).collect::<Vec<_>>(),
            texts.iter().collect::<Vec<_>>()
        );
        Some(raw.len())
    }

    fn random(i: u64) -> u64 {
        let mixed = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8
    }

    #[test]
    fn texts_that_are_alike_take_little_more_than_their_tokens_tell() {
        type Text<'a> = &'a dyn Fn(u64) -> String;
        let cases: [(&str, Text<'_>, usize); 6] = [
            ("addresses", &|n| format!("10.{}.{}.{}", n % 8, n / 8 % 256, n / 2048 % 256), 24),
            ("paths", &|n| format!("/{}/{}", ["shop", "blog", "img"][(n % 3) as usize], n / 3 % 9000), 24),
            ("numbers with a unit", &|n| format!("{}kB", n % 9_000_000), 24),
            ("ids after a name", &|n| format!("veth{:07x}", n % (1 << 28)), 28),
            ("digits with zeros before", &|n| format!("{:03}", n % 1000), 16),
            ("ids in groups", &|n| format!("{:08x}-{:04x}", n % (1 << 32), n / 77 % 65536), 48),
        ];
        for (of, text, bits) in cases {
            let texts: Vec<String> = (0..4000).map(|i| text(random(i))).collect();
            let bytes = read_back(&lines(&texts)).unwrap();
            assert!(bytes * 8 <= 4000 * bits + 4000, "{of}: {bytes} bytes");
        }
    }

    #[test]
    fn running_text_and_texts_with_marks_are_left_alone() {
        let running: Vec<String> =
            (0..200).map(|i| format!("1{}", [" ", "-/", ";:"][i % 3].repeat(i))).collect();
        assert!(encode(&lines(&running)).is_none());
        assert!(encode(&lines(&["1\0"; 100])).is_none());
        assert!(encode(&lines(&["a"; 100])).is_none());
    }

    #[test]
    fn cut_and_harmed_texts_are_refused_or_as_many_and_as_long() {
        let texts: Vec<String> = (0..100).map(|i| format!("/a{}/b-{:x}", i % 5, random(i))).collect();
        let texts = lines(&texts);
        let (raw, _) = encode(&texts).unwrap();
        for len in 0..raw.len() {
            assert!(decode(&raw[..len], 100).is_err());
        }
        for at in 0..raw.len() {
            let mut harmed = raw.clone();
            harmed[at] ^= 1 << (at % 8);
            let found = decode(&harmed, 100);
            assert!(found.is_err() || found.unwrap().all().bytes.len() == texts.bytes().len());
        }
    }

    proptest! {
        #[test]
        fn texts_read_back_whatever_they_are(
            texts in prop::collection::vec("(v|0x|)[0-9a-f]{0,3}[./-]?[0-9]{0,20}(s|)", 64..100),
        ) {
            read_back(&lines(&texts));
        }

        #[test]
        fn texts_of_one_outline_read_back(texts in prop::collection::vec("v[0-9a-f]{1,20}/[0-9]{2,3}kB", 64..100)) {
            prop_assert!(read_back(&lines(&texts)).is_some());
        }
    }
}
