//! Values that lie in a table of a part's dictionary: the reader's side.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::needle::{Needle, Part};
use super::rows::Hits;
use super::{Column, Interner, Resolved};
use crate::block::wire::{Input, Malformed};

/// Pieces of needles of which it is remembered what values have them: those asked for last.
const MAX_ASKED: usize = 16;

/// A table of a dictionary.
#[derive(Debug)]
pub(crate) struct Table {
    /// Texts, hex digits or UUIDs.
    pub(crate) values: Column,
    /// The values as text, one after the other, and where each ends.
    written: OnceLock<(String, Vec<u32>)>,
    asked: Mutex<Vec<Asked>>,
    elsewhere: Mutex<Option<Elsewhere>>,
}

/// The table whose numbers were asked for last, and which of them the values have there.
#[derive(Debug)]
struct Elsewhere {
    table: Weak<Table>,
    numbers: Arc<[u32]>,
}

/// In place of the number of a value that a table lacks.
pub(crate) const NO_NUMBER: u32 = u32::MAX;

/// Tells what numbers values of other tables have in this one.
#[derive(Debug)]
pub(crate) struct Renumbering {
    table: Arc<Table>,
    /// The values by number, once they are looked for.
    numbers: Option<Interner>,
}

#[derive(Debug)]
struct Asked {
    bytes: Vec<u8>,
    ignores_case: bool,
    part: Part,
    hits: Arc<Hits>,
}

impl Table {
    /// # Errors
    /// When values are not stored as a table has them.
    pub(crate) fn new(values: Column) -> Result<Self, Malformed> {
        match values {
            Column::Text(_) | Column::Hex { .. } | Column::Uuid(_) => Ok(Self {
                values,
                written: OnceLock::new(),
                asked: Mutex::default(),
                elsewhere: Mutex::default(),
            }),
            _ => Err(Malformed("encoding of a table")),
        }
    }

    /// Appends value `number`, which there is.
    pub(crate) fn append(&self, number: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
        Resolved { columns: Vec::new(), pairs: Vec::new() }.append_value(
            &self.values,
            number,
            out,
            usize::MAX,
        )
    }

    /// Writes the values out, for [`Table::text`]: once for all blocks.
    pub(crate) fn write_out(&self) -> Result<(), Malformed> {
        if self.written.get().is_some() {
            return Ok(());
        }
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(self.values.len()));
        for number in 0..self.values.len() {
            self.append(number, &mut text)?;
            ends.push(u32::try_from(text.len()).map_err(|_| Malformed("bytes of a table"))?);
        }
        let text = String::from_utf8(text).map_err(|_| Malformed("text of a table"))?;
        self.written.get_or_init(|| (text, ends));
        Ok(())
    }

    /// Value `number`; `None` where it is none, or they have not been written out.
    #[inline]
    pub(crate) fn text(&self, number: usize) -> Option<&str> {
        let (text, ends) = self.written.get()?;
        let start = number.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
        text.get(start as usize..*ends.get(number)? as usize)
    }

    /// Bytes of memory once everything is known that queries ask for, about: where texts end, ids written out, which
    /// values have what needles look for, and what numbers they have in another table.
    pub(crate) fn memory(&self) -> usize {
        let asked = MAX_ASKED * self.values.len().div_ceil(8);
        asked + 4 * self.values.len() + self.text_memory()
    }

    /// The same of the values alone.
    pub(crate) fn text_memory(&self) -> usize {
        match &self.values {
            Column::Text(texts) => texts.memory(),
            Column::Hex { bytes, .. } | Column::Uuid(bytes) => bytes.len() * 3 + self.values.len() * 4,
            _ => 0,
        }
    }

    /// Value `number`, which there is; `buffer` is used where it has to be written out.
    #[inline]
    pub(crate) fn get<'b>(&'b self, number: usize, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Malformed> {
        if let Some(text) = self.values.text(number) {
            return Ok(text);
        }
        buffer.clear();
        self.append(number, buffer)?;
        Ok(buffer)
    }

    /// The values by number.
    fn numbered(&self) -> Result<Interner, Malformed> {
        let (mut numbered, mut buffer) = (Interner::default(), Vec::new());
        for number in 0..self.values.len() {
            let known = numbered.number(self.get(number, &mut buffer)?, usize::MAX);
            if known != u32::try_from(number).ok() {
                return Err(Malformed("a value that a table has twice"));
            }
        }
        Ok(numbered)
    }

    /// Which values have `part` of the needle; `find` finds out.
    pub(super) fn hits<E>(
        &self,
        needle: &Needle,
        part: &Part,
        find: impl FnOnce(&Column) -> Result<Hits, E>,
    ) -> Result<Arc<Hits>, E> {
        let is_it = |asked: &Asked| {
            asked.part == *part
                && asked.ignores_case == needle.ignores_case()
                && asked.bytes[part.range.clone()] == needle.bytes[part.range.clone()]
        };
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = asked.iter().position(is_it) {
                asked[..=at].rotate_right(1);
                return Ok(Arc::clone(&asked[0].hits));
            }
        }
        let hits = Arc::new(find(&self.values)?);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.truncate(MAX_ASKED - 1);
        let (bytes, ignores_case) = (needle.bytes.clone(), needle.ignores_case());
        asked.insert(0, Asked { bytes, ignores_case, part: part.clone(), hits: Arc::clone(&hits) });
        Ok(hits)
    }
}

