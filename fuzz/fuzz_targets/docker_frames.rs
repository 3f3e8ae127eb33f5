//! Any bytes as the reply of a Docker daemon: no panic, and the chunking changes nothing.
#![no_main]

use collector::docker::{DecodeError, Decoder, Frame};
use libfuzzer_sys::fuzz_target;

fn decode<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = Decoder::new(false);
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    let end = decoder.finish().err();
    (frames, end)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    assert_eq!(decode(bytes.chunks(usize::from(size) + 1)), decode(std::iter::once(bytes)));
});
