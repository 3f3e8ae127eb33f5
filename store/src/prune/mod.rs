//! What a query requires of a line, as far as the block index can tell.
//!
//! A [`Prune`] may keep blocks that hold no match; it must never drop one that does. The query engine
//! verifies every line it decodes.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use plan::{Compiler, Need};
use tantivy::TantivyError;

use crate::block::{Needle, Phrase};
use crate::index::{BlockSet, WordIndex, WordPattern};
use crate::part::{FilterCache, Part, PhrasesInPart};
use crate::terms::{BlockWords, IdFilter};

/// A condition that every matching record fulfils.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prune {
    /// Nothing is known: every block may hold a match.
    Any,
    /// The line, or one of its pairs' values, holds this text.
    Text(Text),
    /// A pair with this name has exactly this value.
    Pair {
        /// Name of the pair.
        name: String,
        /// Its whole value.
        value: String,
    },
    /// All hold.
    And(Vec<Self>),
    /// At least one holds; empty means no record can match.
    Or(Vec<Self>),
}

/// A piece of text that occurs in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The bytes looked for.
    pub bytes: Vec<u8>,
    /// The first byte is known to begin a token: it is preceded by the line's start or a byte that is
    /// not part of a token. Without it, the text may start inside a longer token.
    pub starts_token: bool,
    /// The same for the last byte and the end of a token.
    pub ends_token: bool,
    /// Letters match regardless of case, by Unicode's simple case folding, as in regular expressions.
    pub ignore_case: bool,
}

impl Text {
    /// Text that may start and end anywhere, as a substring search has it.
    #[must_use]
    pub fn substring(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), starts_token: false, ends_token: false, ignore_case: false }
    }
}

/// What a query needs of a block, made once per query.
#[derive(Debug)]
pub(crate) struct Plan {
    need: Need,
    patterns: Vec<WordPattern>,
    /// Texts that every match holds as they are.
    phrases: Vec<Phrase>,
    /// Whether groups of blocks can tell something.
    asks_groups: bool,
}

/// A plan and the blocks of one part, held against each other.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    plan: &'a Plan,
    part: &'a Part,
    words: &'a WordHits<'a>,
    /// Number of the part's first block in the word index, if that has all of them.
    first_in_index: Option<u32>,
    phrases: PhrasesInPart<'a>,
    cache: &'a FilterCache,
    /// By number of the group, once it was asked: whether it has what is needed.
    groups: Vec<Option<bool>>,
}

/// What is known of ids.
#[derive(Clone, Copy, Debug)]
enum Ids<'a> {
    Nothing,
    /// Of a group of blocks: its long ids.
    Group(&'a IdFilter<'a>),
    Block(&'a IdFilter<'a>),
}

/// What the word index of one window says to a plan.
#[derive(Debug)]
pub(crate) struct WordHits<'a> {
    /// `None`: there is no index to be used, every word may be in every block.
    index: Option<&'a WordIndex>,
    /// Blocks by number of the pattern.
    found: Vec<Arc<BlockSet>>,
}

/// What becomes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may hold a match.
    Keep,
    /// Its words rule it out, or the templates they stand in.
    DroppedByWords,
    /// Its ids rule it out.
    DroppedByIds,
}

impl Plan {
    pub(crate) fn new(prune: &Prune) -> Self {
        let mut compiler = Compiler::default();
        let need = compiler.compile(prune);
        let mut phrases = Vec::new();
        collect_phrases(prune, &mut phrases);
        let asks_groups = need.asks_groups();
        Self { need, patterns: compiler.patterns, phrases, asks_groups }
    }

    /// Whether every block would be kept: nothing needs to be asked.
    pub(crate) fn keeps_all(&self) -> bool {
        matches!(&self.need, Need::Nothing) || matches!(&self.need, Need::All(needs) if needs.is_empty())
    }

    /// Whether a block's words have what is needed, without an index.
    #[cfg(fuzzing)]
    pub(crate) fn has_words(&self, has_word: impl Fn(&WordPattern) -> bool, runs_complete: bool) -> bool {
        let has = |pattern: usize, or_run| has_word(&self.patterns[pattern]) || (or_run && !runs_complete);
        self.need.holds(&has, Ids::Nothing)
    }

    /// Whether records with these terms may hold a match; without `words` or `ids`, as far as the others tell.
    pub(crate) fn may_hold(
        &self,
        words: Option<&BlockWords>,
        runs_complete: bool,
        ids: Option<&IdFilter<'_>>,
    ) -> bool {
        let has_word = |pattern: usize, or_run: bool| match words {
            Some(words) => words.have(&self.patterns[pattern]) || (or_run && !runs_complete),
            None => true,
        };
        self.need.holds(&has_word, ids.map_or(Ids::Nothing, Ids::Block))
    }

