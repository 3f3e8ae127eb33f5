//! Compression and checksum of one column.

use std::cell::RefCell;
use std::io;

use super::header::{ColumnMeta, Packing, Role};
use super::narrow;
use super::shapes::Encoded;
use super::wire::{Input, Malformed, put_varint};

/// zstd's level. 3 saves a twentieth of the bytes for a third more time, 1 the other way round (docs/benchmarks.md).
const LEVEL: i32 = 2;

/// Columns smaller than this are stored plain: a zstd frame has some 12 bytes of its own.
const MIN_PACKED: usize = 24;

/// A piece of a column, and its bytes: columns that are made of unlike things are packed piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Compressed when that makes it smaller.
    Packed(usize),
    /// Random bits.
    Plain(usize),
}

thread_local! {
    // A context holds the better part of a megabyte, which is worth keeping between columns.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses columns one after the other with one context and one buffer.
pub(crate) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
    narrow: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(crate) fn new() -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { compressor, packed: Vec::new(), narrow: Vec::new() })
    }

    /// Appends `raw` to `out`, compressed when that makes it smaller.
    pub(crate) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> io::Result<Packing> {
        if narrow::bits(raw) < 8 {
            return self.pack_pieces(raw, &[Piece::Packed(raw.len())], out);
        }
        let is_packed = self.compress(raw, out)?;
        Ok(if is_packed { Packing::Zstd } else { Packing::Plain })
    }

    /// Appends `raw`, and whether that is a zstd frame.
    fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        if raw.len() >= MIN_PACKED {
            self.packed.clear();
            self.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
            self.compressor.compress_to_buffer(raw, &mut self.packed)?;
            if self.packed.len() < raw.len() {
                out.extend_from_slice(&self.packed);
                return Ok(true);
            }
        }
        out.extend_from_slice(raw);
        Ok(false)
    }

    /// Appends `raw`, which is made of these pieces: their number, for each its length before and after and, if some are narrow,
    /// the bits of its bytes, and what they are then.
    pub(crate) fn pack_pieces(
        &mut self,
        raw: &[u8],
        pieces: &[Piece],
        out: &mut Vec<u8>,
    ) -> io::Result<Packing> {
        let (mut packed, mut rest) = (Vec::with_capacity(raw.len()), raw);
        let mut told = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (Piece::Packed(len) | Piece::Plain(len)) = piece;
            let (bytes, later) = rest.split_at(*len);
            let (start, bits) = (packed.len(), self.pack_piece(*piece, bytes, &mut packed)?);
            told.push((*len, packed.len() - start, bits));
            rest = later;
        }
        let is_narrow = told.iter().any(|(.., bits)| *bits < 8);
        put_varint(out, pieces.len() as u64);
        for (len, packed_len, bits) in told {
            put_varint(out, len as u64);
            put_varint(out, packed_len as u64);
            out.extend(is_narrow.then_some(bits));
        }
        out.extend_from_slice(&packed);
        Ok(if is_narrow { Packing::NarrowPieces } else { Packing::Pieces })
    }

    /// Appends a piece, and tells the bits that hold each of its bytes.
    fn pack_piece(&mut self, piece: Piece, bytes: &[u8], packed: &mut Vec<u8>) -> io::Result<u8> {
        let bits = match piece {
            Piece::Packed(_) => narrow::bits(bytes),
            Piece::Plain(_) => {
                packed.extend_from_slice(bytes);
                return Ok(8);
            }
        };
        if bits == 8 {
            self.compress(bytes, packed)?;
            return Ok(bits);
        }
        let mut narrow = std::mem::take(&mut self.narrow);
        narrow.clear();
        narrow::put(bytes, bits, &mut narrow);
        let packed = self.compress(&narrow, packed);
        self.narrow = narrow;
        packed?;
        Ok(bits)
    }
}

/// Decompresses a zstd frame that holds exactly `raw_len` bytes.
pub(crate) fn unpack(stored: &[u8], raw_len: usize) -> Result<Vec<u8>, Malformed> {
    const WRONG: Malformed = Malformed("compressed data");
    // The frame names its size too: a wrong `raw_len` must not cause a large allocation.
    match zstd::zstd_safe::get_frame_content_size(stored) {
        Ok(Some(len)) if len == raw_len as u64 => {}
        _ => return Err(WRONG),
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            None => decompressor.insert(zstd::bulk::Decompressor::new().map_err(|_| WRONG)?),
        };
        let raw = decompressor.decompress(stored, raw_len).map_err(|_| WRONG)?;
        if raw.len() == raw_len { Ok(raw) } else { Err(WRONG) }
    })
}

/// Columns one after the other, and their directory.
#[derive(Debug, Default)]
pub(crate) struct PackedColumns {
    pub(crate) directory: Vec<ColumnMeta>,
    pub(crate) bytes: Vec<u8>,
}

/// An encoding for values that do not repeat is not tried where another takes no more than one byte of so many.
const MIN_RANDOM: usize = 4;
/// It must save one byte of so many, for it takes longer to read.
const MIN_SAVED: usize = 32;

