//! Consistent views of the data: which streams there are, which blocks may hold an answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::block::{Block, BlockError};
use crate::record::{Labels, Record, StreamId, TimeRange};
use crate::writer::{Batch, Container, Gap, StoreError};
use crate::{Level, Prune};

/// A stream and its labels.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// The catalog's number.
    pub id: StreamId,
    /// Labels.
    pub labels: Arc<Labels>,
    /// Time of the earliest and the latest record, inclusive, as far as the catalog knows (it may be wider).
    pub min_ns: i64,
    /// See `min_ns`.
    pub max_ns: i64,
}

#[derive(Debug)]
pub(crate) struct Head {
    streams: HashMap<Arc<Labels>, StreamInfo>,
    records: BTreeMap<StreamId, Vec<Record>>,
    commits: Vec<Arc<Vec<Record>>>,
    pub(crate) cursors: HashMap<String, Vec<u8>>,
    covered: BTreeMap<String, i64>,
    gaps: Vec<Gap>,
    containers: BTreeMap<String, Container>,
    changed: watch::Sender<u64>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            streams: HashMap::new(),
            records: BTreeMap::new(),
            commits: Vec::new(),
            cursors: HashMap::new(),
            covered: BTreeMap::new(),
            gaps: Vec::new(),
            containers: BTreeMap::new(),
            changed: watch::channel(0).0,
        }
    }
}

impl Head {
    pub(crate) fn add(&mut self, batch: Batch) -> u64 {
        for record in &batch.records {
            let next = StreamId(self.streams.len() as u64 + 1);
            let info = self.streams.entry(Arc::clone(&record.labels)).or_insert_with(|| StreamInfo {
                id: next,
                labels: Arc::clone(&record.labels),
                min_ns: record.timestamp_ns,
                max_ns: record.timestamp_ns,
            });
            info.min_ns = info.min_ns.min(record.timestamp_ns);
            info.max_ns = info.max_ns.max(record.timestamp_ns);
            self.records.entry(info.id).or_default().push(record.clone());
        }
        for cursor in batch.cursors {
            if let Some(ns) = cursor.covered_ns {
                self.covered.insert(cursor.source.clone(), ns);
            }
            match cursor.position {
                Some(position) => self.cursors.insert(cursor.source, position),
                None => self.cursors.remove(&cursor.source),
            };
        }
        self.gaps.extend(batch.gaps);
        self.containers.extend(batch.containers.into_iter().map(|c| (c.id.clone(), c)));
        self.commits.push(Arc::new(batch.records));
        let commit = self.commits.len() as u64;
        self.changed.send_replace(commit);
        commit
    }
}

/// A reader of a data folder, in the writer's process or in another. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Reader {
    head: Arc<Mutex<Head>>,
}

impl Reader {
    /// Opens a folder that another process may be writing to.
    ///
    /// # Errors
    /// When there is no store in the folder, or it cannot be read.
    pub fn open(_dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { head: Arc::default() })
    }

    pub(crate) const fn of_head(head: Arc<Mutex<Head>>) -> Self {
        Self { head }
    }

    /// Everything committed up to now, unchanged by later commits, flushes and merges. Cheap; blocking
    /// (short reads of the catalog when the writer is another process): call it off the async runtime.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let mut streams: Vec<StreamInfo> = head.streams.values().cloned().collect();
        streams.sort_by_key(|s| s.id);
        let blocks = streams
            .iter()
            .filter_map(|s| head.records.get(&s.id).map(|r| (s, r)))
            .map(|(s, records)| {
                let mut sorted: Vec<&Record> = records.iter().collect();
                sorted.sort_by_key(|r| r.timestamp_ns);
                Arc::new(Block::from_records(s.id, Arc::clone(&s.labels), sorted.into_iter()))
            })
            .collect();
        Ok(Snapshot { streams, blocks })
    }

    /// The number of the latest commit, to wait on for new records.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner).changed.subscribe()
    }

    /// The records of the commits after `commit`, oldest first, for live tails: at most `max_records`
    /// (but at least one commit). `missed` is true when some of these commits left the head before this
    /// call, so that the tail has a hole.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn commits_after(&self, commit: u64, max_records: usize) -> Result<NewRecords, StoreError> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let mut commits = Vec::new();
        let mut taken = 0;
        for (i, records) in
            head.commits.iter().enumerate().skip(usize::try_from(commit).unwrap_or(usize::MAX))
        {
            if taken > 0 && taken + records.len() > max_records {
                break;
            }
            taken += records.len();
            commits.push((i as u64 + 1, Arc::clone(records)));
        }
        Ok(NewRecords { commits, missed: false })
    }

    /// Gaps that overlap `range`, by time.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn gaps(&self, range: TimeRange) -> Result<Vec<Gap>, StoreError> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(head.gaps.iter().filter(|g| range.overlaps(g.from_ns, g.to_ns)).cloned().collect())
    }

    /// Newest time covered, by source.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn coverage(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(head.covered.iter().map(|(source, ns)| (source.clone(), *ns)).collect())
    }

    /// Every container the catalog knows, by creation time.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn containers(&self) -> Result<Vec<Container>, StoreError> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let mut containers: Vec<Container> = head.containers.values().cloned().collect();
        containers.sort_by_key(|c| c.created_ns);
        Ok(containers)
    }
}

