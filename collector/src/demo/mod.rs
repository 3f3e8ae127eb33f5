//! `run --demo`: a small shop's traffic, so that the first minute works without Docker.
//!
//! Six services write as containers would, through the same joiner, enricher and writer. At the first start an
//! hour of history comes before the live lines. [`Traffic`] is deterministic and keeps the true call tree of every
//! line, for tests of what is found out from lines alone.

mod lines;
mod random;
mod shop;
#[cfg(test)]
mod tests;
mod traffic;
#[cfg(test)]
mod trees;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::record::attribute;
use store::writer::StoreError;
use store::{Batch, Container, CursorUpdate, Labels, Origin, Pair, Position, Record, Writer};
use tokio_util::sync::CancellationToken;

use crate::config::IngestConfig;
use crate::multiline::{Joined, Joiner, RawLine};
use crate::parse::{Enricher, ParseOptions};
pub use shop::{Call, Outcome, Request, Service};
pub use traffic::{CallRef, DemoLine, Traffic};

/// Key of the cursor: its presence says that the history is there.
const SOURCE: &str = "demo";
/// Compose project and host of the shop.
const PROJECT: &str = "demo";
/// History made at the first start.
const HISTORY_NS: i64 = 3_600_000_000_000;
/// Lines of history stored at once.
const HISTORY_BATCH: usize = 4096;
/// How often live lines are written.
const TICK: Duration = Duration::from_millis(50);

/// Plays the shop into `writer` until `cancel`; then writes what is held back and ends.
///
/// # Errors
/// When the store fails.
pub async fn run(
    config: IngestConfig,
    writer: Writer,
    enricher: Arc<Enricher>,
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    let now_ns = now_ns();
    let first_time = writer.cursor(SOURCE)? == Position::Unset;
    let start_ns = if first_time { now_ns - HISTORY_NS } else { now_ns };
    let seed = now_ns.cast_unsigned(); // ids of two runs differ
    let mut demo = Demo::new(&config, enricher, Traffic::new(seed, start_ns), now_ns);
    if first_time {
        // Some hundred thousand lines: off the runtime.
        let (writer, cancel) = (writer.clone(), cancel.clone());
        let history = tokio::task::spawn_blocking(move || {
            demo.history(&writer, now_ns, &cancel)?;
            Ok::<_, StoreError>(demo)
        });
        demo = history.await.map_err(|_| StoreError::Closed)??;
    }
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !cancel.is_cancelled() {
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let batch = demo.lines_until(crate::demo::now_ns(), usize::MAX);
        if !batch.records.is_empty() {
            writer.append(batch).await?;
        }
    }
    let batch = demo.rest();
    if !batch.records.is_empty() {
        writer.append(batch).await?;
    }
    Ok(())
}

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// The shop's containers on their way into the store.
struct Demo {
    traffic: Traffic,
    enricher: Arc<Enricher>,
    /// By service and whether to stderr.
    streams: BTreeMap<(Service, bool), Stream>,
    /// Told to the store with the next batch.
    containers: Vec<Container>,
    last_ns: i64,
}

struct Stream {
    joiner: Joiner,
    labels: Arc<Labels>,
    pairs: Vec<Pair>,
}

impl Demo {
    fn new(config: &IngestConfig, enricher: Arc<Enricher>, traffic: Traffic, now_ns: i64) -> Self {
        let mut streams = BTreeMap::new();
        for service in Service::ALL {
            for stderr in [false, true] {
                streams.insert((service, stderr), Stream::new(config, service, stderr));
            }
        }
        let containers = Service::ALL.into_iter().map(|service| container(service, now_ns)).collect();
        Self { traffic, enricher, streams, containers, last_ns: now_ns }
    }

    /// Stores all lines up to `end_ns`.
    fn history(
        &mut self,
        writer: &Writer,
        end_ns: i64,
        cancel: &CancellationToken,
    ) -> Result<(), StoreError> {
        while self.traffic.next_ns() < end_ns && !cancel.is_cancelled() {
            let batch = self.lines_until(end_ns, HISTORY_BATCH);
            writer.append_blocking(batch)?;
        }
        Ok(())
    }

    /// The records of the next lines, at most `most`, written before `end_ns`.
    fn lines_until(&mut self, end_ns: i64, most: usize) -> Batch {
        let (now, mut records) = (Instant::now(), Vec::new());
        for _ in 0..most {
            if self.traffic.next_ns() >= end_ns {
                break;
            }
            let Some(line) = self.traffic.next() else { break };
            self.last_ns = line.timestamp_ns;
            if let Some(stream) = self.streams.get_mut(&(line.service, line.stderr)) {
                let line = Bytes::from(line.line);
                let raw = RawLine { timestamp_ns: self.last_ns, line, truncated_from: None };
                let mut joined = Vec::new();
                stream.joiner.push(raw, now, &mut joined);
                records.extend(stream.records(joined, &self.enricher));
            }
        }
        for stream in self.streams.values_mut() {
            let mut joined = Vec::new();
            stream.joiner.flush_due(now, &mut joined);
            records.extend(stream.records(joined, &self.enricher));
        }
        self.batch(records)
    }

    /// What the joiners still hold.
    fn rest(&mut self) -> Batch {
        let mut records = Vec::new();
        for stream in self.streams.values_mut() {
            let mut joined = Vec::new();
            stream.joiner.flush(&mut joined);
            records.extend(stream.records(joined, &self.enricher));
        }
        self.batch(records)
    }

    fn batch(&mut self, records: Vec<Record>) -> Batch {
        let cursor = CursorUpdate {
            source: SOURCE.to_owned(),
            position: Some(self.last_ns.to_le_bytes().to_vec()),
            covered_ns: Some(self.last_ns),
        };
        let containers = std::mem::take(&mut self.containers);
        Batch { records, cursors: vec![cursor], containers, ..Batch::default() }
    }
}

impl Stream {
    fn new(config: &IngestConfig, service: Service, stderr: bool) -> Self {
        let container = container(service, 0);
        let labels = Labels::new([
            ("host", PROJECT),
            ("compose_project", PROJECT),
            ("service_name", service.name()),
            ("container", &container.name),
            ("stream", if stderr { "stderr" } else { "stdout" }),
        ]);
        let pair = |name: &str, value: &str| Pair {
            origin: Origin::Derived,
            name: name.into(),
            value: value.into(),
        };
        let pairs =
            vec![pair(attribute::CONTAINER_ID, &container.id), pair(attribute::IMAGE, &container.image)];
        Self { joiner: Joiner::new(config, None), labels: Arc::new(labels), pairs }
    }

    fn records(&self, joined: Vec<Joined>, enricher: &Enricher) -> impl Iterator<Item = Record> {
        joined
            .into_iter()
            .map(|joined| enricher.record(joined.line, &self.labels, &self.pairs, ParseOptions::default()))
    }
}

fn container(service: Service, now_ns: i64) -> Container {
    let name = service.name();
    Container {
        id: random::Random::new(service as u64).hex(32).repeat(2),
        name: format!("{PROJECT}-{name}-1"),
        image: format!("{PROJECT}/{name}:1.0"),
        service: name.to_owned(),
        project: PROJECT.to_owned(),
        state: "running".to_owned(),
        created_ns: now_ns,
        started_ns: Some(now_ns),
        finished_ns: None,
        exit_code: None,
        source: "demo".to_owned(),
    }
}
