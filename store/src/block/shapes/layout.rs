//! Layouts: what running text of one outline has in each place, learned from some texts of a block.
//!
//! The *outline* of a text is all that stands between its words and values. Values of one place of one outline are alike
//! (an address, a port, a size), so each place has a column of its own; and where many words stand in one place (names of
//! users, of tables), they are values too. Nothing else is kept apart by this: a text that is cut by another's layout
//! is put together from its own bytes all the same.

use std::collections::HashSet;
use std::ops::Range;

use super::cut::{self, Kind};
use super::{Interner, MAX_COLUMNS};

/// Texts of a block from which layouts are learned, drawn evenly.
pub(super) const SAMPLE: usize = 512;
/// Texts of a block that must be of an outline for it to be learned: columns cost some dozen bytes each.
pub(super) const MIN_TEXTS: usize = 512;
/// Most columns of places in a block, so that some are left for values of other texts.
const MAX_OF_BLOCK: usize = MAX_COLUMNS - 56;
/// Most layouts of a part.
const MAX_LAYOUTS: usize = 512;
/// Most words and values of a text with a layout.
const MAX_PIECES: usize = 64;
/// One text in so many may have another word in a place before its words are values; words that few of the
/// texts tell apart stay in the shapes, as what belongs together.
const PER_WORD: usize = 16;
const MIN_WORDS: usize = 8;

/// A word or value of running text, and what it is.
pub(super) type Piece = (Range<usize>, Kind<'static>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    outlines: Interner,
    /// By outline: the column of each piece; `None` where it is part of the shape.
    columns: Vec<Box<[Option<u32>]>>,
    outline: Vec<u8>,
}

/// Texts of one outline, and its number among those found.
#[derive(Default)]
struct Alike<'t> {
    outline: usize,
    texts: Vec<(&'t [u8], Vec<Piece>)>,
}

impl Layouts {
    /// The columns of the pieces of `text`, if its layout is known.
    pub(super) fn of(&mut self, text: &[u8], pieces: &[Piece]) -> Option<&[Option<u32>]> {
        if self.columns.is_empty() || pieces.len() > MAX_PIECES {
            return None;
        }
        outline(text, pieces, &mut self.outline);
        let number = self.outlines.number(&self.outline, 0)?;
        // Marks of pieces may stand in the text itself, so that it has another number of them.
        Some(&*self.columns[number as usize]).filter(|columns| columns.len() == pieces.len())
    }

    /// Learns from running texts of a block, one of each `step` of them. `column` makes a column, unless there are too many.
    pub(super) fn learn<'t>(
        &mut self,
        sample: impl Iterator<Item = &'t [u8]>,
        step: usize,
        mut column: impl FnMut() -> Option<u32>,
    ) {
        let (mut found, mut met) = (Interner::default(), HashSet::new());
        let mut all: Vec<Alike<'_>> = Vec::new();
        for text in sample {
            let mut pieces = Vec::new();
            cut::pieces(text, |span, kind| pieces.push((span, kind)));
            if pieces.is_empty() || pieces.len() > MAX_PIECES {
                continue;
            }
            outline(text, &pieces, &mut self.outline);
            if let Some(known) = self.outlines.number(&self.outline, 0) {
                met.insert(known);
                continue;
            }
            let Some(number) = found.number(&self.outline, usize::MAX) else { continue };
            all.resize_with(all.len().max(number as usize + 1), Alike::default);
            all[number as usize].outline = number as usize;
            all[number as usize].texts.push((text, pieces));
        }
        let columns_of = |columns: &[Option<u32>]| columns.iter().flatten().count();
        let mut left =
            MAX_OF_BLOCK.saturating_sub(met.iter().map(|n| columns_of(&self.columns[*n as usize])).sum());
        all.retain(|alike| alike.texts.len() * step >= MIN_TEXTS);
        all.sort_by_key(|alike| std::cmp::Reverse(alike.texts.len()));
        for alike in all {
            let are_values = alike.values();
            let values = are_values.iter().filter(|is_value| **is_value).count();
            if values > left || self.columns.len() == MAX_LAYOUTS {
                continue;
            }
            left -= values;
            let columns: Vec<_> =
                are_values.iter().map(|is_value| is_value.then(&mut column).flatten()).collect();
            if self.outlines.number(found.texts().get(alike.outline), MAX_LAYOUTS).is_some() {
                self.columns.push(columns.into());
            }
        }
    }
}

