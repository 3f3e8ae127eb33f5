//! Cuts texts into outlines and tokens, and chooses how the tokens of each place are packed.

use super::number::Numbers;
use super::{MAX_OUTLINES, MAX_PLACES, TOKEN, kind};
use crate::block::shapes::Interner;
use crate::block::wire::{put_bytes, put_varint};
use crate::block::{Lines, Piece, dense};

/// Fewer texts are not worth it.
const MIN_TEXTS: usize = 64;
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
pub(in crate::block::shapes) fn encode(texts: &Lines) -> Option<(Vec<u8>, Vec<Piece>)> {
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
        return put_numbers(numbers, out);
    }
    let few = FEW.min(tokens.len() / PER_FEW);
    if put_dictionary(tokens, few, out) {
        return;
    }
    if let Some(numbers) = numbers {
        return put_numbers(&numbers, out);
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

fn put_numbers(numbers: &Numbers, out: &mut Output) {
    out.raw.push(kind::NUMBERS);
    numbers.put_params(&mut out.raw);
    out.put_dense(&numbers.values, numbers.min);
}
