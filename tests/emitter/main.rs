//! Writes numbered lines: `emit TAG WORD...` plays a [`script`]. The only program in the test images.
//!
//! A container that is started again plays the same script as its next run: the number of runs is kept
//! in the container's own file system.

mod script;

use std::io::Write;
use std::time::{Duration, Instant};

use script::{Sink, Stream};

struct Standard {
    /// When the next write is due. Pauses add up, so that a late wake-up does not lower the rate.
    due: Instant,
}

impl Sink for Standard {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let now = Instant::now();
        if self.due > now + Duration::from_micros(500) {
            std::thread::sleep(self.due - now);
        }
        let written = match stream {
            Stream::Out => write_whole(&mut std::io::stdout().lock(), bytes),
            Stream::Err => write_whole(&mut std::io::stderr().lock(), bytes),
        };
        written.expect("cannot write");
    }

    fn pause(&mut self, time: Duration) {
        // A pause of its own counts from now; those of a rate are shorter and catch up.
        if time >= Duration::from_millis(100) {
            self.due = self.due.max(Instant::now());
        }
        self.due += time;
    }
}

fn write_whole(stream: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn next_run(tag: &str) -> u32 {
    let path = format!("/runs-of-{tag}");
    let runs = std::fs::read_to_string(&path).map_or(0, |text| text.parse().unwrap_or(0));
    std::fs::write(&path, (runs + 1).to_string()).expect("cannot keep the number of runs");
    runs
}

fn main() {
    let mut words = std::env::args().skip(1);
    let tag = words.next().expect("usage: emit TAG WORD...");
    let words: Vec<String> = words.collect();
    let mut sink = Standard { due: Instant::now() };
    script::play(&tag, next_run(&tag), &words, &mut sink).expect("wrong script");
    // A pause at the end holds the container up.
    std::thread::sleep(sink.due.saturating_duration_since(Instant::now()));
}
