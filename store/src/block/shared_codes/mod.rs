//! Values told by codes that other blocks share: numbers as they are, and values of tables.
//!
//! The invariant: codes of equal dictionaries mean the same text, and no two codes of one dictionary do. Tables of several parts
//! become one dictionary once someone has asked for all of them together; it is remembered with the tables.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use super::shapes::{Column, Format, Numbered, Numbers, Table, Union};
use super::slot_values::Entries;

/// Most codes that blocks share: so many counters are at hand for each field that is counted.
const MAX_SHARED_CODES: usize = 1 << 18;
/// Of the largest number that is a code, with a point.
const DIGITS: usize = 7;
/// In place of a code that there is not.
const NO_CODE: u32 = u32::MAX;

/// Values told by codes that mean the same in every block with an equal [`Dictionary`].
#[derive(Clone, Debug)]
pub struct SharedCodes<'a> {
    entries: Entries<'a>,
    shared: Shared<'a>,
    len: usize,
}

#[derive(Clone, Debug)]
enum Shared<'a> {
    Numbers(&'a Numbers),
    Table(&'a Arc<Table>, &'a [u32]),
    Union(Numbered, &'a [u32]),
}

/// What codes mean that blocks share.
#[derive(Clone, Debug)]
pub struct Dictionary(Meaning);

#[derive(Clone, Debug)]
enum Meaning {
    /// A number, written like this.
    Number(Format),
    /// A value of a table of the part's dictionary.
    Value(Arc<Table>),
    /// What some tables have that were numbered together.
    Common(Common),
}

#[derive(Clone, Debug)]
struct Common {
    union: Arc<Union>,
    /// Tables at hand, all of the union.
    tables: Vec<Numbered>,
    /// By code: the table that has its text, and which value it is there; as far as the first tables have it.
    owners: Vec<(u32, u32)>,
    /// So many tables have been looked through for that.
    looked_through: usize,
}

/// Several dictionaries made one.
#[derive(Debug)]
pub struct OneDictionary {
    /// The one.
    pub dictionary: Dictionary,
    /// Its codes are less.
    pub codes: usize,
    /// For each of the several, its codes' texts there; `None` where it stays apart.
    pub recoded: Vec<Option<Recoded>>,
}

/// Codes of a dictionary by those of another.
#[derive(Clone, Debug)]
pub struct Recoded(Arc<[u32]>);

// === impl SharedCodes ===

impl<'a> SharedCodes<'a> {
    pub(super) fn of(column: &'a Column, entries: Entries<'a>) -> Option<Self> {
        let (shared, len) = match column {
            Column::Numbers(numbers) => {
                let max = numbers.values.iter().copied().max()?;
                (Shared::Numbers(numbers), usize::try_from(max).ok()?.checked_add(1)?)
            }
            Column::Shared { table, codes } => match Numbered::of(table) {
                Some(numbered) => {
                    let len = numbered.union.len;
                    return Some(Self { entries, shared: Shared::Union(numbered, codes), len });
                }
                None => (Shared::Table(table, codes), table.values.len()),
            },
            _ => return None,
        };
        (len <= MAX_SHARED_CODES).then_some(Self { entries, shared, len })
    }

    /// What the codes mean.
    #[must_use]
    pub fn dictionary(&self) -> Dictionary {
        Dictionary(match &self.shared {
            Shared::Numbers(numbers) => Meaning::Number(numbers.format.clone()),
            Shared::Table(table, _) => Meaning::Value(Arc::clone(table)),
            Shared::Union(numbered, _) => {
                Meaning::Common(Common::of(vec![numbered.clone()], &numbered.union))
            }
        })
    }

    /// All codes of the block are less.
    #[must_use]
    pub const fn max_codes(&self) -> usize {
        self.len
    }

    /// The code of the value of line `row`, which must be of the shape.
    ///
    /// # Panics
    /// When `row` is not less than [`super::Block::len`].
    #[must_use]
    #[inline]
    pub fn code(&self, row: usize) -> usize {
        let entry = self.entries.of_row(row);
        match &self.shared {
            Shared::Numbers(numbers) => numbers.values[entry] as usize,
            Shared::Table(_, codes) => codes[entry] as usize,
            Shared::Union(numbered, codes) => numbered.numbers[codes[entry] as usize] as usize,
        }
    }

    /// Whether each line of the block has one value in the column that both are of, and no shape has others there.
    #[must_use]
    pub fn is_of_each_line_with(&self, other: &Self) -> bool {
        let values = |codes: &Self| match &codes.shared {
            Shared::Numbers(numbers) => numbers.values.as_ptr().addr(),
            Shared::Table(_, codes) | Shared::Union(_, codes) => codes.as_ptr().addr(),
        };
        let is_of_each = |codes: &Self| codes.entries.are_rows();
        values(self) == values(other) && is_of_each(self) && is_of_each(other)
    }

    /// Calls `each` with the codes of some lines, where each line of the block has one: see
    /// [`SharedCodes::is_of_each_line_with`].
    ///
    /// # Panics
    /// When there are not so many lines.
    #[inline]
    pub fn for_each(&self, rows: Range<usize>, mut each: impl FnMut(usize)) {
        match &self.shared {
            Shared::Numbers(numbers) => numbers.values[rows].iter().for_each(|code| each(*code as usize)),
            Shared::Table(_, codes) => codes[rows].iter().for_each(|code| each(*code as usize)),
            Shared::Union(numbered, codes) => {
                let numbers = &*numbered.numbers;
                codes[rows].iter().for_each(|code| each(numbers[*code as usize] as usize));
            }
        }
    }
}

// === impl Dictionary ===

impl Dictionary {
    /// Bytes of all texts with a code below `codes`, about.
    #[must_use]
    pub fn bytes(&self, codes: usize) -> usize {
        match &self.0 {
            Meaning::Number(format) => codes.saturating_mul(format.prefix.len() + format.decimals + DIGITS),
            Meaning::Value(table) => table.text_memory(),
            Meaning::Common(common) => common.union.text_bytes,
        }
    }

    /// Bytes of the tables that it keeps in memory, about.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Meaning::Number(_) => 0,
            Meaning::Value(table) => table.memory(),
            Meaning::Common(common) => common.tables.iter().map(|one| one.table.memory()).sum(),
        }
    }

    /// Whether all texts are ASCII without backslashes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        match &self.0 {
            Meaning::Number(format) => format.prefix.is_ascii() && !format.prefix.contains(&b'\\'),
            Meaning::Value(table) => table.is_plain(),
            Meaning::Common(common) => common.union.is_plain,
        }
    }

    /// Takes in the texts of an equal one.
    pub fn take_in(&mut self, other: Self) {
        if let (Meaning::Common(common), Meaning::Common(other)) = (&mut self.0, other.0) {
            for table in other.tables {
                if common.tables.iter().all(|known| !Arc::ptr_eq(&known.table, &table.table)) {
                    common.tables.push(table);
                }
            }
        }
    }

    /// Makes [`Dictionary::text`] know a code, unless no block has it.
    pub fn look_up(&mut self, code: usize) {
        if let Meaning::Common(common) = &mut self.0 {
            common.look_up(code);
        }
    }

    /// The text with this code, once it has been looked up; `buffer` is used where it has to be written out.
    ///
    /// # Panics
    /// When no block with the dictionary has the code.
    #[must_use]
    #[inline]
    pub fn text<'b>(&'b self, code: usize, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        let (table, value) = match &self.0 {
            Meaning::Number(format) => {
                buffer.clear();
                format.append(code as u64, buffer);
                return buffer;
            }
            Meaning::Value(table) => (table, code),
            Meaning::Common(common) => {
                let (table, value) = common.owners[code];
                (&common.tables[table as usize].table, value as usize)
            }
        };
        table.get(value, buffer).expect("BUG: a table holds shapes")
    }

    /// Makes one of all that are of tables, as far as there is room; `None` where they are one already, or it is known that
    /// there is no room, or a table is damaged. The first time takes as long as to hash all texts; blocks opened later have
    /// the codes of the one.
    #[must_use]
    pub fn unite(dictionaries: &[&Self]) -> Option<OneDictionary> {
        let mut tables: Vec<Arc<Table>> = Vec::new();
        for dictionary in dictionaries {
            match &dictionary.0 {
                Meaning::Number(_) => {}
                Meaning::Value(table) => tables.push(Arc::clone(table)),
                Meaning::Common(common) => {
                    tables.extend(common.tables.iter().map(|one| Arc::clone(&one.table)));
                }
            }
        }
        let is_table = |dictionary: &&&Self| !matches!(dictionary.0, Meaning::Number(_));
        let mut of_tables = dictionaries.iter().filter(is_table);
        let first = of_tables.next()?;
        if of_tables.all(|other| other == first) {
            return None;
        }
        let numbered = Union::of(tables).ok()?;
        let union = Arc::clone(&numbered.first()?.union);
        let recoded = dictionaries.iter().map(|dictionary| dictionary.recoded(&numbered)).collect();
        let codes = union.len;
        let dictionary = Self(Meaning::Common(Common::of(numbered, &union)));
        Some(OneDictionary { dictionary, codes, recoded })
    }

    /// Its codes' numbers in the union of these tables; `None` where that lacks one of its own.
    fn recoded(&self, numbered: &[Numbered]) -> Option<Recoded> {
        let numbers_of = |table: &Arc<Table>| {
            numbered.iter().find(|known| Arc::ptr_eq(&known.table, table)).map(|n| &n.numbers)
        };
        match &self.0 {
            Meaning::Number(_) => None,
            Meaning::Value(table) => numbers_of(table).map(Arc::clone).map(Recoded),
            Meaning::Common(common) => {
                let mut codes = vec![NO_CODE; common.union.len];
                for Numbered { table, numbers, .. } in &common.tables {
                    for (code, number) in numbers.iter().zip(&**numbers_of(table)?) {
                        codes[*code as usize] = *number;
                    }
                }
                Some(Recoded(codes.into()))
            }
        }
    }
}

