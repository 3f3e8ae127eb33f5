//! The catalog's write-ahead log, as bytes: SQLite takes a frame that does not fit for the log's end, and what
//! follows for never written. Here it is damage.

use std::path::Path;

const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 24;
/// Offsets in the log's index (`-shm`): number of frames, salts, frames already in the database.
const SHM_FRAMES: usize = 16;
const SHM_SALTS: usize = 32;
const SHM_COPIED: usize = 96;

/// What is wrong with the log of a catalog that no process has open.
pub(super) fn damage(catalog: &Path) -> std::io::Result<Option<String>> {
    let with = |suffix: &str| {
        let mut name = catalog.as_os_str().to_owned();
        name.push(suffix);
        std::path::PathBuf::from(name)
    };
    let (path, index) = (with("-wal"), with("-shm"));
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let index = std::fs::read(index).unwrap_or_default();
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
    let mut whole = 0;
    let mut ended = false;
    for frame in log[HEADER_LEN..].chunks(FRAME_HEADER_LEN + page_bytes) {
        let number = whole + 1;
        let found = (frame.len() > 16).then(|| (be(frame, 8), be(frame, 12)));
        // Frames of the log's last round are left behind the present ones: other salts.
        let ours = found.is_some_and(|found| found.0 == salts.0 || found.1 == salts.1);
        if ended {
            if ours {
                return Some(format!("frame {number} is damaged; transactions from there on are lost"));
            }
            continue;
        }
        if frame.len() < FRAME_HEADER_LEN + page_bytes {
            ended = true;
            if ours {
                return Some(format!("frame {number} is cut off; its transaction is lost"));
            }
            continue;
        }
        let next = self::sum(&frame[..8], sum, big_endian);
        let next = self::sum(&frame[FRAME_HEADER_LEN..], next, big_endian);
        if found == Some(salts) && next == (be(frame, 16), be(frame, 20)) {
            sum = next;
            whole += 1;
        } else if ours {
            return Some(format!("frame {number} is damaged; transactions from there on are lost"));
        } else {
            ended = true;
        }
    }
    let known = pending.filter(|known| known.salts == salts || whole == 0)?;
    (known.frames > whole)
        .then(|| format!("it ends after {whole} of {} frames; they were committed", known.frames))
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
