//! What texts a block cannot hold, told by its part's directory: a phrase is held against the templates of its messages
//! without a look at the block.
//!
//! The invariant: what [`Summary::may_hold`] denies neither a line of the block nor a value of its pairs holds.

use std::ops::Range;

use super::encode::code;
use super::header::{ColumnMeta, Role};
use super::shapes::{ByteSet, Column, Outline, bytes_of_stamps, value_code};
use super::wire::{Input, Malformed, put_bytes, put_varint};
use super::{Block, BlockError, Needle, TemplateNumbers};

/// See the module. Some hundred bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Number of the dictionary that has the templates.
    pub(crate) dictionary: u64,
    /// Bytes of everything but values that are running text.
    others: ByteSet,
    /// Bytes with which a literal of the lines begins or ends beside a value.
    boundary: ByteSet,
    /// Which templates of running text there are, for each column of it.
    lists: Vec<Box<[u8]>>,
}

/// A text that is held against summaries; it is to be found as it is.
#[derive(Debug)]
pub(crate) struct Phrase {
    pub(crate) needle: Needle,
    bytes: ByteSet,
}

impl Phrase {
    pub(crate) fn new(needle: Needle) -> Self {
        Self { bytes: ByteSet::of(needle.bytes()), needle }
    }
}

/// Literals of the shapes that the lines of a block have, and where their values lie.
#[derive(Clone, Debug)]
pub(super) struct Literals {
    /// Numbers of the columns of values.
    pub(super) columns: Range<usize>,
    pub(super) bytes: ByteSet,
    /// See [`Summary::boundary`].
    pub(super) boundary: ByteSet,
}

impl Summary {
    /// Of a block with these columns; `None` where it would deny nothing.
    pub(super) fn of<'a>(
        columns: impl Iterator<Item = &'a ColumnMeta>,
        dictionary: u64,
        literals: &Literals,
    ) -> Option<Self> {
        let mut others = literals.bytes;
        let mut lists = Vec::new();
        let mut number = 0;
        for meta in columns {
            match meta.role {
                Role::Pair(..) => others.add(bytes_of_pair(meta)?),
                Role::Overflow => return None,
                Role::Values(_) => {
                    let is_of_lines = literals.columns.contains(&number);
                    number += 1;
                    // Values nested in running text are in slots of its templates.
                    match meta.encoding {
                        _ if !is_of_lines => {}
                        value_code::SHARED_SHAPES => lists.push(Outline::list(meta).ok()?.rest().into()),
                        _ => others.add(Column::bytes_of(meta)?),
                    }
                }
                _ => {}
            }
        }
        let tells = !lists.is_empty() && literals.boundary != ByteSet::ALL;
        tells.then_some(Self { dictionary, others, boundary: literals.boundary, lists })
    }

    /// Whether the block may hold the phrase. `likely` gives the templates of running text that may hold it, `None` where
    /// that cannot be told.
    pub(crate) fn may_hold<'a>(
        &self,
        phrase: &Phrase,
        likely: impl FnOnce() -> Option<&'a TemplateNumbers>,
    ) -> bool {
        // What has no boundary byte lies within one literal or value; what has a byte that nothing else has, within a
        // value that is running text.
        if phrase.bytes.meets(self.boundary) || phrase.bytes.is_within(self.others) {
            return true;
        }
        let Some(likely) = likely() else { return true };
        self.lists.iter().any(|list| likely.meet(Input::new(list)) != Ok(false))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.lists.len() as u64);
        put_varint(out, self.dictionary);
        out.extend_from_slice(&self.others.encode());
        out.extend_from_slice(&self.boundary.encode());
        self.lists.iter().for_each(|list| put_bytes(out, list));
    }

    /// What nothing is known of has no lists.
    pub(crate) fn encode_unknown(out: &mut Vec<u8>) {
        put_varint(out, 0);
    }

    pub(crate) fn decode(input: &mut Input<'_>) -> Result<Option<Self>, Malformed> {
        let number = input.len("lists of templates")?;
        if number == 0 {
            return Ok(None);
        }
        let dictionary = input.varint("number of a dictionary")?;
        let others = ByteSet::decode(input.take(ByteSet::LEN, "bytes of a block")?)?;
        let boundary = ByteSet::decode(input.take(ByteSet::LEN, "bytes beside values")?)?;
        let mut lists = Vec::new();
        for _ in 0..number {
            lists.push(input.bytes("list of templates")?.into());
        }
        Ok(Some(Self { dictionary, others, boundary, lists }))
    }
}

/// Bytes that values of a pair column may have, as far as is known without reading it.
pub(super) fn bytes_of_pair(meta: &ColumnMeta) -> Option<ByteSet> {
    match meta.encoding {
        code::PAIR_CONSTANT => Some(ByteSet::of(&meta.params)),
        code::PAIR_HEX => Some(ByteSet::hex()),
        code::PAIR_UUID => Some(ByteSet::uuid()),
        code::PAIR_STAMPS => Some(bytes_of_stamps(&meta.params)),
        code::PAIR_SHARED => ByteSet::decode(meta.params.get(..ByteSet::LEN)?).ok(),
        _ => None,
    }
}

impl Block {
    /// What the block cannot hold; `None` where that is not known, or it is not stored.
    ///
    /// # Errors
    /// When the shapes of the lines cannot be read.
    pub(crate) fn summary(&self) -> Result<Option<Summary>, BlockError> {
        let Some(stored) = &self.stored else { return Ok(None) };
        let (Some(shapes), Ok(dictionary)) = (self.shapes()?, stored.dictionary_id()) else {
            return Ok(None);
        };
        let literals = Literals {
            columns: shapes.columns(),
            bytes: ByteSet::of(shapes.text()),
            boundary: shapes.boundary_bytes(),
        };
        Ok(Summary::of(stored.columns(), dictionary, &literals))
    }
}
