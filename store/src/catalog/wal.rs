//! The catalog's write-ahead log, as bytes: SQLite takes a frame that does not fit for the log's end, and what
//! follows for never written. Here it is damage, unless it is what a killed process had not committed.

use std::path::{Path, PathBuf};

const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 24;
/// Offsets in the log's index (`-shm`): number of frames, salts, frames already in the database.
const SHM_FRAMES: usize = 16;
const SHM_SALTS: usize = 32;
const SHM_COPIED: usize = 96;

/// The log of `catalog`.
pub(crate) fn file_of(catalog: &Path) -> PathBuf {
    with_suffix(catalog, "-wal")
}

fn with_suffix(catalog: &Path, suffix: &str) -> PathBuf {
    let mut name = catalog.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What is wrong with the log of a catalog that no process has open.
pub(crate) fn damage(catalog: &Path) -> std::io::Result<Option<String>> {
    let path = file_of(catalog);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let index = std::fs::read(with_suffix(catalog, "-shm")).unwrap_or_default();
    Ok(check(&bytes, &index).map(|what| format!("`{}`: {what}", path.display())))
}

fn check(log: &[u8], index: &[u8]) -> Option<String> {
    let known = Known::read(index);
    let pending = known.as_ref().filter(|known| known.copied < known.frames);
    let Some(header) = log.first_chunk::<HEADER_LEN>() else {
        return pending.map(|known| format!("{} frames are missing: they were committed", known.frames));
    };
    let word = |at: usize| be(header, at);
    let big_endian = match word(0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return Some("its header is damaged; what was committed to it is lost".to_owned()),
    };
    let mut sum = sum(&header[..24], (0, 0), big_endian);
    let page_bytes = word(8) as usize;
    if sum != (word(24), word(28)) || page_bytes == 0 {
        return Some("its header is damaged; what was committed to it is lost".to_owned());
    }
    let salts = (word(16), word(20));
    let known = known.filter(|known| known.salts == salts);
    let frames: Vec<&[u8]> = log[HEADER_LEN..].chunks(FRAME_HEADER_LEN + page_bytes).collect();
    let mut whole = 0;
    for frame in &frames {
        let next = self::sum(&frame[..8.min(frame.len())], sum, big_endian);
        let next = self::sum(frame.get(FRAME_HEADER_LEN..).unwrap_or_default(), next, big_endian);
        let fits = frame.len() == FRAME_HEADER_LEN + page_bytes
            && (be(frame, 8), be(frame, 12)) == salts
            && (be(frame, 16), be(frame, 20)) == next;
        if !fits {
            break;
        }
        sum = next;
        whole += 1;
    }
    if let Some(known) = &known
        && (whole as u32) < known.frames
    {
        return Some(format!("{whole} of {} committed frames are whole; the others are lost", known.frames));
    }
    // Frames of the log's last round are left behind the present ones: other salts.
    let is_ours = |frame: &&[u8]| frame.len() > 16 && (be(frame, 8) == salts.0 || be(frame, 12) == salts.1);
    let is_commit = |frame: &&[u8]| is_ours(frame) && be(frame, 4) != 0;
    let mut behind = frames[whole..].iter();
    let broken = behind.next().filter(|frame| is_ours(frame))?;
    // A process that is killed leaves the frame it was writing, and nothing after it; the index tells which.
    let unknown = known.is_none() && (is_commit(broken) || broken.len() < FRAME_HEADER_LEN + page_bytes);
    (unknown || behind.any(is_commit))
        .then(|| format!("frame {} is damaged; transactions from there on are lost", whole + 1))
}

/// What the log's index knew when the last process closed it.
struct Known {
    frames: u32,
    copied: u32,
    salts: (u32, u32),
}

impl Known {
    fn read(index: &[u8]) -> Option<Self> {
        let native = |at: usize| index.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        // Two copies of the header: they differ while it is being written.
        if index.get(..48)? != index.get(48..96)? || index.get(12) != Some(&1) {
            return None;
        }
        let salt = |at: usize| index.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        Some(Self {
            frames: native(SHM_FRAMES)?,
            copied: native(SHM_COPIED)?,
            salts: (salt(SHM_SALTS)?, salt(SHM_SALTS + 4)?),
        })
    }
}

fn be(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// SQLite's running checksum over pairs of words.
fn sum(bytes: &[u8], (mut first, mut second): (u32, u32), big_endian: bool) -> (u32, u32) {
    let word = |b: &[u8]| {
        let b = [b[0], b[1], b[2], b[3]];
        if big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
    };
    for pair in bytes.chunks_exact(8) {
        first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
        second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
    }
    (first, second)
}
