//! Literals and values put together to the texts they were cut from.

use std::collections::BTreeSet;

use super::{Column, Shapes, Slot, hex};
use crate::block::pairs::Values;
use crate::block::wire::Malformed;
use crate::block::{Block, BlockError, Lines};

/// The columns of a block, as far as the texts asked for need them.
///
/// Each has as many values as texts have slots for them, and belongs to one set of shapes. So a cursor that takes the next
/// value for each slot never runs beyond the last, and no value needs to be looked up with care.
#[derive(Debug)]
pub(crate) struct Resolved<'a> {
    /// By number.
    pub(crate) columns: Vec<Option<&'a Column>>,
    pub(crate) pairs: Vec<Option<&'a Values>>,
}

impl Block {
    /// The columns that texts of `shapes` are made of: of all, or of those named. No other is read.
    pub(in crate::block) fn resolved(
        &self,
        shapes: &Shapes,
        texts: Option<&[usize]>,
    ) -> Result<Resolved<'_>, BlockError> {
        let mut resolved = Resolved {
            columns: vec![None; self.columns.len()],
            pairs: vec![None; self.pairs.columns().len()],
        };
        self.resolve(shapes, texts, &mut resolved)?;
        Ok(resolved)
    }

    fn resolve<'a>(
        &'a self,
        shapes: &Shapes,
        texts: Option<&[usize]>,
        resolved: &mut Resolved<'a>,
    ) -> Result<(), BlockError> {
        for slot in shapes.slots_of(texts) {
            let own = match slot {
                Slot::Pair(pair) => {
                    resolved.pairs[pair as usize] = Some(self.pair_values(pair as usize)?);
                    continue;
                }
                Slot::Column(own) => own,
            };
            let number = shapes.base + own as usize;
            let column = self.column(number)?;
            if column.len() != shapes.entries[own as usize] {
                return Err(self.malformed(Malformed("number of values")));
            }
            if resolved.columns[number].replace(column).is_some() {
                return Err(self.malformed(Malformed("columns that name the same values")));
            }
            if let Column::Shapes(nested) = column {
                let values = texts.map(|texts| shapes.values_of(texts, own));
                self.resolve(nested, values.as_deref(), resolved)?;
            }
        }
        Ok(())
    }
}

impl Shapes {
    /// The slots that texts have: all of them, or those named.
    fn slots_of(&self, texts: Option<&[usize]>) -> BTreeSet<Slot> {
        let Some(texts) = texts else {
            let columns = (0..self.entries.len() as u32).map(Slot::Column);
            return self.pairs().map(|pair| Slot::Pair(pair as u32)).chain(columns).collect();
        };
        let shapes: BTreeSet<usize> = texts.iter().map(|text| self.codes.get(*text)).collect();
        shapes.into_iter().flat_map(|shape| self.pieces(shape)).filter_map(|piece| piece.slot).collect()
    }

    /// Numbers of the values that some texts have in `column`.
    fn values_of(&self, texts: &[usize], column: u32) -> Vec<usize> {
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            let first = self.first(column, *text);
            let slots = self.num_slots(self.codes.get(*text), column) as usize;
            values.extend(first..first + slots);
        }
        values
    }
}