impl Alike<'_> {
    /// Which pieces are values.
    fn values(&self) -> Vec<bool> {
        let of_first = self.texts.first().map_or(&[][..], |(_, pieces)| pieces);
        let mut are_values: Vec<bool> = of_first.iter().map(|(_, kind)| *kind != Kind::Word).collect();
        // Texts of one outline with different numbers of pieces are few and odd: see `Layouts::of`.
        let texts: Vec<_> =
            self.texts.iter().filter(|(_, pieces)| pieces.len() == are_values.len()).collect();
        let hashes: Vec<Vec<u64>> = texts
            .iter()
            .map(|(text, pieces)| {
                pieces.iter().map(|(span, _)| xxhash_rust::xxh3::xxh3_64(&text[span.clone()])).collect()
            })
            .collect();
        let few = MIN_WORDS.max(texts.len() / PER_WORD);
        for (place, is_value) in are_values.iter_mut().enumerate() {
            *is_value |= hashes.iter().map(|words| words[place]).collect::<HashSet<_>>().len() > few;
        }
        // Places that have few words each may have many together.
        let mut shapes = shapes_of(&hashes, &are_values);
        while shapes > few {
            let without = |place: usize| {
                let mut fewer = are_values.clone();
                fewer[place] = true;
                (shapes_of(&hashes, &fewer), place)
            };
            let best = (0..are_values.len()).filter(|place| !are_values[*place]).map(without).min();
            let Some((fewer, place)) = best.filter(|(fewer, _)| *fewer * 4 <= shapes * 3) else { break };
            are_values[place] = true;
            shapes = fewer;
        }
        are_values
    }
}

/// Number of shapes that texts have whose words in these places are values.
fn shapes_of(texts: &[Vec<u64>], are_values: &[bool]) -> usize {
    let shape = |words: &Vec<u64>| {
        let literals = words.iter().zip(are_values).filter(|(_, is_value)| !**is_value);
        literals.fold(0_u64, |sum, (word, _)| sum.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word)
    };
    texts.iter().map(shape).collect::<HashSet<_>>().len()
}

/// What stands between the pieces of a text, and a mark for each of them.
fn outline(text: &[u8], pieces: &[Piece], outline: &mut Vec<u8>) {
    outline.clear();
    let mut from = 0;
    for (span, kind) in pieces {
        outline.extend_from_slice(&text[from..span.start]);
        // Bytes that are in no UTF-8
        outline.push(match kind {
            Kind::Word => 0xff,
            Kind::Stamp => 0xfe,
            _ => 0xfd,
        });
        from = span.end;
    }
    outline.extend_from_slice(&text[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which pieces of the outline of `texts` are values.
    fn values(texts: &[String]) -> Option<Vec<bool>> {
        let mut layouts = Layouts::default();
        let mut columns = 0..;
        layouts.learn(texts.iter().map(String::as_bytes), 1, || columns.next());
        let mut pieces = Vec::new();
        cut::pieces(texts[0].as_bytes(), |span, kind| pieces.push((span, kind)));
        let columns = layouts.of(texts[0].as_bytes(), &pieces)?;
        Some(columns.iter().map(Option::is_some).collect())
    }

    fn texts(text: impl Fn(usize) -> String) -> Vec<String> {
        (0..600).map(text).collect()
    }

    #[test]
    fn words_are_values_where_many_stand_and_words_that_belong_together_are_not() {
        let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
        let user = |i: usize| format!("{}{}", letter(i), letter(i / 26 * 7));
        let level = |i: usize| ["INFO", "WARN"][i % 2];
        let few = ["load cart", "send mail", "take order", "drop table"];
        for (of, texts, expected) in [
            ("numbers", texts(|i| format!("took {i} ms")), Some(vec![false, true, false])),
            (
                "names",
                texts(|i| format!("{} user {} left", level(i), user(i))),
                Some(vec![false, false, true, false]),
            ),
            ("few", texts(|i| format!("now {}", few[i * i % 4])), Some(vec![false, false, false])),
            ("too few texts", texts(|i| format!("took {i} ms"))[..300].to_vec(), None),
        ] {
            assert_eq!(values(&texts), expected, "{of}");
        }
    }

    #[test]
    fn places_of_few_words_each_are_values_where_they_are_many_together() {
        let word = |n: usize| ["a", "b", "c", "d", "e", "f", "g"][n % 7];
        let texts = texts(|i| format!("is {} {} {}", word(i), word(i / 7), word(i / 49)));
        let values = values(&texts).unwrap();
        assert!(!values[0] && values[1..].iter().filter(|is_value| **is_value).count() >= 2, "{values:?}");
    }
}
