//! The committer: the one thread that writes to the catalog.
//!
//! It stores all appends that are waiting as one transaction, then publishes their records to the head, then
//! answers. So a record is visible exactly when it is durable, and one sync to disk serves many appends.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::catalog::{CatalogWriter, NewBatch, StreamRow};
use crate::error::StoreError;
use crate::hash::PointerHasher;
use crate::head::{Commit, memory_of};
use crate::payload::{self, Encoder};
use crate::record::{Labels, Record, StreamId};
use crate::writer::budget::Share;
use crate::writer::lifecycle::Step;
use crate::writer::threads::Common;
use crate::writer::{Batch, Committed};

/// Time from the start of one commit to the next while appends are small: each costs a sync, and this bounds
/// them to 200 a second. An append that finds the committer idle for that long is stored at once.
const COMMIT_INTERVAL: Duration = Duration::from_millis(5);
/// Records of this much memory are stored without waiting for [`COMMIT_INTERVAL`].
const LARGE_BYTES: usize = 1 << 20;
/// Records of this much memory close a commit; what else waits goes into the next one.
const MAX_COMMIT_BYTES: usize = 16 << 20;
/// Memory of records above which those of a commit are split into several payloads.
const MAX_PAYLOAD_BYTES: usize = 8 << 20;

/// A batch on its way to disk.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) batch: Batch,
    /// Memory of its records.
    pub(crate) bytes: usize,
    pub(crate) share: Share,
    /// When it was handed over.
    pub(crate) since: Instant,
    pub(crate) reply: oneshot::Sender<Result<Committed, StoreError>>,
}

/// Work for the committer, done in order.
pub(crate) enum Message {
    Append(Append),
    /// Something else that writes to the catalog.
    Write(Box<dyn FnOnce(&mut Committer) + Send>),
    /// Store what is queued, accept nothing more.
    Close,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) catalog: CatalogWriter,
    pub(crate) streams: Streams,
    encoder: Encoder,
    next_seq: u64,
    last_start: Option<Instant>,
    common: Arc<Common>,
    /// Memory of the head at which the flusher is woken.
    flush_bytes: usize,
}

impl Committer {
    pub(crate) fn new(
        catalog: CatalogWriter,
        streams: Streams,
        next_seq: u64,
        common: Arc<Common>,
        flush_bytes: usize,
    ) -> Result<Self, StoreError> {
        let encoder =
            Encoder::new().map_err(|e| StoreError::io("set up compression for", Path::new("batches"), e))?;
        Ok(Self { catalog, streams, encoder, next_seq, last_start: None, common, flush_bytes })
    }

