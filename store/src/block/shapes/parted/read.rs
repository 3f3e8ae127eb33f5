//! Puts texts together from their outlines and tokens.

use super::number::Format;
use super::{MAX_OUTLINES, MAX_PLACES, TOKEN, kind};
use crate::block::dense;
use crate::block::header::MAX_COLUMN_BYTES;
use crate::block::shapes::texts::Texts;
use crate::block::wire::{Input, Malformed};

/// Tokens of one place, from the first to the last.
#[derive(Debug)]
enum Place<'a> {
    Constant(&'a [u8]),
    Numbers(Format, std::vec::IntoIter<u64>),
    Dictionary(Vec<&'a [u8]>, std::vec::IntoIter<u64>),
    Text(std::vec::IntoIter<&'a [u8]>),
}

/// Reads `len` texts.
pub(in crate::block::shapes) fn decode(raw: &[u8], len: usize) -> Result<Texts, Malformed> {
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
                let (format, min) = Format::decode(input)?;
                Ok(Self::Numbers(format, dense::take(input, min, texts)?.into_iter()))
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
