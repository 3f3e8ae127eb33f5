//! Any bytes as a part file: an error or records, never a panic or memory without bound. Checksums are off.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("no scratch folder");
    let path = dir.path().join("part-1.blk");
    std::fs::write(&path, bytes).expect("cannot write");
    store::fuzzing::read_part(&path);
});
