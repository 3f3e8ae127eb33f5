//! Finding the blocks of a part whose directory is lost, by the headers that begin each block.

use std::sync::Arc;

use super::footer::{Footer, PREAMBLE_LEN};
use super::{BLOCK_MAGIC, BLOCK_PREFIX_LEN, MAX_HEADER_BYTES, PartFile, Place, block_prefix};
use crate::block::{BlockError, Header};

/// Bytes read at once while looking for the next block.
const CHUNK: usize = 1 << 20;

/// The directory of every block whose header is whole, and the number of bytes between them that
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
    let Some(prefix) = read(file, at, BLOCK_PREFIX_LEN)? else { return Ok(None) };
    let header_len = match prefix.as_slice() {
        [b'B', b'N', b'B', b'L', a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => return Ok(None),
    };
    if header_len > MAX_HEADER_BYTES {
        return Ok(None);
    }
    let columns_at = at + BLOCK_PREFIX_LEN as u64;
    let Some(bytes) = read(file, columns_at, header_len as usize)? else { return Ok(None) };
    if prefix != block_prefix(&bytes) {
        return Ok(None);
    }
    let Ok(header) = Header::decode(&bytes) else { return Ok(None) };
    let columns_len = header.columns.iter().map(|c| u64::from(c.stored_len)).sum();
    Ok(Some((header, Place { at, header_len, columns_len, filter_at: 0, filter_len: 0 })))
}

/// Place of the next magic at or after `at`, or the end of the file.
fn next_magic(file: &PartFile, mut at: u64) -> Result<u64, BlockError> {
    while at < file.len() {
        let len = CHUNK.min(usize::try_from(file.len() - at).unwrap_or(CHUNK));
        let Some(bytes) = read(file, at, len)? else { break };
        if let Some(found) = memchr::memmem::find(&bytes, &BLOCK_MAGIC) {
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