impl PackedColumns {
    /// Adds a column in the one or the other of its encodings.
    pub(crate) fn add_smaller(
        &mut self,
        packer: &mut Packer,
        role: Role,
        column: &Encoded,
    ) -> io::Result<()> {
        let Encoded { encoding, params, raw, pieces, .. } = column;
        let start = self.bytes.len();
        self.add(packer, role.clone(), *encoding, params.clone(), (raw, pieces))?;
        let len = self.bytes.len() - start;
        let Some(instead) = column.instead.as_ref().filter(|_| len * MIN_RANDOM > raw.len()) else {
            return Ok(());
        };
        let Encoded { encoding, params, raw, pieces, .. } = instead.as_ref();
        self.add(packer, role, *encoding, params.clone(), (raw, pieces))?;
        if self.bytes.len() - start - len < len - len / MIN_SAVED {
            self.bytes.drain(start..start + len);
            self.directory.remove(self.directory.len() - 2);
        } else {
            self.bytes.truncate(start + len);
            self.directory.pop();
        }
        Ok(())
    }

    /// Adds a column; `pieces` are what `raw` is made of, if these are to be packed apart.
    pub(crate) fn add(
        &mut self,
        packer: &mut Packer,
        role: Role,
        encoding: u8,
        params: Vec<u8>,
        (raw, pieces): (&[u8], &[Piece]),
    ) -> io::Result<()> {
        let start = self.bytes.len();
        let packing = match pieces {
            [] => packer.pack(raw, &mut self.bytes)?,
            pieces => packer.pack_pieces(raw, pieces, &mut self.bytes)?,
        };
        let stored = &self.bytes[start..];
        let (raw_len, stored_len, crc) = (raw.len() as u32, stored.len() as u32, crc(stored));
        self.directory.push(ColumnMeta { role, encoding, params, packing, raw_len, stored_len, crc });
        Ok(())
    }
}

/// Most pieces of a column: text in parts has three at most for each of 256 tokens, and one.
const MAX_PIECES: u64 = 1 << 11;

/// Puts together what was packed in pieces, `raw_len` bytes in all; whether each tells the bits of its bytes is `are_narrow`.
pub(crate) fn unpack_pieces(stored: &[u8], raw_len: usize, are_narrow: bool) -> Result<Vec<u8>, Malformed> {
    const WRONG: Malformed = Malformed("pieces of a column");
    let mut input = Input::new(stored);
    let number = input.varint("pieces of a column")?;
    if number > MAX_PIECES {
        return Err(WRONG);
    }
    let mut pieces = Vec::new();
    for _ in 0..number {
        let (len, packed_len) = (input.len("length of a piece")?, input.len("length of a piece")?);
        pieces.push((len, packed_len, if are_narrow { input.u8("bits of a piece")? } else { 8 }));
    }
    let mut raw = Vec::new();
    for (len, packed_len, bits) in pieces {
        if len > raw_len - raw.len() {
            return Err(WRONG);
        }
        let packed = input.take(packed_len, "piece of a column")?;
        let narrow_len = narrow::packed_len(len, bits).ok_or(WRONG)?;
        if narrow_len == packed_len {
            narrow::take(packed, len, bits, &mut raw);
        } else {
            narrow::take(&unpack(packed, narrow_len)?, len, bits, &mut raw);
        }
    }
    if input.is_empty() && raw.len() == raw_len { Ok(raw) } else { Err(WRONG) }
}

/// Checksum of bytes in a file. Fuzzers cannot guess checksums and would never get past them.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    if cfg!(fuzzing) { 0 } else { crc32fast::hash(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together_and_lies_about_them_refused() {
        let wide = [vec![7; 1000], (0..=255).collect(), Vec::new(), b"few".to_vec()].concat();
        let pieces = [Piece::Packed(1000), Piece::Plain(256), Piece::Packed(0), Piece::Packed(3)];
        check_pieces(&[vec![77; 1000], wide[1000..].to_vec()].concat(), &pieces, Packing::Pieces);
        check_pieces(&wide, &pieces, Packing::NarrowPieces);
    }

    fn check_pieces(raw: &[u8], pieces: &[Piece], packing: Packing) {
        let are_narrow = packing == Packing::NarrowPieces;
        let mut stored = Vec::new();
        assert_eq!(Packer::new().unwrap().pack_pieces(raw, pieces, &mut stored).unwrap(), packing);
        assert!(stored.len() < 400);
        assert_eq!(unpack_pieces(&stored, raw.len(), are_narrow).unwrap(), raw);
        assert!(unpack_pieces(&stored, raw.len() + 1, are_narrow).is_err());
        assert!(unpack_pieces(&stored, raw.len() - 1, are_narrow).is_err());
        for len in 0..stored.len() {
            assert!(unpack_pieces(&stored[..len], raw.len(), are_narrow).is_err(), "{len}");
        }
        let mut many = Vec::new();
        put_varint(&mut many, MAX_PIECES + 1);
        many.resize(many.len() + 3 * (MAX_PIECES as usize + 1), 0);
        assert!(unpack_pieces(&many, 0, are_narrow).is_err(), "more pieces than there can be");
    }

    #[test]
    fn small_numbers_take_about_as_many_bits_as_they_have_entropy() {
        let codes: Vec<u8> = (0..8192_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 % 4).collect();
        let (mut packer, mut stored) = (Packer::new().unwrap(), Vec::new());
        assert_eq!(packer.pack(&codes, &mut stored).unwrap(), Packing::NarrowPieces);
        assert!(stored.len() <= 8192 / 4 + 24, "{}", stored.len());
        assert_eq!(unpack_pieces(&stored, codes.len(), true).unwrap(), codes);
        stored[5] = 3;
        assert!(unpack_pieces(&stored, codes.len(), true).is_err(), "three bits");
    }
}
