//! The dictionary of a part: what its blocks have in common, stored once.
//!
//! ```text
//! dictionary = header columns
//! header     = number of the dictionary u64, number of columns varint, then the directory as in the header of a block
//! ```
//! The invariant: a block names its dictionary by number, and a dictionary never changes, so that a block can be copied
//! into another part together with it.

use super::header::{ColumnMeta, HeaderError, Role};
use super::pack::{self, Packer};
use super::shapes::{Builder, Encoded, Templates, encode_templates};
use super::wire::{Input, Malformed, put_varint};

/// The header of a dictionary.
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

/// A dictionary as it stands in a part: header and columns.
#[derive(Debug)]
pub(crate) struct EncodedDictionary {
    pub(crate) header: Vec<u8>,
    pub(crate) columns: Vec<u8>,
}

/// The dictionary with number `id` of all blocks that these have cut; `None` if none of them needs one.
pub(super) fn encode(
    id: u64,
    lines: &Builder,
    texts: &Builder,
    packer: &mut Packer,
) -> std::io::Result<Option<EncodedDictionary>> {
    let mut header = DictionaryHeader { id, columns: Vec::new() };
    let mut bytes = Vec::new();
    for (builder, of) in [(lines, TemplatesOf::Lines), (texts, TemplatesOf::Texts)] {
        if builder.is_empty() {
            continue;
        }
        let Encoded { entries, encoding, params, raw } = encode_templates(builder);
        let start = bytes.len();
        let packing = packer.pack(&raw, &mut bytes)?;
        let stored = &bytes[start..];
        header.columns.push(ColumnMeta {
            role: Role::Templates(of, entries as u32),
            encoding,
            params,
            packing,
            raw_len: raw.len() as u32,
            stored_len: stored.len() as u32,
            crc: pack::crc(stored),
        });
    }
    let found = !header.columns.is_empty();
    Ok(found.then(|| EncodedDictionary { header: header.encode(), columns: bytes }))
}

impl DictionaryHeader {
    fn encode(&self) -> Vec<u8> {
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
        let mut at = 0;
        for column in &self.columns {
            if matches!(column.role, Role::Templates(found, _) if found == of) {
                return Some((at, column));
            }
            at += u64::from(column.stored_len);
        }
        None
    }
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
