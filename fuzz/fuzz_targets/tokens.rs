//! Any lines, and a needle cut from them anywhere: the lines come back, the index does not miss them, and the
//! columns name the rows that hold the needle.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u16, u8)| {
    let (text, start, len) = input;
    let start = usize::from(start) % (text.len() + 1);
    let end = text.len().min(start + usize::from(len));
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\r').collect();
    let dir = tempfile::tempdir().expect("no scratch folder");
    store::fuzzing::find_in_part(&dir.path().join("part-1.blk"), &lines, &text[start..end]);
});