impl Resolved<'_> {
    /// Appends text `i` of `shapes`. All texts of the block together have `max` bytes at most: a damaged file must
    /// not make lines without end.
    pub(crate) fn append(
        &self,
        shapes: &Shapes,
        i: usize,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Malformed> {
        self.append_text(shapes, i, None, out, max)
    }

    /// The same; with `next`, the next values of each column, by number, are those of the text: it is the one after the
    /// last.
    fn append_text(
        &self,
        shapes: &Shapes,
        i: usize,
        mut next: Option<&mut [usize]>,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Malformed> {
        const MISSING: Malformed = Malformed("a value is missing");
        let start = out.len();
        let pieces = shapes.pieces(shapes.codes.get(i));
        for (at, piece) in pieces.iter().enumerate() {
            out.extend_from_slice(shapes.literal(piece));
            match piece.slot {
                None => {}
                Some(Slot::Pair(pair)) => {
                    let values = self.pairs.get(pair as usize).copied().flatten().ok_or(MISSING)?;
                    out.extend_from_slice(values.get(i).ok_or(MISSING)?.as_bytes());
                }
                Some(slot @ Slot::Column(column)) => {
                    let number = shapes.base + column as usize;
                    let entry = match next.as_deref_mut() {
                        Some(next) => {
                            let next = next.get_mut(number).ok_or(MISSING)?;
                            *next += 1;
                            *next - 1
                        }
                        None => {
                            let earlier =
                                pieces[..at].iter().filter(|piece| piece.slot == Some(slot)).count();
                            shapes.first(column, i) + earlier
                        }
                    };
                    match self.columns.get(number).copied().flatten().ok_or(MISSING)? {
                        Column::Shapes(nested) => {
                            self.append_text(nested, entry, next.as_deref_mut(), out, max)?
                        }
                        values => self.append_value(values, entry, out, max)?,
                    }
                }
            }
            if out.len() - start > max {
                return Err(Malformed("bytes of a line"));
            }
        }
        Ok(())
    }

    /// Appends value `entry` of a column; `max` as for texts.
    pub(crate) fn append_value(
        &self,
        column: &Column,
        entry: usize,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Malformed> {
        match column {
            Column::Constant { text, .. } => out.extend_from_slice(text),
            Column::Dictionary { texts, codes } => out.extend_from_slice(texts.get(codes.get(entry))),
            Column::Text(texts) => out.extend_from_slice(texts.get(entry)),
            Column::Hex { digits, bytes } => hex::append(&bytes[entry * digits / 2..][..digits / 2], out),
            Column::Uuid(bytes) => super::column::append_uuid(&bytes[entry * 16..][..16], out),
            Column::Numbers(numbers) => numbers.append(entry, out),
            Column::Stamps(stamps) => stamps.append(entry, out),
            Column::Shapes(shapes) => return self.append(shapes, entry, out, max),
            Column::Shared { table, codes } => {
                return self.append_value(&table.values, codes[entry] as usize, out, max);
            }
        }
        Ok(())
    }

    /// All texts of `shapes`, which must come to `bytes` bytes.
    pub(crate) fn texts(&self, shapes: &Shapes, bytes: usize) -> Result<Lines, Malformed> {
        const WRONG: Malformed = Malformed("bytes of the lines");
        let mut lines = Lines::with_capacity(shapes.codes.len(), bytes);
        let mut next = vec![0; self.columns.len()];
        for i in 0..shapes.codes.len() {
            self.append_text(shapes, i, Some(&mut next), lines.buffer(), bytes)?;
            lines.end_line();
            if lines.line_bytes() > bytes {
                return Err(WRONG);
            }
        }
        if lines.line_bytes() == bytes { Ok(lines) } else { Err(WRONG) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{part, record};
    use super::*;

    #[test]
    fn columns_that_name_the_same_values_are_damage() {
        let line = |i: usize| {
            let message = |n: usize| format!("request {n} of the customer took {} ms", n * 7);
            format!(r#"{{"first":"{}","second":"{}"}}"#, message(i), message(i * 3))
        };
        let lines: Vec<String> = (0..300).map(line).collect();
        let records: Vec<_> =
            lines.iter().enumerate().map(|(i, line)| record(i, line.as_bytes(), None)).collect();
        let part = part(&records);
        let whole = part.read(0).unwrap();
        assert!(whole.lines().unwrap().iter().eq(lines.iter().map(String::as_bytes)));

        // The second column of messages with the values of the first, as a made-up file may have it.
        let mut block = part.read(0).unwrap();
        let Column::Shapes(first) = block.column(0).unwrap() else { panic!("no shapes") };
        let base = first.base;
        block.column(1).unwrap();
        let mut second = Arc::into_inner(block.columns[1].take().unwrap()).unwrap();
        let Column::Shapes(shapes) = &mut second else { panic!("no shapes") };
        assert_ne!(std::mem::replace(&mut shapes.base, base), base);
        block.columns[1].set(Arc::new(second)).unwrap();
        let wrong = [
            block.lines().err(),
            block.line(7).err(),
            block.lines_of(&[7, 8]).err(),
            block.lines_of(&(0..300).collect::<Vec<_>>()).err(),
        ];
        for (way, wrong) in wrong.into_iter().enumerate() {
            let wrong = wrong.unwrap_or_else(|| panic!("way {way} gives lines")).to_string();
            assert!(wrong.contains("columns that name the same values"), "{wrong}");
        }
    }
}
