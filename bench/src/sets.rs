//! The data sets: lines with the time and the container that they come from, the same for the same set and seed.
//!
//! No line holds a line end, so the file of a set (each line and `\n`) is what the yardsticks read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::str::FromStr;

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::SEED;
use crate::hostile::Hostile;
use crate::plain::Plain;
use crate::random::Random;
use crate::services::Services;

/// When every set begins: 2026-11-20T10:00:00Z, in microseconds. All its lines lie within [09:30, 11:30).
pub(crate) const BEGIN_US: i64 = 1_795_168_800_000_000;
/// In a minute of ten thousand lines a second, one container of a hundred is replaced: in so many lines, all of them.
const LINES_PER_GENERATION: u64 = 60 * 10_000 * 100;

/// A data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// D1: plain text of sixteen kinds of software.
    Plain,
    /// D2: JSON lines of forty services.
    Services,
    /// D4: D2 from so many containers at once, which come and go; a request id in each line.
    Streams(u32),
    /// D5: lines that nobody wants.
    Hostile,
}

impl Set {
    /// Every set, with the three sizes of D4.
    pub(crate) const ALL: [Self; 6] = [
        Self::Plain,
        Self::Services,
        Self::Streams(1_000),
        Self::Streams(10_000),
        Self::Streams(50_000),
        Self::Hostile,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Plain => "D1".to_owned(),
            Self::Services => "D2".to_owned(),
            Self::Streams(containers) => format!("D4-{}k", containers / 1000),
            Self::Hostile => "D5".to_owned(),
        }
    }
}

impl FromStr for Set {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|set| set.name() == text);
        found.ok_or_else(|| format!("`{text}` is no data set; there are: {}", names()))
    }
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// Since 1970, in microseconds.
    pub(crate) time_us: i64,
    pub(crate) service: &'static str,
    /// Number of the container, where a service has several.
    pub(crate) container: Option<u32>,
}

/// Makes the lines of a set one after the other.
#[derive(Debug)]
pub(crate) enum Lines {
    Plain(Box<Plain>),
    Services(Box<Services>),
    Streams(Box<Streams>),
    Hostile(Box<Hostile>),
}

impl Lines {
    pub(crate) fn new(set: Set) -> Self {
        match set {
            Set::Plain => Self::Plain(Box::new(Plain::new(SEED))),
            Set::Services => Self::Services(Box::new(Services::new(SEED))),
            Set::Streams(containers) => Self::Streams(Box::new(Streams::new(SEED, containers))),
            Set::Hostile => Self::Hostile(Box::new(Hostile::new(SEED))),
        }
    }

    /// The next line, without its end.
    pub(crate) fn next(&mut self) -> (Origin, Vec<u8>) {
        let mut text = String::with_capacity(400);
        let origin = match self {
            Self::Plain(plain) => plain.line(&mut text),
            Self::Services(services) => services.line(&mut text),
            Self::Streams(streams) => streams.line(&mut text),
            Self::Hostile(hostile) => return hostile.line(),
        };
        (origin, text.into_bytes())
    }
}

/// D4: the lines of [`Services`], from many containers.
#[derive(Debug)]
pub(crate) struct Streams {
    services: Services,
    random: Random,
    containers: u32,
    lines: u64,
}

impl Streams {
    fn new(seed: u64, containers: u32) -> Self {
        Self { services: Services::new(seed), random: Random(!seed), containers, lines: 0 }
    }

    /// Each place of a container is taken by a new one at a time of its own: one in a hundred a minute.
    fn line(&mut self, out: &mut String) -> Origin {
        let origin = self.services.line(out);
        let place = self.random.below(u64::from(self.containers));
        let shift = place * LINES_PER_GENERATION / u64::from(self.containers);
        let generation = (self.lines + shift) / LINES_PER_GENERATION;
        let container = place + generation * u64::from(self.containers);
        out.pop(); // the closing brace
        out.push_str(&format!(r#","request_id":"{:016x}"}}"#, self.random.next()));
        self.lines += 1;
        Origin { container: u32::try_from(container).ok(), ..origin }
    }
}

/// A set on disk.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Line ends included.
    pub(crate) bytes: u64,
    /// SHA-256 of the file, in hexadecimal digits.
    pub(crate) sha256: String,
}

/// Writes the first lines of a set.
pub(crate) fn write(set: Set, lines: usize, path: &Path) -> Result<Written> {
    let mut made = Lines::new(set);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut bytes, mut digest) = (0, Sha256::new());
    for _ in 0..lines {
        let (_, mut line) = made.next();
        line.push(b'\n');
        digest.update(&line);
        out.write_all(&line)?;
        bytes += line.len() as u64;
    }
    out.flush()?;
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Written { bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_same_each_time_within_its_hours_and_without_line_ends() {
        for set in Set::ALL {
            let (mut lines, mut again) = (Lines::new(set), Lines::new(set));
            for _ in 0..5000 {
                let (origin, line) = lines.next();
                assert_eq!((origin, line.clone()), again.next(), "{}", set.name());
                assert!(!line.contains(&b'\n'), "{}: {line:?}", set.name());
                let minutes = (origin.time_us - BEGIN_US) / 60_000_000;
                assert!((-30..90).contains(&minutes), "{}: {minutes} minutes", set.name());
            }
        }
    }

    #[test]
    fn containers_come_and_go() {
        let mut streams = Streams::new(1, 1000);
        let mut line = || streams.line(&mut String::new()).container;
        let before: std::collections::BTreeSet<_> = (0..20_000).filter_map(|_| line()).collect();
        for _ in 0..LINES_PER_GENERATION / 10_000 {
            line();
        }
        assert!(before.len() >= 990, "{}", before.len());
        streams.lines += LINES_PER_GENERATION / 10;
        let mut line = || streams.line(&mut String::new()).container;
        let after: std::collections::BTreeSet<_> = (0..20_000).filter_map(|_| line()).collect();
        let new = after.difference(&before).count();
        assert!((80..140).contains(&new), "{new} of a thousand are new after a tenth of a generation");
    }
}
