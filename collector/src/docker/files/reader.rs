//! Reads the records of one or several generations, in order, up to the present end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::super::frames::Frame;
use super::FilesError;
use super::chain::{self, FileId, Generation};
use super::place::{MAX_RECORD, Place, READ};
use super::record;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Item {
    /// A message.
    Message(Frame),
    /// Something that is no record: messages may be missing here.
    Damage,
}

/// Reads on to the present end.
#[derive(Debug)]
pub(in super::super) struct Reader {
    /// The path of the log.
    path: PathBuf,
    /// Older generations that end before `newest` begins, the oldest first.
    older: VecDeque<Source>,
    newest: Place,
    /// Begin behind the next line end.
    inside_record: bool,
    /// Nothing stands before what is read.
    pub(in super::super) is_whole: bool,
    /// What follows on what is read cannot be told: find it by the cursor.
    pub(in super::super) loses_track: bool,
}

#[derive(Debug)]
enum Source {
    Plain(Place),
    Compressed { path: PathBuf, input: Box<MultiGzDecoder<BufReader<File>>>, rest: Vec<u8> },
}

impl Reader {
    fn over(path: &Path, older: VecDeque<Source>, newest: Place) -> Self {
        let path = path.to_owned();
        Self { path, older, newest, inside_record: false, is_whole: false, loses_track: false }
    }

    /// Reads the log at `path` from `back` bytes before its end, or from its beginning.
    ///
    /// # Errors
    /// When it cannot be read, or its first bytes are those of no record.
    pub(in super::super) fn from_end(path: &Path, back: Option<u64>) -> Result<Self, FilesError> {
        let mut generations = chain::generations(path)?;
        let newest = generations.pop().map(Place::start);
        let Some(newest) = newest else { return Err(FilesError::Unsettled { path: path.to_owned() }) };
        let head = newest.head()?;
        if head.first().is_some_and(|first| !matches!(first, b'{' | 0)) {
            return Err(FilesError::Format { path: path.to_owned() });
        }
        let length = newest.length()?;
        let mut reader = Self::over(path, VecDeque::new(), newest);
        match back {
            Some(back) if back < length => {
                reader.newest.offset = length - back;
                reader.inside_record = true;
            }
            back => {
                let back = back.map_or(u64::MAX, |back| back - length);
                (reader.older, reader.is_whole) = reaching_back(generations, back);
                reader.inside_record = !reader.is_whole && reader.older.front().is_some_and(Source::is_begun);
            }
        }
        Ok(reader)
    }

    /// Reads on behind `place`, which came from the log at `path`.
    pub(in super::super) fn behind(path: &Path, place: Place) -> Result<Self, FilesError> {
        match std::fs::metadata(path) {
            Ok(metadata) if FileId::new(&metadata) != place.id => {}
            // Not renamed, or removed with its container: what is held open is all there is.
            _ => return Ok(Self::over(path, VecDeque::new(), place)),
        }
        let mut generations = chain::generations(path)?;
        let Some(at) = position(&generations, &place)? else {
            return Ok(Self { loses_track: true, ..Self::over(path, VecDeque::new(), place) });
        };
        let mut newer = generations.split_off(at + 1);
        let Some(newest) = newer.pop() else { return Ok(Self::over(path, VecDeque::new(), place)) };
        let mut older = VecDeque::from([Source::Plain(place)]);
        older.extend(newer.into_iter().map(Source::start));
        Ok(Self::over(path, older, Place::start(newest)))
    }

    /// The next messages; `None` at the present end.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what it was.
    pub(in super::super) fn next(&mut self) -> Result<Option<Vec<Item>>, FilesError> {
        while let Some(source) = self.older.front_mut() {
            let lines = source.lines()?;
            if !lines.is_empty() {
                if let Some(items) = self.items(&lines) {
                    return Ok(Some(items));
                }
                continue;
            }
            let is_torn = source.is_torn()?;
            self.older.pop_front();
            self.inside_record = false;
            if is_torn {
                return Ok(Some(vec![Item::Damage]));
            }
        }
        loop {
            let lines = self.newest.lines()?;
            if lines.is_empty() {
                return Ok(None);
            }
            if let Some(items) = self.items(&lines) {
                return Ok(Some(items));
            }
        }
    }

