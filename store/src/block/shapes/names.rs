//! Names of the columns of a part, and which of them a block has.

use super::MAX_COLUMNS;
use super::cut::Kind;
use super::templates::Class;

/// Most names of columns of a part; values of further ones stay in the shapes.
const MAX_NAMES: usize = 1024;
/// Most of them for places of running text.
const MAX_PLACES: usize = 640;

/// Columns by number, which stays the same from block to block.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<Named>,
    places: usize,
    /// Number of the block, and columns it has.
    block: u32,
    own: usize,
}

#[derive(Debug)]
struct Named {
    name: Name,
    /// What bytes the values may have.
    class: Class,
    /// The last block that has it.
    block: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Name {
    Field(Box<str>),
    Number,
    LongNumber,
    Hex(usize),
    Stamp,
    Mixed,
    Word,
    Segment(usize),
    /// A place of a layout.
    Place,
    Whole,
}

impl Names {
    /// Begins another block.
    pub(super) const fn begin(&mut self) {
        self.block += 1;
        self.own = 0;
    }

    pub(super) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Forgets all but the first `len`, which have all places.
    pub(super) fn truncate(&mut self, len: usize) {
        self.all.truncate(len);
    }

    /// The column for values of `kind`, which is most often the one after the last, `next`; `None` when there are too many,
    /// in all or in the block.
    pub(super) fn of_kind(&mut self, kind: Kind<'_>, next: &mut usize) -> Option<u32> {
        let number = if self.all.get(*next).is_some_and(|named| named.name.is(kind)) {
            *next
        } else if let Some(number) = self.all.iter().position(|named| named.name.is(kind)) {
            number
        } else if self.all.len() < MAX_NAMES {
            self.add(Name::of(kind))
        } else {
            return None;
        };
        *next = number + 1;
        self.take(number as u32)
    }

    /// A column for the values of one place; `None` when there are too many.
    pub(super) fn place(&mut self) -> Option<u32> {
        if self.places == MAX_PLACES || self.all.len() == MAX_NAMES {
            return None;
        }
        self.places += 1;
        Some(self.add(Name::Place) as u32)
    }

    /// The column for texts that are values as a whole.
    pub(super) fn whole(&mut self) -> u32 {
        let known = self.all.iter().position(|named| named.name == Name::Whole);
        known.unwrap_or_else(|| self.add(Name::Whole)) as u32
    }

    fn add(&mut self, name: Name) -> usize {
        self.all.push(Named { class: name.class(), name, block: 0 });
        self.all.len() - 1
    }

    /// The same column, now one of the block; `None` when this has too many.
    pub(super) fn take(&mut self, number: u32) -> Option<u32> {
        let named = &mut self.all[number as usize];
        if named.block != self.block {
            if self.own == MAX_COLUMNS - 1 {
                return None;
            }
            self.own += 1;
            named.block = self.block;
        }
        Some(number)
    }

    /// Takes note of a value of a column.
    pub(super) fn widen(&mut self, number: u32, value: &[u8]) {
        let named = &mut self.all[number as usize];
        if named.name == Name::Place {
            named.class = named.class.with(value);
        }
    }

    /// What bytes the values of each column may have, by number.
    pub(super) fn classes(&self) -> impl ExactSizeIterator<Item = Class> {
        self.all.iter().map(|named| named.class)
    }
}

impl Name {
    fn of(kind: Kind<'_>) -> Self {
        match kind {
            Kind::Field(path) => Self::Field(path.into()),
            Kind::Number => Self::Number,
            Kind::LongNumber => Self::LongNumber,
            Kind::Hex(digits) => Self::Hex(digits),
            Kind::Stamp => Self::Stamp,
            Kind::Mixed => Self::Mixed,
            Kind::Word => Self::Word,
            Kind::Segment(number) => Self::Segment(number),
        }
    }

    const fn class(&self) -> Class {
        match self {
            // Widened by values.
            Self::Number | Self::LongNumber | Self::Place => Class::Decimal,
            Self::Hex(_) => Class::Hex,
            Self::Mixed | Self::Word => Class::Word,
            Self::Field(_) | Self::Stamp | Self::Segment(_) | Self::Whole => Class::Any,
        }
    }

    fn is(&self, kind: Kind<'_>) -> bool {
        match (self, kind) {
            (Self::Field(path), Kind::Field(other)) => path.as_ref() == other,
            (Self::Hex(digits), Kind::Hex(other)) => *digits == other,
            (Self::Segment(number), Kind::Segment(other)) => *number == other,
            (Self::Number, Kind::Number)
            | (Self::LongNumber, Kind::LongNumber)
            | (Self::Stamp, Kind::Stamp)
            | (Self::Mixed, Kind::Mixed)
            | (Self::Word, Kind::Word) => true,
            _ => false,
        }
    }
}
