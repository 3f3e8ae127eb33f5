//! The id filters of parts, read in pieces and kept in memory up to a bound.

use std::sync::Arc;

use super::cache::Cache;
use super::{Part, PartId, Place};
use crate::block::BlockError;
use crate::config::ByteSize;
use crate::terms::IdFilter;

/// Bytes of filters read at once: neighbours are asked for next, and lie next to each other.
const PIECE_BYTES: u32 = 1 << 20;

/// A piece of a part's filters: those of some blocks in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    at: u64,
    len: u32,
    first_block: u32,
}

/// Cuts the filters of a part into pieces.
pub(super) fn pieces(places: &[Place]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (number, place) in places.iter().enumerate() {
        if let Some(piece) = pieces.last_mut()
            && piece.at.checked_add(u64::from(piece.len)) == Some(place.filter_at)
            && piece.len.saturating_add(place.filter_len) <= PIECE_BYTES
        {
            piece.len += place.filter_len;
        } else {
            pieces.push(Piece { at: place.filter_at, len: place.filter_len, first_block: number as u32 });
        }
    }
    pieces
}

/// The bytes of a piece.
#[derive(Debug)]
struct Loaded {
    bytes: Vec<u8>,
    /// Where each block's filter begins and ends in `bytes`; empty when it is damaged or missing.
    spans: Vec<(u32, u32)>,
}

/// Filters in memory, by part and number of the piece or of the group. Shared by all parts of a data folder.
#[derive(Debug)]
pub(crate) struct FilterCache {
    pieces: Cache<(PartId, usize), Loaded>,
    /// Apart from those: each query for a long id asks all of them, and few others.
    groups: Cache<(PartId, u32), Vec<u8>>,
}

impl FilterCache {
    /// With so many bytes for the filters of blocks, and those of groups.
    pub(crate) fn new(max_bytes: ByteSize, max_group_bytes: ByteSize) -> Self {
        Self { pieces: Cache::new(max_bytes.0), groups: Cache::new(max_group_bytes.0) }
    }

    /// The filter of a group; nothing where it is damaged, which is told once.
    pub(super) fn group(&self, part: &Part, number: u32) -> Result<Arc<Vec<u8>>, BlockError> {
        self.groups.get((part.id, number), || {
            let bytes = match part.read_group(number) {
                Err(error @ BlockError::Damaged { .. }) => {
                    tracing::warn!(%error, "ids of a group of blocks are damaged, searching without them");
                    Vec::new()
                }
                read => read?,
            };
            let len = bytes.len() as u64;
            Ok((bytes, len))
        })
    }

    fn piece(&self, part: &Part, number: usize) -> Result<Arc<Loaded>, BlockError> {
        self.pieces.get((part.id, number), || {
            let piece = part.load(number)?;
            let bytes = piece.bytes.len() as u64;
            Ok((piece, bytes))
        })
    }
}

impl Part {
    fn load(&self, number: usize) -> Result<Loaded, BlockError> {
        let Some(piece) = self.pieces.get(number) else {
            return Ok(Loaded { bytes: Vec::new(), spans: Vec::new() });
        };
        let bytes = self.file.read(piece.at, piece.len as usize, piece.first_block)?;
        let mut spans = Vec::new();
        let mut start = 0;
        let end_block = self.pieces.get(number + 1).map_or(self.places.len(), |p| p.first_block as usize);
        for place in &self.places[piece.first_block as usize..end_block] {
            let end = start + place.filter_len;
            let whole = bytes.get(start as usize..end as usize).is_some_and(IdFilter::is_whole);
            spans.push(if whole { (start, end) } else { (0, 0) });
            start = end;
        }
        Ok(Loaded { bytes, spans })
    }

    /// Asks the id filter of block `number`; `None` when there is none that can be read, so that every
    /// block may hold what is looked for. Those of its neighbours are read with it, unless it is asked for `alone`.
    pub(crate) fn with_ids<T>(
        &self,
        number: u32,
        alone: bool,
        cache: &FilterCache,
        ask: impl FnOnce(&IdFilter<'_>) -> T,
    ) -> Option<T> {
        let piece_number = self.pieces.partition_point(|p| p.first_block <= number).checked_sub(1)?;
        let in_piece = (number - self.pieces[piece_number].first_block) as usize;
        let known = if alone { cache.pieces.known((self.id, piece_number)) } else { None };
        if alone && known.is_none() {
            let place = self.places.get(number as usize)?;
            let read = self.file.read(place.filter_at, place.filter_len as usize, number);
            let bytes =
                read.map_err(|error| unread(&error)).ok().filter(|bytes| IdFilter::is_whole(bytes))?;
            return Some(ask(&IdFilter::decode(&bytes).ok()?));
        }
        let piece = match known.map_or_else(|| cache.piece(self, piece_number), Ok) {
            Ok(piece) => piece,
            Err(error) => {
                unread(&error);
                return None;
            }
        };
        let (start, end) = *piece.spans.get(in_piece)?;
        let filter = IdFilter::decode(piece.bytes.get(start as usize..end as usize)?).ok()?;
        Some(ask(&filter))
    }
}

fn unread(error: &BlockError) {
    tracing::warn!(%error, "cannot read id filters, searching without them");
}