    /// Where it has come to; `None` when what follows cannot be told.
    pub(in super::super) fn into_place(self) -> Option<Place> {
        (!self.loses_track).then_some(self.newest)
    }

    /// The messages in `lines`; `None` when all of it lies before the first line end.
    fn items(&mut self, lines: &[u8]) -> Option<Vec<Item>> {
        let mut lines = lines;
        if self.inside_record {
            let end = memchr::memchr(b'\n', lines)?;
            lines = &lines[end + 1..];
            self.inside_record = false;
        }
        let mut items = Vec::with_capacity(lines.len() / 128);
        for line in lines.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            match record::message(line) {
                Some(frame) => items.push(Item::Message(frame)),
                None => {
                    tracing::debug!(log = %self.path.display(), bytes = line.len(), "not a record");
                    items.push(Item::Damage);
                    items.extend(record::behind_damage(line).map(Item::Message));
                }
            }
        }
        Some(items)
    }
}

impl Source {
    fn start(generation: Generation) -> Self {
        if !generation.is_compressed {
            return Self::Plain(Place::start(generation));
        }
        let Generation { path, file, .. } = generation;
        let input = Box::new(MultiGzDecoder::new(BufReader::new(file)));
        Self::Compressed { path, input, rest: Vec::new() }
    }

    fn lines(&mut self) -> Result<Vec<u8>, FilesError> {
        let (path, input, rest) = match self {
            Self::Plain(place) => return place.lines(),
            Self::Compressed { path, input, rest } => (path, input, rest),
        };
        loop {
            let held = rest.len();
            let read = input.by_ref().take(READ as u64).read_to_end(rest);
            let read = read.map_err(|source| FilesError::Io { path: path.clone(), source })?;
            if let Some(end) = memchr::memrchr(b'\n', &rest[held..]) {
                let behind = rest.split_off(held + end + 1);
                return Ok(std::mem::replace(rest, behind));
            }
            if read == 0 {
                return Ok(Vec::new());
            }
            if rest.len() > MAX_RECORD {
                return Ok(std::mem::take(rest));
            }
        }
    }

    /// Whether reading begins behind its beginning.
    const fn is_begun(&self) -> bool {
        matches!(self, Self::Plain(place) if place.offset > 0)
    }

    /// Whether it ends inside a record.
    fn is_torn(&self) -> Result<bool, FilesError> {
        match self {
            Self::Plain(place) => Ok(place.length()? > place.offset),
            Self::Compressed { rest, .. } => Ok(!rest.is_empty()),
        }
    }
}

/// The generations that hold the last `back` bytes of `generations`, and whether these are all there is. What a
/// compressed one holds is not known: it is read whole.
fn reaching_back(generations: Vec<Generation>, back: u64) -> (VecDeque<Source>, bool) {
    let mut missing = back;
    let mut sources = VecDeque::new();
    for generation in generations.into_iter().rev() {
        if missing == 0 {
            return (sources, false);
        }
        if !generation.is_compressed && generation.length > missing {
            let offset = generation.length - missing;
            sources.push_front(Source::Plain(Place::inside(generation, offset)));
            return (sources, false);
        }
        missing = missing.saturating_sub(generation.length);
        sources.push_front(Source::start(generation));
    }
    (sources, true)
}

/// Which of `generations` the place lies in: by the file itself, or where it was compressed by its first bytes.
fn position(generations: &[Generation], place: &Place) -> Result<Option<usize>, FilesError> {
    if let Some(at) = generations.iter().position(|generation| generation.id == place.id) {
        return Ok(Some(at));
    }
    let head = place.head()?;
    for (at, generation) in generations.iter().enumerate().filter(|(_, g)| g.is_compressed) {
        let mut begins = Vec::new();
        let input = MultiGzDecoder::new(&generation.file).take(head.len() as u64).read_to_end(&mut begins);
        let rewound = (&generation.file).rewind();
        rewound.map_err(|source| FilesError::Io { path: generation.path.clone(), source })?;
        if input.is_ok() && begins == head && !head.is_empty() {
            return Ok(Some(at));
        }
    }
    Ok(None)
}
