//! The dictionaries of a part: its own, and those of blocks that were copied from other parts.
//!
//! The templates of each stand in the file twice, before the filters and behind them: without them none of its blocks can be
//! read, so that damaged ones must not be the only ones.

use std::sync::Arc;

use super::cache::Cache;
use super::{BLOCK_PREFIX_LEN, PartFile, PartId, header_error, prefix};
use crate::block::{
    BlockError, ColumnMeta, DictionaryHeader, EncodedDictionary, Malformed, Role, Table, Templates,
    TemplatesOf, decode_table, decode_templates, read_column,
};

/// Begins every dictionary, so that it is found without the footer.
pub(super) const DICTIONARY_MAGIC: [u8; 4] = *b"BNDI";

/// Bytes of templates, and of tables, kept in memory for all parts of a data folder.
const MAX_TEMPLATE_BYTES: u64 = 24 << 20;
const MAX_TABLE_BYTES: u64 = 64 << 20;

const MISSING: &str = "its dictionary is missing";

/// Where a piece of a dictionary lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DictionaryPlace {
    pub(super) id: u64,
    /// Of its magic.
    pub(super) at: u64,
    pub(super) header_len: u32,
    pub(super) columns_len: u64,
}

impl DictionaryPlace {
    const fn columns_at(self) -> u64 {
        self.at + BLOCK_PREFIX_LEN as u64 + self.header_len as u64
    }

    pub(super) const fn end(self) -> u64 {
        self.columns_at() + self.columns_len
    }
}

/// Templates and tables in memory, by part and dictionary.
#[derive(Debug)]
pub(crate) struct DictionaryCache {
    templates: Cache<(PartId, u64, TemplatesOf), Templates>,
    tables: Cache<(PartId, u64, u32), Table>,
}

