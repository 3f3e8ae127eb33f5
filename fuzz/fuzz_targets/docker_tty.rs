//! Any bytes as the log of a container with a terminal: no panic, no byte invented.
#![no_main]

use collector::docker::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let mut decoder = Decoder::new(true);
    let mut decoded = 0;
    for chunk in bytes.chunks(usize::from(size) + 1) {
        decoder.push(chunk);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => decoded += frame.payload.len(),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    if let Ok(Some(frame)) = decoder.finish() {
        decoded += frame.payload.len();
    }
    assert!(decoded <= bytes.len());
});
