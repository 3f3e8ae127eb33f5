//! D5: lines that nobody wants. Blobs, colours, bytes that are no text, scripts without spaces, stack traces, lines of
//! 64 KB, empty ones; times that run back and clocks that jump.

use crate::random::Random;
use crate::sets::{BEGIN_US, Origin};

/// Microseconds between two lines at most: ten thousand lines a second.
const MAX_STEP_US: u64 = 199;
/// One line in so many is late or early by at most [`MAX_DISORDER_US`].
const LINES_PER_DISORDER: u64 = 20;
const MAX_DISORDER_US: u64 = 600_000_000;
/// After so many lines all clocks jump, to at most [`MAX_JUMP_US`] from the true time.
const LINES_PER_JUMP: u64 = 50_000;
const MAX_JUMP_US: u64 = 300_000_000;
const SERVICES: [&str; 8] = ["blob", "terminal", "legacy", "abroad", "java", "huge", "probe", "deep"];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Bytes of the longest lines.
const HUGE_BYTES: usize = 64 << 10;
/// Frames of a stack trace.
const FRAMES: u64 = 12;

/// Makes lines one after the other.
#[derive(Debug)]
pub(crate) struct Hostile {
    random: Random,
    time_us: i64,
    jumped_us: i64,
    lines: u64,
    /// Frames still to come of the stack trace that is being written.
    frames: u64,
}

impl Hostile {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { random: Random(seed), time_us: BEGIN_US, jumped_us: 0, lines: 0, frames: 0 }
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> (Origin, Vec<u8>) {
        let (service, line) = self.text();
        self.time_us += self.random.between(1, MAX_STEP_US).cast_signed();
        self.lines += 1;
        if self.lines.is_multiple_of(LINES_PER_JUMP) {
            self.jumped_us = self.away(MAX_JUMP_US);
        }
        let disorder =
            if self.random.below(LINES_PER_DISORDER) == 0 { self.away(MAX_DISORDER_US) } else { 0 };
        (Origin { time_us: self.time_us + self.jumped_us + disorder, service, container: None }, line)
    }

    /// At most so far to either side.
    const fn away(&mut self, most: u64) -> i64 {
        self.random.below(2 * most).cast_signed() - most.cast_signed()
    }

    fn text(&mut self) -> (&'static str, Vec<u8>) {
        if self.frames > 0 {
            self.frames -= 1;
            return ("java", self.frame());
        }
        let random = &mut self.random;
        let [blob, terminal, legacy, abroad, java, huge, probe, deep] = SERVICES;
        match random.below(1000) {
            0..200 => {
                let length = random.between(200, 4000) as usize;
                (blob, [b"payload=".to_vec(), random_of(random, BASE64, length)].concat())
            }
            200..400 => {
                let (colour, job, ms) = (random.between(31, 37), random.below(100_000), random.skewed(9000));
                (
                    terminal,
                    format!("\x1b[1;{colour}mOK\x1b[0m job {job} \x1b[2Kdone in \x1b[4m{ms}ms\x1b[0m\r")
                        .into(),
                )
            }
            400..550 => (legacy, latin1(random)),
            550..700 => {
                let (order, place) =
                    (random.below(1_000_000), *random.pick(&["東京都港区", "大阪市北区", "서울특별시"]));
                (
                    abroad,
                    format!("注文{order}を{place}へ発送しました。お届けまで{}日 🚚", random.between(1, 9))
                        .into(),
                )
            }
            700..780 => {
                self.frames = FRAMES;
                let order = random.below(1_000_000);
                (java, format!("java.lang.IllegalStateException: order {order} is already closed").into())
            }
            780..782 => (huge, random_of(random, b"abcdefghij klmnopqrst,;=", HUGE_BYTES)),
            782..850 => (probe, Vec::new()),
            850..900 => {
                let depth = random.between(20, 200) as usize;
                (
                    deep,
                    format!("{}{}{}", "{\"a\":".repeat(depth), random.below(1000), "}".repeat(depth)).into(),
                )
            }
            _ => (probe, format!("probe {} \0\0 \u{7}{:x}", random.below(1000), random.next()).into()),
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        let class = *self.random.pick(&["Order", "Cart", "Stock", "Session"]);
        let (method, line) =
            (*self.random.pick(&["close", "apply", "handle", "run"]), self.random.between(10, 900));
        format!("\tat org.example.shop.{class}Service.{method}({class}Service.java:{line})").into()
    }
}

fn random_of(random: &mut Random, all: &[u8], length: usize) -> Vec<u8> {
    (0..length).map(|_| *random.pick(all)).collect()
}

/// Words in the encoding of another age, which are no UTF-8.
fn latin1(random: &mut Random) -> Vec<u8> {
    let words: [&[u8]; 4] = [b"Gr\xf6\xdfe", b"caf\xe9", b"\xff\xfe\x00\x01", b"ma\xf1ana"];
    let word = *random.pick(&words);
    [b"import ", word, format!(" row {} skipped", random.below(1_000_000)).as_bytes()].concat()
}
