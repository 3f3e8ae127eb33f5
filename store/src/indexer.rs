//! Feeding the word indexes: one for each window, behind the parts and never in their way.
//!
//! The index is derived data. What it lacks makes queries slower, not wrong; what is missing after a crash is
//! found by comparing each window's index with its parts, newest windows first, one at a time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::catalog::WindowRow;
use crate::error::StoreError;
use crate::index::{IndexError, WindowIndex, WordIndex};
use crate::part::{Part, PartId};
use crate::parts::{PartEntry, index_dir};
use crate::state::WindowParts;
use crate::terms::BlockWords;
use crate::writer::lifecycle::Step;
use crate::writer::threads::Common;

/// Time between two commits of an index: each takes up to 700 ms and makes a segment.
const COMMIT_INTERVAL: Duration = Duration::from_secs(10);
/// Parts whose words wait in memory, about 3 MB each. The words of further ones are read from the part later.
const MAX_FRESH_PARTS: usize = 32;
/// Indexes kept open for writing: each has threads and up to 15 MB of memory.
const MAX_OPEN: usize = 2;

/// The words of parts that are not yet in their window's index.
#[derive(Debug, Default)]
pub(crate) struct FreshWords(Mutex<Vec<Fresh>>);

#[derive(Debug)]
struct Fresh {
    /// Start of the window.
    start_ns: i64,
    part: PartId,
    /// `None` when there were too many to keep.
    words: Option<Vec<BlockWords>>,
}

impl FreshWords {
    /// The words of a part that has just been installed.
    pub(crate) fn add(&self, window: &WindowRow, part: u64, words: Vec<BlockWords>) {
        let mut fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let words = (fresh.len() < MAX_FRESH_PARTS).then_some(words);
        fresh.push(Fresh { start_ns: window.start_ns, part: PartId(part), words });
    }

    fn take(&self) -> Vec<Fresh> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The writing side of the indexes.
#[derive(Debug)]
pub(crate) struct Indexer {
    common: Arc<Common>,
    /// Oldest first.
    open: Vec<Open>,
    /// Starts of windows whose index has not been compared with its parts since the start; newest last.
    unchecked: Vec<i64>,
    last_commit: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    window: WindowRow,
    index: WindowIndex,
    /// Parts in it, once it has been compared with the window's parts.
    parts: Option<HashSet<PartId>>,
}

impl Indexer {
    pub(crate) fn new(common: Arc<Common>) -> Self {
        let unchecked = common.shared.lock().windows.keys().copied().collect();
        Self { common, open: Vec::new(), unchecked, last_commit: None }
    }

    /// Indexes what is new, if enough time has passed or `now`; else looks after one window of old.
    pub(crate) fn work(&mut self, now: bool) -> Result<(), StoreError> {
        let windows = Arc::clone(&self.common.shared.lock().windows);
        self.open.retain(|open| windows.get(&open.window.start_ns).is_some_and(|w| w.window == open.window));
        self.common
            .metrics
            .unindexed_parts
            .set(i64::try_from(self.common.fresh_words.len()).unwrap_or(i64::MAX));
        if self.common.fresh_words.len() == 0 {
            return self.check_one();
        }
        if !now && self.last_commit.is_some_and(|at| at.elapsed() < COMMIT_INTERVAL) {
            return Ok(());
        }
        self.common.tenure.reached(Step::BeforeIndex)?;
        let mut by_window: BTreeMap<i64, Vec<Fresh>> = BTreeMap::new();
        for fresh in self.common.fresh_words.take() {
            by_window.entry(fresh.start_ns).or_default().push(fresh);
        }
        for (start_ns, fresh) in by_window {
            self.common.tenure.check()?;
            if let Some(entry) = windows.get(&start_ns) {
                self.report(start_ns, |indexer| indexer.add(entry, fresh));
            }
        }
        self.last_commit = Some(Instant::now());
        self.common.metrics.unindexed_parts.set(0);
        Ok(())
    }

    /// An index that fails is closed and looked after later; queries go on without it.
    fn report(&mut self, start_ns: i64, work: impl FnOnce(&mut Self) -> Result<(), IndexError>) {
        if let Err(error) = work(self) {
            tracing::warn!(%error, "queries of this window go on without its word index");
            self.open.retain(|open| open.window.start_ns != start_ns);
            self.unchecked.insert(0, start_ns);
        }
    }

    fn add(&mut self, entry: &WindowParts, fresh: Vec<Fresh>) -> Result<(), IndexError> {
        let live: HashSet<PartId> = entry.parts.iter().map(|part| PartId(part.row.id)).collect();
        let open = self.open(&entry.window)?;
        let mut complete = true;
        for fresh in fresh.into_iter().filter(|fresh| live.contains(&fresh.part)) {
            match fresh.words {
                Some(words) => open.index.add_part(fresh.part, &words)?,
                None => complete = false,
            }
        }
        match &open.parts {
            Some(parts) if complete => {
                for gone in parts.difference(&live) {
                    open.index.remove_part(*gone);
                }
                open.index.commit()?;
            }
            _ => {
                open.index.commit()?;
                sync(open, &entry.parts)?;
            }
        }
        open.parts = Some(live);
        self.unchecked.retain(|start| *start != entry.window.start_ns);
        Ok(())
    }

    /// The index of a window, opened if need be; the one opened first is closed when there are too many.
    fn open(&mut self, window: &WindowRow) -> Result<&mut Open, IndexError> {
        let at = match self.open.iter().position(|open| open.window == *window) {
            Some(at) => at,
            None => {
                if self.open.len() >= MAX_OPEN {
                    self.open.remove(0).index.close()?;
                }
                let index = WindowIndex::open(&index_dir(&self.common.dir, window))?;
                self.open.push(Open { window: window.clone(), index, parts: None });
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[at])
    }

    /// Compares the index of one window with its parts, and mends it.
    fn check_one(&mut self) -> Result<(), StoreError> {
        let Some(start_ns) = self.unchecked.pop() else { return Ok(()) };
        let windows = Arc::clone(&self.common.shared.lock().windows);
        let Some(entry) = windows.get(&start_ns) else { return Ok(()) };
        if is_complete(&index_dir(&self.common.dir, &entry.window), &entry.parts) {
            return Ok(());
        }
        self.common.tenure.check()?;
        self.report(start_ns, |indexer| {
            let open = indexer.open(&entry.window)?;
            sync(open, &entry.parts)?;
            open.parts = Some(entry.parts.iter().map(|part| PartId(part.row.id)).collect());
            Ok(())
        });
        Ok(())
    }
}

/// Whether the index in `dir` holds exactly the parts that can be read.
fn is_complete(dir: &std::path::Path, entries: &[Arc<PartEntry>]) -> bool {
    let Ok(index) = WordIndex::open(dir) else { return false };
    let live: HashSet<PartId> = entries.iter().map(|entry| PartId(entry.row.id)).collect();
    index.parts().all(|part| live.contains(&part)) && readable(entries).iter().all(|part| index.covers(part))
}

/// Damaged parts are reported where they are read; here they are only left out.
fn readable(entries: &[Arc<PartEntry>]) -> Vec<Arc<Part>> {
    entries.iter().filter_map(|entry| Part::open(&entry.path).ok()).map(Arc::new).collect()
}

fn sync(open: &mut Open, entries: &[Arc<PartEntry>]) -> Result<(), IndexError> {
    for damaged in open.index.sync(&readable(entries))? {
        tracing::error!(damaged, "cannot index a block");
    }
    Ok(())
}