/// What [`Reader::commits_after`] found.
#[derive(Clone, Debug)]
pub struct NewRecords {
    /// Number of each commit and its records.
    pub commits: Vec<(u64, Arc<Vec<Record>>)>,
    /// Whether earlier commits could no longer be had.
    pub missed: bool,
}

/// Which blocks a query wants.
#[derive(Clone, Debug)]
pub struct BlockQuery<'a> {
    /// Time range; a block qualifies when some of its records may lie inside.
    pub range: TimeRange,
    /// Streams, `None` for all.
    pub streams: Option<&'a HashSet<StreamId>>,
    /// Levels of which a block must hold at least one, `None` for any.
    pub levels: Option<&'a [Level]>,
    /// What every matching record fulfils.
    pub prune: &'a Prune,
}

/// Blocks that may hold an answer, and how many were ruled out by what.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// The blocks, by earliest time.
    pub blocks: Vec<BlockRef>,
    /// Blocks whose streams and times qualified.
    pub considered: usize,
    /// Of these, dropped by level counts.
    pub dropped_by_level: usize,
    /// Of these, dropped by the word index.
    pub dropped_by_words: usize,
    /// Of these, dropped by the id filters.
    pub dropped_by_ids: usize,
    /// What could not be read, in words; their records are missing from the answer.
    pub damaged: Vec<String>,
}

/// A block that has not been read yet.
#[derive(Clone, Debug)]
pub struct BlockRef {
    block: Arc<Block>,
}

impl BlockRef {
    /// Stream of all its records.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        self.block.stream()
    }

    /// Labels of the stream.
    #[must_use]
    pub fn labels(&self) -> &Arc<Labels> {
        self.block.labels()
    }

    /// Time of the earliest record.
    #[must_use]
    pub fn min_ns(&self) -> i64 {
        self.block.timestamps().ok().and_then(|t| t.first().copied()).unwrap_or(i64::MIN)
    }

    /// Time of the latest record.
    #[must_use]
    pub fn max_ns(&self) -> i64 {
        self.block.timestamps().ok().and_then(|t| t.last().copied()).unwrap_or(i64::MAX)
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// Bytes of its lines, without line ends.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.block.lines().map_or(0, |l| (l.bytes().len() - l.len()) as u64)
    }

    /// Number of records by level code.
    #[must_use]
    pub fn level_counts(&self) -> [u32; Level::COUNT] {
        let mut counts = [0; Level::COUNT];
        for level in self.block.levels().unwrap_or_default() {
            counts[*level as usize] += 1;
        }
        counts
    }

    /// Opens the block; columns are decoded when first asked for. Blocking.
    ///
    /// # Errors
    /// When the file cannot be read or the block is damaged.
    pub fn open(&self) -> Result<Arc<Block>, BlockError> {
        Ok(Arc::clone(&self.block))
    }
}

/// Everything committed at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    streams: Vec<StreamInfo>,
    blocks: Vec<Arc<Block>>,
}

impl Snapshot {
    /// Every stream, by id.
    #[must_use]
    pub fn streams(&self) -> &[StreamInfo] {
        &self.streams
    }

    /// The blocks that may hold a match. Blocking: reads index files.
    ///
    /// # Errors
    /// When the catalog cannot be read; what is merely damaged is named in [`Candidates::damaged`].
    pub fn candidates(&self, query: &BlockQuery<'_>) -> Result<Candidates, StoreError> {
        let mut found = Candidates::default();
        for block in &self.blocks {
            let block = BlockRef { block: Arc::clone(block) };
            if query.streams.is_some_and(|s| !s.contains(&block.stream()))
                || !query.range.overlaps(block.min_ns(), block.max_ns())
            {
                continue;
            }
            found.considered += 1;
            let counts = block.level_counts();
            if query.levels.is_some_and(|levels| levels.iter().all(|l| counts[*l as usize] == 0)) {
                found.dropped_by_level += 1;
                continue;
            }
            found.blocks.push(block);
        }
        found.blocks.sort_by_key(BlockRef::min_ns);
        Ok(found)
    }
}
