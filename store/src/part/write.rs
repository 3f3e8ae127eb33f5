//! Writing a part: under a temporary name, block by block, synced and renamed at the end.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::dictionaries::{DICTIONARY_MAGIC, DictionaryPlace};
use super::footer::{Footer, Preamble, Trailer};
use super::groups::GroupBuilder;
use super::{BLOCK_MAGIC, Part, PartId, Place, RawBlock, prefix};
use crate::TimeRange;
use crate::block::{self, Block, BlockError, BlockMeta, EncodedDictionary, Encoder, Summary};
use crate::terms::{self, BlockTerms, BlockWords};
use crate::writer::StoreError;

/// Writes one part. Dropped before [`PartWriter::finish`], it leaves no file.
#[derive(Debug)]
pub(crate) struct PartWriter {
    path: PathBuf,
    id: PartId,
    temporary: Temporary,
    file: BufWriter<File>,
    /// Bytes written so far.
    len: u64,
    encoder: Encoder,
    footer: Footer,
    /// Those with templates, by number, to be written once more at the end.
    dictionaries: Vec<(u64, EncodedDictionary)>,
    filters: Vec<u8>,
    groups: GroupBuilder,
    collector: terms::Collector,
    words: Vec<BlockWords>,
}

/// Removes the unfinished file.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove unfinished part");
        }
    }
}

/// A part that is complete on disk.
#[derive(Debug)]
pub(crate) struct WrittenPart {
    /// Bytes of the file.
    pub(crate) bytes: u64,
    /// Its blocks, by number.
    pub(crate) blocks: Vec<BlockMeta>,
    /// The words of each block, for the index.
    pub(crate) words: Vec<BlockWords>,
}

