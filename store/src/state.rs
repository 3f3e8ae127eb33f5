//! What is stored, as memory knows it: the list of parts and the head, changed together under one lock.
//!
//! The invariant: at every moment each committed record is in exactly one place, a part of `parts` or a
//! commit of `head`. A snapshot clones both lists under the lock, so it sees each record once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::catalog::{StreamRow, WindowRow};
use crate::head::Commit;
use crate::parts::PartEntry;
use crate::reader::StreamInfo;
use crate::record::StreamId;
use crate::writer::budget::Share;

/// How long commits stay at hand for live tails after they left the head, at most.
const RECENT_AGE: Duration = Duration::from_secs(60);
/// Memory of commits kept at hand for live tails after they left the head, at most. A tail that falls further
/// behind is told that it missed some.
const RECENT_BYTES: usize = 16 << 20;

/// A window and its parts, by order key.
#[derive(Clone, Debug)]
pub(crate) struct WindowParts {
    pub(crate) window: WindowRow,
    pub(crate) parts: Vec<Arc<PartEntry>>,
}

/// All windows, by start.
pub(crate) type Windows = BTreeMap<i64, WindowParts>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By id.
    pub(crate) streams: Arc<Vec<StreamInfo>>,
    pub(crate) windows: Arc<Windows>,
    /// Oldest first.
    pub(crate) head: VecDeque<Arc<Commit>>,
    /// Number of the latest commit.
    pub(crate) last_commit: u64,
    /// What could not be read of the head, in words.
    pub(crate) damaged: Arc<Vec<String>>,
    /// Commits that left the head a short while ago, oldest first.
    recent: VecDeque<(Instant, Arc<Commit>)>,
    recent_bytes: usize,
    head_memory: usize,
}

impl State {
    /// Adds a commit to the head.
    pub(crate) fn push(&mut self, commit: Arc<Commit>) {
        let streams: &mut Vec<StreamInfo> = Arc::make_mut(&mut self.streams);
        widen(streams, &commit);
        self.last_commit = commit.id;
        self.head_memory += commit.memory;
        self.head.push_back(commit);
    }

    /// Adds streams; their ids are higher than all before.
    pub(crate) fn add_streams(&mut self, rows: &[StreamRow]) {
        if !rows.is_empty() {
            Arc::make_mut(&mut self.streams).extend(rows.iter().map(StreamInfo::of_row));
        }
    }

    /// Replaces all streams; records of the head still widen their ranges.
    pub(crate) fn set_streams(&mut self, rows: &[StreamRow]) {
        let mut streams: Vec<StreamInfo> = rows.iter().map(StreamInfo::of_row).collect();
        for commit in &self.head {
            widen(&mut streams, commit);
        }
        self.streams = Arc::new(streams);
    }

    /// Moves commits up to `commit` out of the head; their records are in parts now.
    pub(crate) fn leave_head(&mut self, commit: u64) -> Left {
        let mut share = Share::default();
        let now = Instant::now();
        while self.head.front().is_some_and(|c| c.id <= commit) {
            let Some(left) = self.head.pop_front() else { break };
            share += left.share;
            self.head_memory -= left.memory;
            self.recent_bytes += left.memory;
            self.recent.push_back((now, left));
        }
        Left { share, forgotten: self.forget_recent(now) }
    }

    /// Takes out what is too old or too much to keep for live tails.
    pub(crate) fn forget_recent(&mut self, now: Instant) -> Forgotten {
        let mut forgotten = Vec::new();
        while let Some((since, _)) = self.recent.front() {
            if self.recent_bytes <= RECENT_BYTES && now.duration_since(*since) < RECENT_AGE {
                break;
            }
            let Some((_, commit)) = self.recent.pop_front() else { break };
            self.recent_bytes -= commit.memory;
            forgotten.push(commit);
        }
        Forgotten(forgotten)
    }

    /// Records of the commits after `commit`; see `Reader::commits_after`.
    pub(crate) fn commits_after(&self, commit: u64, max_records: usize) -> crate::reader::NewRecords {
        let mut found = crate::reader::NewRecords { commits: Vec::new(), missed: false, up_to: commit };
        let mut taken = 0;
        // Thousands are held, and who follows them wants the last few.
        let recent = self.recent.partition_point(|(_, kept)| kept.id <= commit);
        let head = self.head.partition_point(|kept| kept.id <= commit);
        for kept in self.recent.range(recent..).map(|(_, kept)| kept).chain(self.head.range(head..)) {
            if taken > 0 && taken + kept.records.len() > max_records {
                return found;
            }
            taken += kept.records.len();
            found.missed |= kept.id > found.up_to + 1;
            found.up_to = kept.id;
            found.commits.push((kept.id, Arc::clone(&kept.records)));
        }
        found.missed |= found.up_to < self.last_commit;
        found.up_to = found.up_to.max(self.last_commit);
        found
    }

    /// Memory of the head's records.
    pub(crate) const fn head_memory(&self) -> usize {
        self.head_memory
    }

    /// The stream `id`.
    pub(crate) fn stream(&self, id: StreamId) -> Option<&StreamInfo> {
        self.streams.binary_search_by_key(&id, |s| s.id).ok().map(|i| &self.streams[i])
    }
}

fn widen(streams: &mut [StreamInfo], commit: &Commit) {
    for group in &commit.groups {
        if let Ok(i) = streams.binary_search_by_key(&group.stream, |s| s.id) {
            streams[i].min_ns = streams[i].min_ns.min(group.min_ns);
            streams[i].max_ns = streams[i].max_ns.max(group.max_ns);
        }
    }
}

/// Commits that have left the head.
#[derive(Debug)]
#[must_use = "the budget wants its share back"]
pub(crate) struct Left {
    /// What they took from the budget.
    pub(crate) share: Share,
    pub(crate) forgotten: Forgotten,
}

/// Commits that nothing needs any more. Dropping them takes tens of milliseconds: not under the lock.
#[derive(Debug)]
#[must_use = "to be dropped without the state's lock"]
pub(crate) struct Forgotten(#[expect(dead_code, reason = "only held to be dropped")] Vec<Arc<Commit>>);

/// The state, shared by the writer's threads and all readers of this process.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Number of the latest commit; changed after the state.
    pub(crate) changed: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(state: State) -> Self {
        let changed = watch::channel(state.last_commit).0;
        Self { state: Mutex::new(state), changed }
    }

    /// The state, locked. Held for moments only: no input or output happens under it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