    /// Asks the word index of a window, once for all its blocks.
    ///
    /// # Errors
    /// When the index cannot be read: go on with [`WordHits::unknown`].
    pub(crate) fn words<'a>(&self, index: &'a WordIndex) -> Result<WordHits<'a>, TantivyError> {
        let found = self.patterns.iter().map(|pattern| index.search(pattern)).collect::<Result<_, _>>()?;
        Ok(WordHits { index: Some(index), found })
    }

    /// The plan as it is held against blocks of `part`.
    pub(crate) fn judge<'a>(
        &'a self,
        part: &'a Part,
        words: &'a WordHits<'a>,
        cache: &'a FilterCache,
    ) -> Judge<'a> {
        let first_in_index = words.index.and_then(|index| index.first_block(part));
        let phrases = PhrasesInPart::new(part, &self.phrases);
        Judge { plan: self, part, words, first_in_index, phrases, cache, groups: Vec::new() }
    }
}

impl Judge<'_> {
    /// Whether block `number` may hold a match.
    pub(crate) fn verdict(&mut self, number: u32) -> Verdict {
        let Some(meta) = self.part.blocks().get(number as usize) else { return Verdict::Keep };
        let in_index = self.first_in_index.map(|first| first + number);
        let has_word = |pattern: usize, or_run: bool| match (in_index, self.words.found.get(pattern)) {
            (Some(number), Some(found)) => found.contains(number) || (or_run && !meta.runs_complete),
            _ => true,
        };
        let need = &self.plan.need;
        if !need.holds(&has_word, Ids::Nothing) {
            return Verdict::DroppedByWords;
        }
        // Before the phrases: a group is asked once for all its blocks.
        if self.plan.asks_groups && !self.group_may_hold(number) {
            return Verdict::DroppedByIds;
        }
        if !self.phrases.may_be_in(number) {
            return Verdict::DroppedByWords;
        }
        if !need.asks_ids() {
            return Verdict::Keep;
        }
        // What a group lets pass are few blocks, which need not lie together.
        let alone = self.plan.asks_groups && self.part.group_of(number).is_some();
        match self.part.with_ids(number, alone, self.cache, |ids| need.holds(&has_word, Ids::Block(ids))) {
            Some(false) => Verdict::DroppedByIds,
            _ => Verdict::Keep,
        }
    }

    /// Whether the long ids of the group of block `number` allow a match in one of its blocks.
    fn group_may_hold(&mut self, number: u32) -> bool {
        let Some(group) = self.part.group_of(number) else { return true };
        if let Some(Some(known)) = self.groups.get(group as usize) {
            return *known;
        }
        let need = &self.plan.need;
        let ask = |ids: &IdFilter<'_>| need.holds(&|_, _| true, Ids::Group(ids));
        let may_hold = self.part.with_long_ids(group, self.cache, ask) != Some(false);
        if self.groups.len() <= group as usize {
            self.groups.resize(group as usize + 1, None);
        }
        self.groups[group as usize] = Some(may_hold);
        may_hold
    }
}

/// The texts that every match holds as they are.
fn collect_phrases(prune: &Prune, phrases: &mut Vec<Phrase>) {
    match prune {
        Prune::Text(text) if !text.ignore_case && !text.bytes.is_empty() => {
            let needle = Needle::exact(&text.bytes);
            phrases.push(Phrase::new(needle.beginning().cloned().unwrap_or(needle)));
        }
        Prune::And(all) => all.iter().for_each(|prune| collect_phrases(prune, phrases)),
        Prune::Text(_) | Prune::Pair { .. } | Prune::Or(_) | Prune::Any => {}
    }
}

impl WordHits<'_> {
    /// For a window whose index cannot be used.
    pub(crate) const fn unknown() -> Self {
        Self { index: None, found: Vec::new() }
    }
}

impl Need {
    /// Whether a block has what is needed, as far as words and `ids` tell.
    fn holds(&self, has_word: &impl Fn(usize, bool) -> bool, ids: Ids<'_>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Word { pattern, or_run } => has_word(*pattern, *or_run),
            Self::Id(id) => match ids {
                Ids::Nothing => true,
                Ids::Group(ids) => !id.is_long() || ids.may_contain(*id),
                Ids::Block(ids) => ids.may_contain(*id),
            },
            Self::LongerId(part) => match ids {
                Ids::Nothing => true,
                Ids::Group(ids) | Ids::Block(ids) => {
                    ids.may_contain_longer(part.text.len(), |id| part.fits(id))
                }
            },
            Self::All(needs) => needs.iter().all(|need| need.holds(has_word, ids)),
            Self::One(needs) => needs.iter().any(|need| need.holds(has_word, ids)),
        }
    }

    fn asks_ids(&self) -> bool {
        match self {
            Self::Nothing | Self::Word { .. } => false,
            Self::Id(_) | Self::LongerId(_) => true,
            Self::All(needs) | Self::One(needs) => needs.iter().any(Self::asks_ids),
        }
    }

    fn asks_groups(&self) -> bool {
        match self {
            // Nearly each group has ids longer than the text.
            Self::Nothing | Self::Word { .. } | Self::LongerId(_) => false,
            Self::Id(id) => id.is_long(),
            Self::All(needs) | Self::One(needs) => needs.iter().any(Self::asks_groups),
        }
    }
}