    /// Works until every sender is gone or [`Message::Close`] has come and what was queued is stored.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(message) = queue.blocking_recv() {
            if self.common.tenure.is_stopping() {
                break;
            }
            match message {
                Message::Append(append) => self.commit_with_waiting(append, &mut queue),
                other => self.do_other(other, &mut queue),
            }
            if self.catalog.log_is_due() {
                self.common.copier.wake();
            }
        }
        if !self.common.tenure.is_stopping()
            && let Err(error) = self.catalog.shrink()
        {
            tracing::warn!(%error, "the catalog keeps its size");
        }
        self.common.tenure.stop();
        self.common.flusher.wake();
        self.common.keeper.wake();
        self.common.copier.wake();
    }

    fn do_other(&mut self, message: Message, queue: &mut mpsc::Receiver<Message>) {
        match message {
            Message::Write(write) => write(self),
            Message::Close => queue.close(),
            Message::Append(_) => unreachable!("BUG: appends are not other work"),
        }
    }

    /// Commits `first` with the appends that wait behind it, then does the other work they were mixed with.
    fn commit_with_waiting(&mut self, first: Append, queue: &mut mpsc::Receiver<Message>) {
        if first.bytes < LARGE_BYTES
            && let Some(last) = self.last_start
        {
            std::thread::sleep(COMMIT_INTERVAL.saturating_sub(last.elapsed()));
        }
        let mut bytes = first.bytes;
        let mut appends = vec![first];
        let mut other = None;
        while bytes < MAX_COMMIT_BYTES {
            match queue.try_recv() {
                Ok(Message::Append(append)) => {
                    bytes += append.bytes;
                    appends.push(append);
                }
                Ok(message) => {
                    other = Some(message);
                    break;
                }
                Err(_) => break,
            }
        }
        self.commit(appends);
        if let Some(other) = other {
            self.do_other(other, queue);
        }
    }

    fn commit(&mut self, appends: Vec<Append>) {
        let started = Instant::now();
        self.last_start = Some(started);
        let mut share = Share::default();
        let mut batches = Vec::with_capacity(appends.len());
        let mut replies = Vec::with_capacity(appends.len());
        for append in appends {
            share += append.share;
            batches.push(append.batch);
            replies.push((append.since, append.reply));
        }
        let result = self.store(&mut batches, share);
        if result.is_err() {
            self.common.budget.give_back(share);
        }
        let took = started.elapsed();
        self.common.metrics.commit_seconds.observe(took.as_secs_f64());
        match &result {
            Ok(_) => self.common.metrics.commits.inc(),
            Err(error) => {
                self.common.metrics.commit_failures.inc();
                tracing::error!(%error, appends = replies.len(), "records could not be stored; their sources will try again");
            }
        }
        for (since, reply) in replies {
            let waited = started.saturating_duration_since(since);
            // Whoever no longer waits does not want the answer.
            drop(reply.send(result.clone().map(|commit| Committed { commit, waited, took })));
        }
    }

    /// Stores and publishes `batches`, whose records are taken out. Returns the number of the latest commit.
    fn store(&mut self, batches: &mut [Batch], share: Share) -> Result<u64, StoreError> {
        let records = match batches {
            [batch] => std::mem::take(&mut batch.records),
            _ => batches.iter_mut().flat_map(|batch| batch.records.drain(..)).collect(),
        };
        let (streams, new_streams) = self.streams.assign(&records);
        let stored = self.store_records(records, streams, &new_streams, batches);
        if stored.is_err() {
            self.streams.forget(new_streams.iter().map(|row| &row.labels));
        }
        let mut commits = stored?;
        self.common.tenure.reached(Step::Committed)?;
        if let Some(last) = commits.last_mut() {
            last.share = share;
        }
        let mut state = self.common.shared.lock();
        state.add_streams(&new_streams);
        for commit in commits {
            self.common.metrics.head_bytes.add(commit.memory as i64);
            self.common.metrics.head_records.add(commit.records.len() as i64);
            state.push(Arc::new(commit));
        }
        let commit = state.last_commit;
        let flush_is_due = state.head_memory() >= self.flush_bytes;
        drop(state);
        if flush_is_due {
            self.common.flusher.wake();
        }
        self.common.shared.changed.send_replace(commit);
        Ok(commit)
    }

    /// Gives records that go straight into parts their streams and order keys. New streams are stored at once;
    /// when the parts come to nothing, they have no records, which is no harm.
    pub(crate) fn prepare_load(&mut self, records: Vec<Record>) -> Result<Commit, StoreError> {
        let (streams, new_streams) = self.streams.assign(&records);
        if !new_streams.is_empty() {
            if let Err(error) = self.catalog.commit(&new_streams, &[], std::iter::empty()) {
                self.streams.forget(new_streams.iter().map(|row| &row.labels));
                return Err(error);
            }
            self.common.shared.lock().add_streams(&new_streams);
        }
        let first_seq = self.next_seq;
        self.next_seq += records.len() as u64;
        Ok(Commit::new(0, first_seq, records, &streams))
    }

    fn store_records(
        &mut self,
        mut records: Vec<Record>,
        mut streams: Vec<StreamId>,
        new_streams: &[StreamRow],
        batches: &[Batch],
    ) -> Result<Vec<Commit>, StoreError> {
        let mut pieces = Vec::new();
        let mut payloads = Vec::new();
        let mut seq = self.next_seq;
        while !records.is_empty() {
            let len = payload_len(&records);
            let later_records = records.split_off(len);
            let later_streams = streams.split_off(len);
            let payload = self
                .encoder
                .encode(&records, &streams)
                .map_err(|e| StoreError::Damaged { what: format!("records that cannot be encoded: {e}") })?;
            self.common.metrics.payload_bytes.inc_by(payload.len() as u64);
            payloads.push(new_batch(&records, seq, payload));
            pieces.push((
                seq,
                std::mem::replace(&mut records, later_records),
                std::mem::replace(&mut streams, later_streams),
            ));
            seq += len as u64;
        }
        let ids = self.catalog.commit(new_streams, &payloads, batches.iter())?;
        self.next_seq = seq;
        let commit = |((seq, records, streams), id): ((u64, Vec<Record>, Vec<StreamId>), u64)| {
            Commit::new(id, seq, records, &streams)
        };
        Ok(pieces.into_iter().zip(ids).map(commit).collect())
    }
}

/// How many leading records make one payload; at least one.
fn payload_len(records: &[Record]) -> usize {
    let mut bytes = 0;
    for (i, record) in records.iter().enumerate() {
        bytes += memory_of(record);
        if i > 0 && bytes > MAX_PAYLOAD_BYTES {
            return i;
        }
    }
    records.len()
}

fn new_batch(records: &[Record], first_seq: u64, payload: Vec<u8>) -> NewBatch {
    NewBatch {
        first_seq,
        records: records.len() as u64,
        min_ns: records.iter().map(|r| r.timestamp_ns).min().unwrap_or(0),
        max_ns: records.iter().map(|r| r.timestamp_ns).max().unwrap_or(0),
        checksum: payload::checksum(&payload),
        payload,
    }
}

/// The numbers of streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    ids: HashMap<Arc<Labels>, StreamId>,
    /// Highest number ever given.
    last: u64,
}

impl Streams {
    pub(crate) fn new(rows: &[StreamRow], last: u64) -> Self {
        Self { ids: rows.iter().map(|row| (Arc::clone(&row.labels), row.id)).collect(), last }
    }

    /// The stream of each record, and the streams seen for the first time.
    fn assign(&mut self, records: &[Record]) -> (Vec<StreamId>, Vec<StreamRow>) {
        // Records of a stream mostly share their labels, so most are told by the address.
        let mut by_address: HashMap<usize, StreamId, BuildHasherDefault<PointerHasher>> = HashMap::default();
        let mut new = Vec::new();
        let mut streams = Vec::with_capacity(records.len());
        for record in records {
            let address = Arc::as_ptr(&record.labels).addr();
            let stream = by_address.entry(address).or_insert_with(|| {
                *self.ids.entry(Arc::clone(&record.labels)).or_insert_with(|| {
                    self.last += 1;
                    let id = StreamId(self.last);
                    let labels = Arc::clone(&record.labels);
                    new.push(StreamRow { id, labels, min_ns: i64::MAX, max_ns: i64::MIN });
                    id
                })
            });
            streams.push(*stream);
        }
        (streams, new)
    }

    /// Takes back what [`Streams::assign`] gave, or drops streams that are deleted.
    pub(crate) fn forget<'a>(&mut self, streams: impl Iterator<Item = &'a Arc<Labels>>) {
        for labels in streams {
            self.ids.remove(labels);
        }
    }
}
