//! A part: one immutable file with blocks of one time window, made by a flush or a merge.
//!
//! ```text
//! file       = preamble (block | dictionary)* filters groups dictionary* footer trailer
//! block      = "BNBL" header length u32, CRC u32, header, columns
//! dictionary = "BNDI" the same; once before the filters, once behind them
//! filters    = the filter of each block, one after the other
//! groups     = the filter of each group of blocks
//! footer     = directory of the blocks: place, what its header knows, place of its filter; of the dictionaries, of the groups: place
//! trailer    = places, length and CRC of the footer; its fixed length makes it the file's way in
//! ```
//! The file is complete and synced before it has its final name. A part never changes. One whose trailer
//! or footer is damaged is read through the headers of its blocks ([`Part::salvaged`]).

mod cache;
mod dictionaries;
mod file;
mod filters;
mod footer;
mod groups;
#[cfg(test)]
mod harm;
mod phrases;
mod salvage;
#[cfg(test)]
mod tests;
mod verify;
mod write;

use std::path::Path;
use std::sync::Arc;

pub(crate) use dictionaries::{Dictionaries, DictionaryCache};
pub(crate) use file::PartFile;
pub(crate) use filters::FilterCache;
use footer::{Footer, PREAMBLE_LEN, Preamble, TRAILER_LEN, Trailer};
pub(crate) use phrases::PhrasesInPart;
pub(crate) use write::{AddError, PartWriter, WrittenPart};

use crate::TimeRange;
use crate::block::{
    self, Block, BlockError, BlockMeta, FORMAT, Header, HeaderError, Input, Malformed, Stored, Summary,
};
use crate::terms::{self, BlockTerms, BlockWords};

/// Number of a part, as the catalog gave it; never reused within a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartId(pub(crate) u64);

/// Begins every block, so that blocks are found without the footer.
const BLOCK_MAGIC: [u8; 4] = *b"BNBL";

/// Bytes before the header of a block or a dictionary: magic, length, CRC.
const BLOCK_PREFIX_LEN: usize = 12;

/// Most bytes of a header: a bound for readers. 128 names and constant values fit many times over.
const MAX_HEADER_BYTES: u32 = 64 << 20;

/// Where a block lies in its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    /// Of the block's magic.
    at: u64,
    header_len: u32,
    columns_len: u64,
    filter_at: u64,
    /// 0 when the filter is lost; every query then keeps the block.
    filter_len: u32,
}

/// An open part.
#[derive(Debug)]
pub(crate) struct Part {
    file: Arc<PartFile>,
    id: PartId,
    window: TimeRange,
    blocks: Vec<BlockMeta>,
    places: Vec<Place>,
    pieces: Vec<filters::Piece>,
    salvaged: Option<String>,
    dictionaries: Arc<Dictionaries>,
    /// What each block cannot hold, where that is known; empty where it is of none.
    summaries: Vec<Option<Box<Summary>>>,
    groups: groups::Groups,
}

/// A block to be copied into another part without a change.
#[derive(Debug)]
pub(crate) struct RawBlock {
    /// In the part it comes from.
    number: u32,
    meta: BlockMeta,
    header: Vec<u8>,
    columns: Vec<u8>,
    /// Number of its dictionary, if it has one.
    dictionary: Option<u64>,
    terms: BlockTerms,
    summary: Option<Summary>,
}

impl Part {
    /// Opens a part and reads its directory. A damaged directory is rebuilt from the blocks themselves, as
    /// far as they are whole.
    ///
    /// # Errors
    /// When the file cannot be read, is of a newer format, or is no part at all.
    pub(crate) fn open(path: &Path) -> Result<Self, BlockError> {
        Self::open_with(path, &Arc::default())
    }

    /// The same with what is shared by the parts of a data folder.
    ///
    /// # Errors
    /// As [`Part::open`].
    pub(crate) fn open_with(path: &Path, cache: &Arc<DictionaryCache>) -> Result<Self, BlockError> {
        let file = Arc::new(PartFile::open(path)?);
        let preamble = file
            .read(0, PREAMBLE_LEN, 0)
            .and_then(|bytes| Preamble::decode(&bytes).map_err(|error| header_error(&file, 0, error)))?;
        let directory = Self::read_footer(&file);
        let (footer, salvaged) = match directory {
            Ok(footer) => (footer, None),
            Err(BlockError::Damaged { what, .. }) => {
                let (footer, lost_bytes) = salvage::scan(&file)?;
                let message = format!(
                    "directory of `{}` is damaged ({what}): {} blocks found by scanning, {lost_bytes} bytes lost",
                    file.name(),
                    footer.blocks.len(),
                );
                (footer, Some(message))
            }
            Err(error) => return Err(error),
        };
        let Footer { blocks, places, dictionaries, summaries, groups } = footer;
        let pieces = filters::pieces(&places);
        let Preamble { id, window, .. } = preamble;
        let dictionaries =
            Arc::new(Dictionaries::new(Arc::clone(&file), id, dictionaries, Arc::clone(cache)));
        Ok(Self { file, id, window, blocks, places, pieces, salvaged, dictionaries, summaries, groups })
    }

    fn read_footer(file: &Arc<PartFile>) -> Result<Footer, BlockError> {
        let malformed = |Malformed(what)| file.damaged(0, what);
        let trailer_at = file.len().saturating_sub(TRAILER_LEN as u64);
        let trailer = Trailer::decode(&file.read(trailer_at, TRAILER_LEN, 0)?).map_err(malformed)?;
        let footer = file.read(trailer.footer_at, trailer.footer_len as usize, 0)?;
        if block::crc(&footer) != trailer.footer_crc {
            return Err(file.damaged(0, "checksum of the directory"));
        }
        let footer = block::unpack(&footer, trailer.footer_raw_len as usize).map_err(malformed)?;
        Footer::decode(&footer).map_err(malformed)
    }

