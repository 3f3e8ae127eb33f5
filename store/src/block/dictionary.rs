//! The dictionary of a part: what its blocks have in common, stored once.
//!
//! ```text
//! dictionary = pieces: one of templates, one of tables
//! piece      = header columns
//! header     = number of the dictionary u64, number of columns varint, then the directory as in the header of a block
//! ```
//! The invariant: a block names its dictionary by number, and a dictionary never changes, so that a block can be copied
//! into another part together with it.

use super::header::{ColumnMeta, HeaderError, Role};
use super::pack::{PackedColumns, Packer};
use super::shapes::{Bounds, Builder, Column, Encoded, Scratch, Table, Templates, encode_templates};
use super::wire::{Input, Malformed, put_varint};

/// The header of a piece of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DictionaryHeader {
    /// Number of the part it was made for; never reused within a data folder.
    pub(crate) id: u64,
    pub(crate) columns: Vec<ColumnMeta>,
}

/// Of which texts templates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TemplatesOf {
    Lines,
    /// Values that are running text.
    Texts,
}

/// A piece of a dictionary as it stands in a part: header and columns.
#[derive(Debug)]
pub(crate) struct EncodedDictionary {
    pub(crate) header: Vec<u8>,
    pub(crate) columns: Vec<u8>,
    /// Whether it is of templates.
    pub(crate) has_templates: bool,
}

/// The dictionary with number `id` of all blocks that these have cut, in pieces; none if no block needs one.
pub(super) fn encode(
    id: u64,
    lines: &Builder,
    scratch: &Scratch,
    packer: &mut Packer,
) -> std::io::Result<Vec<EncodedDictionary>> {
    let mut templates = Vec::new();
    for (builder, of) in [(lines, TemplatesOf::Lines), (&scratch.nested, TemplatesOf::Texts)] {
        if !builder.is_empty() {
            let encoded = encode_templates(builder);
            templates.push((Role::Templates(of, encoded.entries as u32), encoded));
        }
    }
    let tables = scratch.tables.encode().into_iter();
    let tables = tables.map(|encoded| (Role::Table(encoded.entries as u32), encoded)).collect();
    let mut pieces = Vec::new();
    for columns in [templates, tables] {
        pieces.extend(piece(id, columns, packer)?);
    }
    Ok(pieces)
}

fn piece(
    id: u64,
    columns: Vec<(Role, Encoded)>,
    packer: &mut Packer,
) -> std::io::Result<Option<EncodedDictionary>> {
    let mut packed = PackedColumns::default();
    for (role, column) in columns {
        packed.add_smaller(packer, role, &column)?;
    }
    let PackedColumns { directory, bytes } = packed;
    let header = DictionaryHeader { id, columns: directory };
    let found = !header.columns.is_empty();
    let has_templates = header.has_templates();
    Ok(found.then(|| EncodedDictionary { header: header.encode(), columns: bytes, has_templates }))
}

impl DictionaryHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.id.to_le_bytes().to_vec();
        put_varint(&mut out, self.columns.len() as u64);
        self.columns.iter().for_each(|column| column.encode(&mut out));
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut input = Input::new(bytes);
        let id = input.u64("number of a dictionary")?;
        let mut columns = Vec::new();
        for _ in 0..input.varint("number of columns")? {
            columns.push(ColumnMeta::decode(&mut input)?);
        }
        if input.is_empty() { Ok(Self { id, columns }) } else { Err(Malformed("end of a dictionary").into()) }
    }

    /// Place of templates within the columns, and what is known of their column.
    pub(crate) fn templates(&self, of: TemplatesOf) -> Option<(u64, &ColumnMeta)> {
        self.placed().find(|(_, column)| matches!(column.role, Role::Templates(found, _) if found == of))
    }

    pub(crate) fn has_templates(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.role, Role::Templates(..)))
    }

    /// The same of a table.
    pub(crate) fn table(&self, number: u32) -> Option<(u64, &ColumnMeta)> {
        self.placed().filter(|(_, column)| matches!(column.role, Role::Table(_))).nth(number as usize)
    }

    fn placed(&self) -> impl Iterator<Item = (u64, &ColumnMeta)> {
        self.columns.iter().scan(0, |at, column| {
            let place = *at;
            *at += u64::from(column.stored_len);
            Some((place, column))
        })
    }
}

/// A table out of its column, which is unpacked.
pub(crate) fn decode_table(column: &ColumnMeta, raw: Vec<u8>) -> Result<Table, Malformed> {
    let Role::Table(number) = column.role else { return Err(Malformed("a table is missing")) };
    let none = Bounds { own: 0, columns: 0, line_bytes: 0, templates: None, table: None };
    Table::new(Column::decode(column, raw, number as usize, false, None, none)?)
}

/// Templates out of their column, which is unpacked.
pub(crate) fn decode_templates(column: &ColumnMeta, raw: &[u8]) -> Result<Templates, Malformed> {
    match column.role {
        Role::Templates(_, number) if column.encoding == super::shapes::value_code::TEMPLATES => {
            Templates::decode(&column.params, raw, number as usize)
        }
        _ => Err(Malformed("encoding of templates")),
    }
}