/// Why a block was not added to a part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddError {
    /// The block comes from another part and cannot be read; the part being written is unharmed.
    #[error(transparent)]
    Source(#[from] BlockError),
    /// The part cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PartWriter {
    /// Begins a part that will be at `path`.
    ///
    /// # Errors
    /// When the temporary file beside it cannot be made.
    pub(crate) fn create(path: &Path, id: PartId, window: TimeRange) -> Result<Self, StoreError> {
        let temporary = path.with_extension("tmp");
        let io = |source| StoreError::io("create", &temporary, source);
        let file = File::create(&temporary).map_err(io)?;
        let encoder = Encoder::new(id.0).map_err(io)?;
        let mut writer = Self {
            path: path.to_owned(),
            id,
            temporary: Temporary(temporary),
            file: BufWriter::with_capacity(1 << 18, file),
            len: 0,
            encoder,
            footer: Footer::default(),
            dictionaries: Vec::new(),
            filters: Vec::new(),
            groups: GroupBuilder::default(),
            collector: terms::Collector::default(),
            words: Vec::new(),
        };
        writer.write(&Preamble { id, window }.encode())?;
        Ok(writer)
    }

    /// Makes groups of fewer ids.
    #[cfg(test)]
    pub(crate) fn with_max_group_ids(mut self, max_ids: usize) -> Self {
        self.groups = GroupBuilder::with_max_ids(max_ids);
        self
    }

    /// Appends a block; `min_seq` is the lowest commit that holds one of its records.
    ///
    /// # Errors
    /// When the block cannot be read, or the file not be written.
    pub(crate) fn add(&mut self, block: &Block, min_seq: u64) -> Result<(), AddError> {
        let (encoded, terms) = self.encoder.encode(block, min_seq, &mut self.collector)?;
        let header = encoded.header.encode();
        self.groups.add(&terms.long_ids);
        Ok(self.append(encoded.header.meta, (&header, &encoded.columns), terms, encoded.summary)?)
    }

    /// Appends a block of another part, `from`, as it is.
    ///
    /// # Errors
    /// When its dictionary cannot be read, or the file not be written.
    pub(crate) fn add_raw(&mut self, raw: RawBlock, from: &Part) -> Result<(), AddError> {
        if let Some(id) = raw.dictionary
            && !self.footer.dictionaries.iter().any(|known| known.id == id)
        {
            self.write_dictionary(id, from.dictionaries.read_raw(id, 0)?)?;
        }
        self.groups.add_copied(&raw.terms.long_ids, from, raw.number);
        Ok(self.append(raw.meta, (&raw.header, &raw.columns), raw.terms, raw.summary)?)
    }

    /// Writes the pieces of a dictionary, and keeps those that are written twice.
    pub(super) fn write_dictionary(
        &mut self,
        id: u64,
        pieces: Vec<EncodedDictionary>,
    ) -> Result<(), StoreError> {
        for piece in pieces {
            self.write_piece(id, &piece)?;
            if piece.has_templates {
                self.dictionaries.push((id, piece));
            }
        }
        Ok(())
    }

    fn write_piece(&mut self, id: u64, dictionary: &EncodedDictionary) -> Result<(), StoreError> {
        let EncodedDictionary { header, columns, .. } = dictionary;
        let (header_len, columns_len) = (header.len() as u32, columns.len() as u64);
        self.footer.dictionaries.push(DictionaryPlace { id, at: self.len, header_len, columns_len });
        self.write(&prefix(DICTIONARY_MAGIC, header))?;
        self.write(header)?;
        self.write(columns)
    }

    fn append(
        &mut self,
        meta: BlockMeta,
        (header, columns): (&[u8], &[u8]),
        terms: BlockTerms,
        summary: Option<Summary>,
    ) -> Result<(), StoreError> {
        let place = Place {
            at: self.len,
            header_len: header.len() as u32,
            columns_len: columns.len() as u64,
            filter_at: self.filters.len() as u64, // from the start of the filters until the end is known
            filter_len: terms.ids.len() as u32,
        };
        self.write(&prefix(BLOCK_MAGIC, header))?;
        self.write(header)?;
        self.write(columns)?;
        self.footer.blocks.push(meta);
        self.footer.places.push(place);
        self.footer.summaries.push(summary.map(Box::new));
        self.filters.extend_from_slice(&terms.ids);
        self.words.push(terms.words);
        Ok(())
    }

    /// Completes the file: when this returns, it is on disk under its name.
    ///
    /// # Errors
    /// When the file cannot be written, synced or renamed.
    pub(crate) fn finish(mut self) -> Result<WrittenPart, StoreError> {
        let own = self.encoder.dictionary().map_err(|source| self.failed("compress", source))?;
        self.write_dictionary(self.id.0, own)?;
        for place in &mut self.footer.places {
            place.filter_at += self.len;
        }
        let filters = std::mem::take(&mut self.filters);
        self.write(&filters)?;
        let (groups, filters) = std::mem::take(&mut self.groups).finish(&self.footer.places, self.len);
        self.footer.groups = groups;
        self.write(&filters)?;
        for (id, dictionary) in std::mem::take(&mut self.dictionaries) {
            self.write_piece(id, &dictionary)?;
        }
        let raw = self.footer.encode();
        let footer_at = self.len;
        let footer = zstd::bulk::compress(&raw, 3).map_err(|source| self.failed("compress", source))?;
        self.write(&footer)?;
        let trailer = Trailer {
            footer_at,
            footer_len: footer.len() as u32,
            footer_raw_len: raw.len() as u32,
            footer_crc: block::crc(&footer),
        };
        self.write(&trailer.encode())?;
        self.file.flush().map_err(|source| self.failed("write", source))?;
        self.file.get_ref().sync_all().map_err(|source| self.failed("sync", source))?;
        fs::rename(&self.temporary.0, &self.path).map_err(|source| self.failed("rename", source))?;
        if let Some(parent) = self.path.parent() {
            File::open(parent)
                .and_then(|dir| dir.sync_all())
                .map_err(|source| self.failed("sync the folder of", source))?;
        }
        Ok(WrittenPart { bytes: self.len, blocks: self.footer.blocks, words: self.words })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|source| self.failed("write", source))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> StoreError {
        StoreError::io(action, &self.path, source)
    }
}
