//! Finding the blocks of a part whose directory is lost, by the headers that begin each block.

use std::sync::Arc;

use super::dictionaries::{DICTIONARY_MAGIC, DictionaryPlace, place_of};
use super::footer::{Footer, PREAMBLE_LEN};
use super::{BLOCK_MAGIC, BLOCK_PREFIX_LEN, MAX_HEADER_BYTES, PartFile, Place, prefix};
use crate::block::{BlockError, Header};

/// Bytes read at once while looking for the next block.
const CHUNK: usize = 1 << 20;

/// The directory of every block and dictionary whose header is whole, and the number of bytes between them that
/// belong to none. Filters are not looked for: a query keeps blocks without one.
pub(super) fn scan(file: &Arc<PartFile>) -> Result<(Footer, u64), BlockError> {
    let mut footer = Footer::default();
    let mut lost_bytes = 0;
    let mut at = PREAMBLE_LEN as u64;
    while at < file.len() {
        if let Some((header, place)) = block_at(file, at)? {
            at += (BLOCK_PREFIX_LEN as u64) + u64::from(place.header_len) + place.columns_len;
            footer.blocks.push(header.meta);
            footer.places.push(place);
        } else if let Some(place) = dictionary_at(file, at)? {
            at = place.end();
            footer.dictionaries.push(place);
        } else {
            let next = next_magic(file, at + 1)?;
            lost_bytes += next - at;
            at = next;
        }
    }
    Ok((footer, lost_bytes))
}

/// The header of the block at `at`, if there is a whole one.
fn block_at(file: &PartFile, at: u64) -> Result<Option<(Header, Place)>, BlockError> {
    let Some(bytes) = header_at(file, at, BLOCK_MAGIC)? else { return Ok(None) };
    let Ok(header) = Header::decode(&bytes) else { return Ok(None) };
    let columns_len = header.columns.iter().map(|c| u64::from(c.stored_len)).sum();
    let header_len = bytes.len() as u32;
    Ok(Some((header, Place { at, header_len, columns_len, filter_at: 0, filter_len: 0 })))
}

/// The dictionary at `at`, if there is one with a whole header.
fn dictionary_at(file: &PartFile, at: u64) -> Result<Option<DictionaryPlace>, BlockError> {
    Ok(header_at(file, at, DICTIONARY_MAGIC)?.and_then(|header| place_of(at, &header)))
}

/// The bytes of the header at `at`, if there is a whole one behind this magic.
fn header_at(file: &PartFile, at: u64, magic: [u8; 4]) -> Result<Option<Vec<u8>>, BlockError> {
    let Some(found) = read(file, at, BLOCK_PREFIX_LEN)? else { return Ok(None) };
    let header_len = match found.split_at(magic.len()) {
        (start, [a, b, c, d, ..]) if start == magic => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => return Ok(None),
    };
    if header_len > MAX_HEADER_BYTES {
        return Ok(None);
    }
    let header = read(file, at + BLOCK_PREFIX_LEN as u64, header_len as usize)?;
    Ok(header.filter(|header| found == prefix(magic, header)))
}

/// Place of the next magic at or after `at`, or the end of the file.
fn next_magic(file: &PartFile, mut at: u64) -> Result<u64, BlockError> {
    while at < file.len() {
        let len = CHUNK.min(usize::try_from(file.len() - at).unwrap_or(CHUNK));
        let Some(bytes) = read(file, at, len)? else { break };
        let places = [BLOCK_MAGIC, DICTIONARY_MAGIC].map(|magic| memchr::memmem::find(&bytes, &magic));
        if let Some(found) = places.into_iter().flatten().min() {
            return Ok(at + found as u64);
        }
        if len < CHUNK {
            break;
        }
        at += (len - (BLOCK_MAGIC.len() - 1)) as u64; // one may lie across the chunk's end
    }
    Ok(file.len())
}

/// `None` when the file ends before.
fn read(file: &PartFile, at: u64, len: usize) -> Result<Option<Vec<u8>>, BlockError> {
    match file.read(at, len, 0) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(BlockError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
