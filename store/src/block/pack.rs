//! Compression and checksum of one column.

use std::cell::RefCell;
use std::io;

use super::header::Packing;
use super::wire::Malformed;

/// zstd's level. 3 saves a twentieth of the bytes for a third more time, 1 the other way round (docs/benchmarks.md).
const LEVEL: i32 = 2;

/// Columns smaller than this are stored plain: a zstd frame has some 12 bytes of its own.
const MIN_PACKED: usize = 24;

thread_local! {
    // A context holds the better part of a megabyte, which is worth keeping between columns.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses columns one after the other with one context and one buffer.
pub(crate) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(LEVEL)?, packed: Vec::new() })
    }

    /// Appends `raw` to `out`, compressed when that makes it smaller.
    pub(crate) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> io::Result<Packing> {
        if raw.len() >= MIN_PACKED {
            self.packed.clear();
            self.packed.reserve(zstd::zstd_safe::compress_bound(raw.len()));
            self.compressor.compress_to_buffer(raw, &mut self.packed)?;
            if self.packed.len() < raw.len() {
                out.extend_from_slice(&self.packed);
                return Ok(Packing::Zstd);
            }
        }
        out.extend_from_slice(raw);
        Ok(Packing::Plain)
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

/// Checksum of bytes in a file. Fuzzers cannot guess checksums and would never get past them.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    if cfg!(fuzzing) { 0 } else { crc32fast::hash(bytes) }
}