    pub(crate) const fn id(&self) -> PartId {
        self.id
    }

    /// The window its records belong to.
    pub(crate) const fn window(&self) -> TimeRange {
        self.window
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The blocks, by number.
    pub(crate) fn blocks(&self) -> &[BlockMeta] {
        &self.blocks
    }

    /// Whether a line of block `number`, or a value of its pairs, may hold the needle, as far as the directory tells.
    #[cfg(test)]
    pub(crate) fn may_hold(&self, number: u32, needle: &block::Needle) -> bool {
        PhrasesInPart::new(self, &[block::Phrase::new(needle.clone())]).may_be_in(number)
    }

    /// What was wrong with the directory, when the blocks were found by scanning.
    pub(crate) fn salvaged(&self) -> Option<&str> {
        self.salvaged.as_deref()
    }

    /// Opens block `number`: reads its header; columns are read when first asked for.
    ///
    /// # Errors
    /// When there is no such block, the file cannot be read or the header is damaged.
    pub(crate) fn read(&self, number: u32) -> Result<Block, BlockError> {
        let (meta, place) = self.block(number)?;
        let bytes = self.read_header(number)?;
        let header = Header::decode(&bytes).map_err(|error| header_error(&self.file, number, error))?;
        if header.meta != *meta {
            return Err(self.file.damaged(number, "header and directory differ"));
        }
        let columns_at = place.at + (BLOCK_PREFIX_LEN as u64) + u64::from(place.header_len);
        let dictionaries = Arc::clone(&self.dictionaries);
        let stored = Stored::new(Arc::clone(&self.file), dictionaries, number, header, columns_at);
        Ok(Block::stored(meta, stored))
    }

    /// The bytes of block `number`, every checksum verified, and its terms.
    ///
    /// # Errors
    /// As [`Part::read`], and when a column is damaged.
    pub(crate) fn read_raw(&self, number: u32) -> Result<RawBlock, BlockError> {
        let (meta, place) = self.block(number)?;
        let header = self.read_header(number)?;
        let columns_at = place.at + (BLOCK_PREFIX_LEN as u64) + u64::from(place.header_len);
        let len = usize::try_from(place.columns_len).unwrap_or(usize::MAX);
        let columns = self.file.read(columns_at, len, number)?;
        let decoded = Header::decode(&header).map_err(|error| header_error(&self.file, number, error))?;
        let mut input = Input::new(&columns);
        for column in &decoded.columns {
            let stored = input.take(column.stored_len as usize, "columns of the block");
            if !stored.is_ok_and(|stored| block::crc(stored) == column.crc) {
                return Err(self.file.damaged(number, "checksum of a column"));
            }
        }
        // Words are in no part, only in the index they were given to.
        let block = self.read(number)?;
        let terms = terms::Collector::default().collect(&block, meta.runs_complete)?;
        let (dictionary, summary) = (decoded.dictionary(), block.summary()?);
        Ok(RawBlock { number, meta: meta.clone(), header, columns, dictionary, terms, summary })
    }

    /// The distinct words of every block, by number, read from the blocks themselves; none for a block
    /// that cannot be read, which is named in `damaged`.
    pub(crate) fn words(&self, damaged: &mut Vec<String>) -> Vec<BlockWords> {
        let mut collector = terms::Collector::default();
        let mut words = Vec::with_capacity(self.blocks.len());
        for number in 0..self.blocks.len() as u32 {
            let all_runs = self.blocks[number as usize].runs_complete;
            let terms = self.read(number).and_then(|block| collector.collect(&block, all_runs));
            words.push(terms.map(|terms| terms.words).unwrap_or_else(|error| {
                damaged.push(error.to_string());
                BlockWords::default()
            }));
        }
        words
    }

    fn block(&self, number: u32) -> Result<(&BlockMeta, Place), BlockError> {
        match (self.blocks.get(number as usize), self.places.get(number as usize)) {
            (Some(meta), Some(place)) => Ok((meta, *place)),
            _ => Err(self.file.damaged(number, "there is no such block")),
        }
    }

    fn read_header(&self, number: u32) -> Result<Vec<u8>, BlockError> {
        let (_, place) = self.block(number)?;
        let len = BLOCK_PREFIX_LEN + place.header_len as usize;
        let mut bytes = self.file.read(place.at, len, number)?;
        let header = bytes.split_off(BLOCK_PREFIX_LEN);
        if bytes != prefix(BLOCK_MAGIC, &header) {
            return Err(self.file.damaged(number, "checksum of the header"));
        }
        Ok(header)
    }
}

/// What stands before the header of a block or a dictionary.
fn prefix(magic: [u8; 4], header: &[u8]) -> [u8; BLOCK_PREFIX_LEN] {
    let mut prefix = [0; BLOCK_PREFIX_LEN];
    prefix[..4].copy_from_slice(&magic);
    prefix[4..8].copy_from_slice(&(header.len() as u32).to_le_bytes());
    prefix[8..].copy_from_slice(&block::crc(header).to_le_bytes());
    prefix
}

fn header_error(file: &PartFile, number: u32, error: HeaderError) -> BlockError {
    match error {
        HeaderError::Malformed(Malformed(what)) => file.damaged(number, what),
        HeaderError::Newer(found) => BlockError::Newer { file: file.name(), found, known: FORMAT },
    }
}
