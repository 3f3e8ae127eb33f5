//! The dictionaries of a part: its own, and those of blocks that were copied from other parts.
//!
//! Each stands in the file twice, before the filters and behind them: without it none of its blocks can be read, so that a
//! damaged one must not be the only one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cache::Cache;
use super::{BLOCK_PREFIX_LEN, PartFile, PartId, header_error, prefix};
use crate::block::{
    BlockError, ColumnMeta, DictionaryHeader, Malformed, Templates, TemplatesOf, decode_templates,
    read_column,
};

/// Begins every dictionary, so that it is found without the footer.
pub(super) const DICTIONARY_MAGIC: [u8; 4] = *b"BNDI";

/// Bytes of templates kept in memory for all parts of a data folder.
const MAX_CACHED_BYTES: u64 = 48 << 20;

/// Where a dictionary lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DictionaryPlace {
    pub(super) id: u64,
    /// Of its magic.
    pub(super) at: u64,
    pub(super) header_len: u32,
    pub(super) columns_len: u64,
}

impl DictionaryPlace {
    pub(super) const fn end(self) -> u64 {
        self.at + BLOCK_PREFIX_LEN as u64 + self.header_len as u64 + self.columns_len
    }
}

/// Templates in memory, by part and dictionary.
#[derive(Debug)]
pub(crate) struct DictionaryCache(Cache<(PartId, u64, TemplatesOf), Templates>);

impl Default for DictionaryCache {
    fn default() -> Self {
        Self(Cache::new(MAX_CACHED_BYTES))
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
        self.cache.0.get((self.part, id, of), || {
            let templates = self.copy(id, number, |place| self.read_templates(place, of, number))?;
            let bytes = templates.memory() as u64;
            Ok((templates, bytes))
        })
    }

    /// The bytes of dictionary `id` from its header on, every checksum verified.
    pub(super) fn read_raw(&self, id: u64, number: u32) -> Result<(Vec<u8>, Vec<u8>), BlockError> {
        self.copy(id, number, |place| self.read_whole(place, number))
    }

    /// What is wrong with dictionaries.
    pub(super) fn damage(&self) -> Vec<String> {
        let ids: BTreeSet<u64> = self.places.iter().map(|place| place.id).collect();
        let mut damage = Vec::new();
        for place in &self.places {
            damage.extend(self.read_whole(*place, 0).err().map(|error| error.to_string()));
        }
        for id in ids.into_iter().filter(|id| self.places.iter().filter(|p| p.id == *id).count() != 2) {
            damage.push(self.file.damaged(0, &format!("copies of dictionary {id}")).to_string());
        }
        damage
    }

    /// What `read` gives for the first copy that is not damaged.
    fn copy<T>(
        &self,
        id: u64,
        number: u32,
        read: impl Fn(DictionaryPlace) -> Result<T, BlockError>,
    ) -> Result<T, BlockError> {
        let mut failed = None;
        for place in self.places.iter().filter(|place| place.id == id) {
            match read(*place) {
                Err(BlockError::Damaged { file, block, what }) => {
                    failed = Some(BlockError::Damaged { file, block, what });
                }
                result => return result,
            }
        }
        Err(failed.unwrap_or_else(|| self.file.damaged(number, "its dictionary is missing")))
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

    fn read_templates(
        &self,
        place: DictionaryPlace,
        of: TemplatesOf,
        number: u32,
    ) -> Result<Templates, BlockError> {
        let (_, header) = self.read_header(place, number)?;
        let Some((at, column)) = header.templates(of) else {
            return Err(self.file.damaged(number, "its templates are missing"));
        };
        self.decode(place.at + BLOCK_PREFIX_LEN as u64 + u64::from(place.header_len) + at, column, number)
    }

    fn decode(&self, at: u64, column: &ColumnMeta, number: u32) -> Result<Templates, BlockError> {
        let raw = read_column(&self.file, at, column, number)?;
        decode_templates(column, &raw).map_err(|Malformed(what)| self.file.damaged(number, what))
    }

    fn read_whole(&self, place: DictionaryPlace, number: u32) -> Result<(Vec<u8>, Vec<u8>), BlockError> {
        let (header, decoded) = self.read_header(place, number)?;
        let mut at = place.end() - place.columns_len;
        let len = usize::try_from(place.columns_len).unwrap_or(usize::MAX);
        let columns = self.file.read(at, len, number)?;
        for column in &decoded.columns {
            self.decode(at, column, number)?;
            at += u64::from(column.stored_len);
        }
        if at == place.end() { Ok((header, columns)) } else { Err(self.file.damaged(number, "dictionary")) }
    }
}

/// The place of a dictionary with this header, which begins at `at`; `None` if there is none.
pub(super) fn place_of(at: u64, header: &[u8]) -> Option<DictionaryPlace> {
    let decoded = DictionaryHeader::decode(header).ok()?;
    let columns_len = decoded.columns.iter().map(|column| u64::from(column.stored_len)).sum();
    Some(DictionaryPlace { id: decoded.id, at, header_len: header.len() as u32, columns_len })
}
