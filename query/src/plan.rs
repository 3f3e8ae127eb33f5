//! From a filter and a time range to what must be read: streams, levels, and a condition for the block index.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use store::writer::StoreError;
use store::{BlockQuery, Candidates, Labels, Level, Prune, Snapshot, StreamId, TimeRange};

use crate::filter::{Filter, LevelSet};

/// Most different conditions of streams that are still handed to the index, rather than none.
const MAX_DISTINCT_PRUNES: usize = 8;

/// What a query reads. Made from a [`Filter`], or by another query language.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Time range.
    pub range: TimeRange,
    /// Streams, `None` for all.
    pub streams: Option<HashSet<StreamId>>,
    /// Levels of which a record must have one, `None` for any.
    pub levels: Option<Vec<Level>>,
    /// What every matching record fulfils.
    pub prune: Prune,
}

impl Plan {
    /// The blocks that may hold a match. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn candidates(&self, snapshot: &Snapshot) -> Result<Candidates, StoreError> {
        if self.streams.as_ref().is_some_and(HashSet::is_empty) || self.range.start_ns >= self.range.end_ns {
            return Ok(Candidates::default());
        }
        snapshot.candidates(&BlockQuery {
            range: self.range,
            streams: self.streams.as_ref(),
            levels: self.levels.as_deref(),
            prune: &self.prune,
        })
    }
}

/// A filter, and what is left of it for each stream of a snapshot.
#[derive(Clone, Debug)]
pub struct StreamFilters {
    by_stream: HashMap<StreamId, Arc<Filter>>,
}

impl StreamFilters {
    /// Resolves `filter` against the labels of every stream with records in `range`.
    #[must_use]
    pub fn of(filter: &Filter, snapshot: &Snapshot, range: TimeRange) -> Self {
        let uses_labels = !filter.fields().is_empty();
        let shared = Arc::new(filter.clone());
        let mut by_stream = HashMap::new();
        for stream in snapshot.streams() {
            if !range.overlaps(stream.min_ns, stream.max_ns) {
                continue;
            }
            if !uses_labels {
                by_stream.insert(stream.id, Arc::clone(&shared));
            } else if let Some(rest) = filter.for_stream(&stream.labels) {
                by_stream.insert(stream.id, Arc::new(rest));
            }
        }
        Self { by_stream }
    }

    /// What is left to test for the records of `stream`, `None` when none can pass.
    #[must_use]
    pub fn get(&self, stream: StreamId) -> Option<&Arc<Filter>> {
        self.by_stream.get(&stream)
    }

    /// How many streams have records that may pass.
    pub(crate) fn num_streams(&self) -> usize {
        self.by_stream.len()
    }

    /// What must be read to answer.
    #[must_use]
    pub fn plan(&self, range: TimeRange) -> Plan {
        let mut levels = LevelSet::NONE;
        let mut prunes: Vec<Prune> = Vec::new();
        let mut last: Option<&Arc<Filter>> = None;
        for filter in self.by_stream.values() {
            if last.is_some_and(|last| Arc::ptr_eq(last, filter)) {
                continue;
            }
            last = Some(filter);
            levels = levels.or(filter.levels());
            let prune = filter.prune();
            if prunes.len() <= MAX_DISTINCT_PRUNES && !prunes.contains(&prune) {
                prunes.push(prune);
            }
        }
        let prune = if prunes.len() == 1 {
            prunes.swap_remove(0)
        } else if prunes.len() > MAX_DISTINCT_PRUNES || prunes.contains(&Prune::Any) {
            Prune::Any
        } else {
            Prune::Or(prunes)
        };
        let streams = self.by_stream.keys().copied().collect();
        Plan { range, streams: Some(streams), levels: levels.listed(), prune }
    }
}

/// Whether a label set is one of a filter's streams; for records of live tails.
#[must_use]
pub fn passes_labels(filter: &Filter, labels: &Labels) -> bool {
    filter.for_stream(labels).is_some()
}
