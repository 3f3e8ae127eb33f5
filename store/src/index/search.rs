//! Reading the word index of a window, as it was at its last commit.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocSet, Index, ReloadPolicy, Searcher, TERMINATED, TantivyError, postings::SegmentPostings};

use super::{integrity, schema};
use crate::part::{Part, PartId};

/// Patterns of which it is remembered where they were found.
const MAX_ASKED: usize = 16;

/// Which words to look for, folded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WordPattern {
    pub(crate) text: Vec<u8>,
    /// The word may have more letters before `text`.
    pub(crate) open_start: bool,
    /// The word may have more letters after `text`.
    pub(crate) open_end: bool,
}

impl WordPattern {
    /// Whether `token` is like this.
    pub(crate) fn fits(&self, token: &[u8]) -> bool {
        match (self.open_start, self.open_end) {
            (false, false) => token == self.text,
            (false, true) => token.starts_with(&self.text),
            (true, false) => token.ends_with(&self.text),
            (true, true) => memchr::memmem::find(token, &self.text).is_some(),
        }
    }
}

/// The word index of a window at one commit. Any process may have it open.
pub(crate) struct WordIndex {
    searcher: Searcher,
    word: Field,
    /// Number of the first block of each part among all blocks of the index, and how many it has.
    parts: HashMap<PartId, (u32, u32)>,
    /// By segment and document: the block's number among all blocks; `u32::MAX` for deleted ones.
    blocks: Vec<Vec<u32>>,
    len: u32,
    /// What was looked for last, and where it was found.
    asked: Mutex<Vec<(WordPattern, Arc<BlockSet>)>>,
}

impl std::fmt::Debug for WordIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WordIndex").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

impl WordIndex {
    /// Opens the index in folder `dir` as it is now; an error says why it cannot be used, and that
    /// searches have to do without.
    pub(crate) fn open(dir: &Path) -> Result<Self, TantivyError> {
        let directory = tantivy::directory::MmapDirectory::open(dir)?;
        let index = Index::open(directory)?;
        if index.schema() != schema().0 {
            return Err(TantivyError::SchemaError("words of another version".to_owned()));
        }
        Self::of(dir, &index)
    }

    /// Opens the index in folder `dir` with every checksum, and reads every word and its blocks.
    pub(crate) fn verify(dir: &Path) -> Result<(), TantivyError> {
        let index = Self::open(dir)?;
        for segment in index.searcher.segment_readers() {
            let words = segment.inverted_index(index.word)?;
            let mut stream = words.terms().stream()?;
            while stream.advance() {
                words.read_postings_from_terminfo(stream.value(), IndexRecordOption::Basic)?;
            }
        }
        Ok(())
    }

    pub(super) fn of(dir: &Path, index: &Index) -> Result<Self, TantivyError> {
        integrity::check(dir, index)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let searcher: Searcher = reader.searcher();
        let fields = schema().1;

        let mut docs: Vec<Vec<Option<(u64, u64)>>> = Vec::new();
        let mut sizes: HashMap<PartId, u32> = HashMap::new();
        for segment in searcher.segment_readers() {
            let part = segment.fast_fields().u64("part")?;
            let block = segment.fast_fields().u64("block")?;
            integrity::check_counts(segment, block.num_docs())?;
            let place = |doc| {
                let (part, block) = (part.first(doc)?, block.first(doc)?);
                (!segment.is_deleted(doc)).then_some((part, block))
            };
            let places: Vec<_> = (0..segment.max_doc()).map(place).collect();
            for (part, _) in places.iter().flatten() {
                *sizes.entry(PartId(*part)).or_default() += 1;
            }
            docs.push(places);
        }
        let mut len = 0;
        let mut parts = HashMap::with_capacity(sizes.len());
        for (id, size) in sizes {
            parts.insert(id, (len, size));
            len += size;
        }
        let number = |place: Option<(u64, u64)>| {
            let (part, block) = place?;
            let (first, size) = parts.get(&PartId(part))?;
            u32::try_from(block).ok().filter(|block| block < size).map(|block| first + block)
        };
        let blocks = docs
            .into_iter()
            .map(|docs| docs.into_iter().map(|place| number(place).unwrap_or(u32::MAX)).collect())
            .collect();
        Ok(Self { searcher, word: fields.word, parts, blocks, len, asked: Mutex::default() })
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = PartId> {
        self.parts.keys().copied()
    }

    /// Whether every block of `part` is in the index.
    pub(crate) fn covers(&self, part: &Part) -> bool {
        self.parts.get(&part.id()).is_some_and(|(_, size)| *size as usize == part.blocks().len())
    }

    /// Number of a part's first block among all blocks of the index, if all of its blocks are in it; they follow each other.
    pub(crate) fn first_block(&self, part: &Part) -> Option<u32> {
        self.parts.get(&part.id()).map(|(first, _)| *first).filter(|_| self.covers(part))
    }

    /// The blocks that have a word like `pattern`.
    pub(crate) fn search(&self, pattern: &WordPattern) -> Result<Arc<BlockSet>, TantivyError> {
        let asked = || self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = asked().iter().find(|(known, _)| known == pattern) {
            return Ok(Arc::clone(found));
        }
        // A word whose beginning is not known takes a look at all words: that is not done again for each page.
        let found = Arc::new(self.look_for(pattern)?);
        let mut asked = asked();
        asked.truncate(MAX_ASKED - 1);
        asked.insert(0, (pattern.clone(), Arc::clone(&found)));
        Ok(found)
    }

    fn look_for(&self, pattern: &WordPattern) -> Result<BlockSet, TantivyError> {
        let mut found = BlockSet { bits: vec![0; (self.len as usize).div_ceil(64)] };
        for (segment, numbers) in self.searcher.segment_readers().iter().zip(&self.blocks) {
            let words = segment.inverted_index(self.word)?;
            let mut add = |info: &_| -> Result<(), TantivyError> {
                let postings = words.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
                found.add(postings, numbers);
                Ok(())
            };
            let text = pattern.text.as_slice();
            if !pattern.open_start && !pattern.open_end {
                if let Some(info) = words.terms().get(text)? {
                    add(&info)?;
                }
                continue;
            }
            let mut stream = match (pattern.open_start, after_prefix(text)) {
                (false, Some(end)) => words.terms().range().ge(text).lt(end).into_stream()?,
                (false, None) => words.terms().range().ge(text).into_stream()?,
                (true, _) => words.terms().stream()?,
            };
            while stream.advance() {
                if pattern.fits(stream.key()) {
                    add(stream.value())?;
                }
            }
        }
        Ok(found)
    }
}

/// The least bytes greater than all that begin with `prefix`.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Some of the blocks of an index.
#[derive(Clone, Debug)]
pub(crate) struct BlockSet {
    bits: Vec<u64>,
}

impl BlockSet {
    fn add(&mut self, mut postings: SegmentPostings, numbers: &[u32]) {
        let mut doc = postings.doc();
        while doc != TERMINATED {
            if let Some(number) = numbers.get(doc as usize).filter(|number| **number != u32::MAX) {
                self.bits[*number as usize / 64] |= 1 << (number % 64);
            }
            doc = postings.advance();
        }
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.bits.get(number as usize / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }
}