impl Default for DictionaryCache {
    fn default() -> Self {
        Self { templates: Cache::new(MAX_TEMPLATE_BYTES), tables: Cache::new(MAX_TABLE_BYTES) }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Dictionaries {
    file: Arc<PartFile>,
    part: PartId,
    places: Vec<DictionaryPlace>,
    cache: Arc<DictionaryCache>,
}

impl Dictionaries {
    pub(super) fn new(
        file: Arc<PartFile>,
        part: PartId,
        places: Vec<DictionaryPlace>,
        cache: Arc<DictionaryCache>,
    ) -> Self {
        Self { file, part, places, cache }
    }

    pub(super) fn places(&self) -> &[DictionaryPlace] {
        &self.places
    }

    /// Templates of dictionary `id`, for block `number`.
    ///
    /// # Errors
    /// When there are none, or no copy of them can be read.
    pub(crate) fn templates(
        &self,
        id: u64,
        of: TemplatesOf,
        number: u32,
    ) -> Result<Arc<Templates>, BlockError> {
        self.cache.templates.get((self.part, id, of), || {
            let templates = self.first(id, number, |place| {
                let found = self.read_column(place, number, |header| header.templates(of))?;
                let Some((column, raw)) = found else { return Ok(None) };
                decode_templates(&column, &raw).map(Some).map_err(|wrong| self.malformed(number, wrong))
            })?;
            let bytes = templates.memory() as u64;
            Ok((templates, bytes))
        })
    }

    /// Table `table` of dictionary `id`, for block `number`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(crate) fn table(&self, id: u64, table: u32, number: u32) -> Result<Arc<Table>, BlockError> {
        self.cache.tables.get((self.part, id, table), || {
            let table = self.first(id, number, |place| {
                let found = self.read_column(place, number, |header| header.table(table))?;
                let Some((column, raw)) = found else { return Ok(None) };
                decode_table(&column, raw).map(Some).map_err(|wrong| self.malformed(number, wrong))
            })?;
            let bytes = table.memory() as u64;
            Ok((table, bytes))
        })
    }

    /// The pieces of dictionary `id`, each once, every checksum verified.
    pub(super) fn read_raw(&self, id: u64, number: u32) -> Result<Vec<EncodedDictionary>, BlockError> {
        let mut pieces: Vec<EncodedDictionary> = Vec::new();
        let mut failed = None;
        for place in self.places.iter().filter(|place| place.id == id) {
            match self.read_whole(*place, number) {
                Ok(piece) if pieces.iter().any(|known| known.header == piece.header) => {}
                Ok(piece) => pieces.push(piece),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None if pieces.is_empty() => Err(self.file.damaged(number, MISSING)),
            None => Ok(pieces),
        }
    }

    /// What is wrong with dictionaries.
    pub(super) fn damage(&self) -> Vec<String> {
        let whole = self.places.iter().map(|place| self.read_whole(*place, 0));
        whole.filter_map(|read| read.err().map(|error| error.to_string())).collect()
    }

    /// What `read` finds in the first piece of a dictionary that has it and is not damaged.
    fn first<T>(
        &self,
        id: u64,
        number: u32,
        read: impl Fn(DictionaryPlace) -> Result<Option<T>, BlockError>,
    ) -> Result<T, BlockError> {
        let mut failed = None;
        for place in self.places.iter().filter(|place| place.id == id) {
            match read(*place) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error @ BlockError::Damaged { .. }) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failed.unwrap_or_else(|| self.file.damaged(number, MISSING)))
    }

    fn malformed(&self, number: u32, Malformed(what): Malformed) -> BlockError {
        self.file.damaged(number, what)
    }

    fn read_header(
        &self,
        place: DictionaryPlace,
        number: u32,
    ) -> Result<(Vec<u8>, DictionaryHeader), BlockError> {
        let mut bytes = self.file.read(place.at, BLOCK_PREFIX_LEN + place.header_len as usize, number)?;
        let header = bytes.split_off(BLOCK_PREFIX_LEN);
        if bytes != prefix(DICTIONARY_MAGIC, &header) {
            return Err(self.file.damaged(number, "checksum of a dictionary"));
        }
        let decoded =
            DictionaryHeader::decode(&header).map_err(|error| header_error(&self.file, number, error))?;
        if decoded.id != place.id {
            return Err(self.file.damaged(number, "number of a dictionary"));
        }
        Ok((header, decoded))
    }

    /// A column of the piece at `place`, if it has that one, unpacked.
    fn read_column(
        &self,
        place: DictionaryPlace,
        number: u32,
        find: impl Fn(&DictionaryHeader) -> Option<(u64, &ColumnMeta)>,
    ) -> Result<Option<(ColumnMeta, Vec<u8>)>, BlockError> {
        let (_, header) = self.read_header(place, number)?;
        let Some((at, column)) = find(&header) else { return Ok(None) };
        let raw = read_column(&self.file, place.columns_at() + at, column, number)?;
        Ok(Some((column.clone(), raw)))
    }

    fn read_whole(&self, place: DictionaryPlace, number: u32) -> Result<EncodedDictionary, BlockError> {
        let (header, decoded) = self.read_header(place, number)?;
        let mut at = place.columns_at();
        let len = usize::try_from(place.columns_len).unwrap_or(usize::MAX);
        let columns = self.file.read(at, len, number)?;
        for column in &decoded.columns {
            let raw = read_column(&self.file, at, column, number)?;
            let decoded = match column.role {
                Role::Table(_) => decode_table(column, raw).map(drop),
                _ => decode_templates(column, &raw).map(drop),
            };
            decoded.map_err(|wrong| self.malformed(number, wrong))?;
            at += u64::from(column.stored_len);
        }
        if at == place.end() {
            Ok(EncodedDictionary { header, columns, has_templates: decoded.has_templates() })
        } else {
            Err(self.file.damaged(number, "length of a dictionary"))
        }
    }
}

/// The place of a dictionary with this header, which begins at `at`; `None` if there is none.
pub(super) fn place_of(at: u64, header: &[u8]) -> Option<DictionaryPlace> {
    let decoded = DictionaryHeader::decode(header).ok()?;
    let columns_len = decoded.columns.iter().map(|column| u64::from(column.stored_len)).sum();
    Some(DictionaryPlace { id: decoded.id, at, header_len: header.len() as u32, columns_len })
}