impl PartialEq for Dictionary {
    /// A table read twice makes two dictionaries.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Meaning::Number(format), Meaning::Number(other)) => format == other,
            (Meaning::Value(table), Meaning::Value(other)) => Arc::ptr_eq(table, other),
            (Meaning::Common(common), Meaning::Common(other)) => Arc::ptr_eq(&common.union, &other.union),
            _ => false,
        }
    }
}

// === impl Common, Recoded ===

impl Common {
    fn of(tables: Vec<Numbered>, union: &Arc<Union>) -> Self {
        Self { union: Arc::clone(union), tables, owners: Vec::new(), looked_through: 0 }
    }

    fn look_up(&mut self, code: usize) {
        self.owners.resize(self.union.len, (0, NO_CODE));
        while self.owners.get(code).is_some_and(|(_, value)| *value == NO_CODE)
            && let Some(Numbered { numbers, .. }) = self.tables.get(self.looked_through)
        {
            for (value, number) in (0..).zip(&**numbers) {
                let owner = &mut self.owners[*number as usize];
                if owner.1 == NO_CODE {
                    *owner = (self.looked_through as u32, value);
                }
            }
            self.looked_through += 1;
        }
    }
}

impl Recoded {
    /// The code of the text that `code` has in the other dictionary, if there is one.
    #[must_use]
    #[inline]
    pub fn get(&self, code: usize) -> Option<usize> {
        self.0.get(code).filter(|code| **code != NO_CODE).map(|code| *code as usize)
    }
}
