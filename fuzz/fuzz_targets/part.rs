//! A part file with any of its bytes changed and its end cut off: an error or records, never a panic or
//! memory without bound. Checksums are off, so that changes get through to the decoders.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// One folder for the whole run, and the part as it was written.
static SAMPLE: LazyLock<(PathBuf, Vec<u8>)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("no scratch folder").keep();
    let path = dir.join("part-1.blk");
    let bytes = store::fuzzing::sample_part(&path);
    (path, bytes)
});

fuzz_target!(|input: (Vec<(u16, u8)>, u16)| {
    let (changes, cut) = input;
    let (path, sample) = &*SAMPLE;
    let mut bytes = sample.clone();
    for (at, byte) in changes {
        let at = usize::from(at) % bytes.len();
        bytes[at] = byte;
    }
    bytes.truncate(sample.len() - usize::from(cut / 64));
    std::fs::write(path, &bytes).expect("cannot write");
    store::fuzzing::read_part(path);
});
