//! Values that lie in a table of a part's dictionary: the reader's side.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::needle::{Needle, Part};
use super::rows::Hits;
use super::{Column, Resolved, Union};
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
    /// In the union made last.
    numbering: Mutex<Option<Numbering>>,
    is_plain: OnceLock<bool>,
}

/// Which numbers the values of a table have in a union.
#[derive(Clone, Debug)]
pub(crate) struct Numbering {
    pub(crate) union: Arc<Union>,
    /// By number in the table.
    pub(crate) numbers: Arc<[u32]>,
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
                numbering: Mutex::default(),
                is_plain: OnceLock::new(),
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
    /// values have what needles look for, and what numbers they have in a union.
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

    /// Whether the values are ASCII without backslashes: as texts in quotes they mean what they say.
    pub(crate) fn is_plain(&self) -> bool {
        *self.is_plain.get_or_init(|| match &self.values {
            Column::Text(texts) => {
                let bytes = texts.all().bytes;
                bytes.is_ascii() && !bytes.contains(&b'\\')
            }
            Column::Hex { .. } | Column::Uuid(_) => true,
            _ => false,
        })
    }

    /// The numbers of the values in the union that the table was numbered in last.
    pub(super) fn numbering(&self) -> Option<Numbering> {
        self.numbering.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_numbering(&self, numbering: Numbering) {
        *self.numbering.lock().unwrap_or_else(PoisonError::into_inner) = Some(numbering);
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
