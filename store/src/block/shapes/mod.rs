//! Texts as shapes and columns: what many lines have in common is kept once, what differs lies in columns.
//!
//! A *shape* is the literal text of a line with a slot wherever a value stands. Each slot names the column that
//! has the value; a column has the values of its slots one after the other, in the order of the lines. Reading
//! puts literals and values together again: the bytes are the same whatever they mean, so nothing that is
//! malformed, escaped or odd can come back changed. A column of running text may itself be shapes.

mod again;
mod build;
mod bytes;
mod choose;
mod codes;
mod collect;
mod column;
mod cut;
mod find;
mod fit;
mod forms;
mod hex;
mod intern;
mod layout;
mod names;
mod needle;
mod number;
mod outline;
mod parted;
mod pattern;
mod restore;
mod rows;
mod shape;
mod shared;
mod stamp;
mod tables;
mod templates;
#[cfg(test)]
mod tests;
mod texts;
mod union;
mod unread;
mod used;

pub(crate) use build::Builder;
pub(crate) use bytes::ByteSet;
use choose::plain_table;
pub(crate) use choose::{Encoded, Scratch, encode_columns, encode_templates};
pub(crate) use codes::Codes;
pub(crate) use column::{Bounds, Column, append_uuid, code as value_code};
pub(crate) use find::{Finder, Likely};
pub(crate) use forms::{Piece, Slot};
pub(crate) use hex::{PackedHex, append as append_hex};
pub(crate) use intern::Interner;
pub use needle::Needle;
pub(crate) use number::{Format, Numbers, is_number};
pub(crate) use outline::Outline;
pub use pattern::Pattern;
pub(crate) use restore::Resolved;
pub use rows::Rows;
pub(crate) use shape::{Limits, Shapes};
pub(crate) use shared::{Table, decode_codes};
pub(crate) use stamp::{Stamps, bytes_of_stamps};
pub(crate) use tables::{Coded, TableOf, Tables};
pub(crate) use templates::Templates;
pub(crate) use union::{Numbered, Union};
pub(crate) use used::{Numbers as TemplateNumbers, decode as used_templates};

/// Most columns of one set of shapes; values of further fields stay in the shapes.
pub(crate) const MAX_COLUMNS: usize = 256;