impl Renumbering {
    pub(crate) const fn to(table: Arc<Table>) -> Self {
        Self { table, numbers: None }
    }

    /// What number each value of `other` has, or [`NO_NUMBER`]. It is looked up once, as long as `other` is not asked for
    /// numbers of another table.
    pub(crate) fn of(&mut self, other: &Table) -> Result<Arc<[u32]>, Malformed> {
        let elsewhere = || other.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*elsewhere()
            && known.table.as_ptr() == Arc::as_ptr(&self.table)
        {
            return Ok(Arc::clone(&known.numbers));
        }
        let values = match &mut self.numbers {
            Some(values) => values,
            none => none.insert(self.table.numbered()?),
        };
        let mut numbers = Vec::with_capacity(other.values.len());
        let mut buffer = Vec::new();
        for number in 0..other.values.len() {
            numbers.push(values.number(other.get(number, &mut buffer)?, 0).unwrap_or(NO_NUMBER));
        }
        let numbers: Arc<[u32]> = numbers.into();
        let table = Arc::downgrade(&self.table);
        *elsewhere() = Some(Elsewhere { table, numbers: Arc::clone(&numbers) });
        Ok(numbers)
    }
}

/// Numbers of `len` values of a table of `kinds`.
pub(crate) fn decode_codes(input: &mut Input<'_>, len: usize, kinds: usize) -> Result<Vec<u32>, Malformed> {
    let min = input.varint_u32("lowest number of a value")?;
    let width = usize::from(input.u8("bytes of a number")?);
    if width > 4 {
        return Err(Malformed("bytes of a number"));
    }
    let mut codes = vec![min; len];
    for place in 0..width {
        for (code, byte) in codes.iter_mut().zip(input.take(len, "numbers of values")?) {
            *code = code.wrapping_add(u32::from(*byte) << (8 * place));
        }
    }
    if codes.iter().any(|code| *code as usize >= kinds) {
        return Err(Malformed("number of a value"));
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Lines;
    use crate::block::shapes::texts::Texts;

    fn table(values: &[&str]) -> Arc<Table> {
        let mut lines = Lines::default();
        values.iter().for_each(|value| lines.push(value.as_bytes()));
        Arc::new(Table::new(Column::Text(Texts::from(lines))).unwrap())
    }

    #[test]
    fn values_have_the_numbers_of_equal_ones_in_another_table() {
        let (first, second) = (table(&["/a", "", "/b"]), table(&["/b", "/c", "/a", ""]));
        let hex = Arc::new(Table::new(Column::Hex { digits: 2, bytes: vec![0x0a, 0xff] }).unwrap());
        let numbers = |to: &Arc<Table>, of: &Table| Renumbering::to(Arc::clone(to)).of(of).unwrap();
        assert_eq!(*numbers(&first, &second), [2, NO_NUMBER, 0, 1]);
        assert_eq!(*numbers(&second, &first), [2, 3, 0]);
        assert_eq!(*numbers(&table(&["ff", "0a"]), &hex), [1, 0]);
        assert_eq!(*numbers(&hex, &table(&["f", "ff", "FF"])), [NO_NUMBER, 1, NO_NUMBER]);
    }

    #[test]
    fn numbers_are_remembered_for_the_table_asked_for_last() {
        let (first, second, values) = (table(&["/a"]), table(&["/b", "/a"]), table(&["/a", "/b"]));
        let numbers = |to: &Arc<Table>| Renumbering::to(Arc::clone(to)).of(&values).unwrap();
        let known = numbers(&first);
        assert!(Arc::ptr_eq(&known, &numbers(&first)));
        assert_eq!(*numbers(&second), [1, 0]);
        assert_eq!(*numbers(&first), [0, NO_NUMBER]);
        drop(second);
        assert_eq!(*numbers(&table(&["/b"])), [NO_NUMBER, 0]);
    }

    #[test]
    fn a_table_with_a_value_twice_gives_no_numbers() {
        assert!(Renumbering::to(table(&["/a", "/b", "/a"])).of(&table(&["/a"])).is_err());
    }
}
