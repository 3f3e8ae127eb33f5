//! What there is: containers, labels, and how much of everything.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Container, Level, Prune, TimeRange};

use super::error::ApiError;
use super::params::{Params, range};
use super::state::AppState;
use crate::plan::Plan;
use crate::time;

/// Values of one label that are listed; of more, the number is told.
const MAX_VALUES: usize = 1_000;

/// A time range.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RangeParams {
    start: Option<String>,
    end: Option<String>,
    since: Option<String>,
}

/// No parameters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NoParams {}

impl RangeParams {
    fn range(&self) -> Result<TimeRange, ApiError> {
        range(self.start.as_deref(), self.end.as_deref(), self.since.as_deref())
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Containers {
    containers: Vec<ShownContainer>,
}

#[derive(Debug, Serialize)]
struct ShownContainer {
    id: String,
    name: String,
    image: String,
    service: String,
    project: String,
    state: String,
    created: String,
    started: Option<String>,
    finished: Option<String>,
    exit_code: Option<i64>,
    source: String,
}

impl From<Container> for ShownContainer {
    fn from(container: Container) -> Self {
        Self {
            id: container.id,
            name: container.name,
            image: container.image,
            service: container.service,
            project: container.project,
            state: container.state,
            created: time::rfc3339(container.created_ns),
            started: container.started_ns.map(time::rfc3339),
            finished: container.finished_ns.map(time::rfc3339),
            exit_code: container.exit_code,
            source: container.source,
        }
    }
}

pub(super) async fn containers(
    State(state): State<AppState>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<Containers>, ApiError> {
    let containers = state.run(|reader, _| Ok(reader.containers()?)).await?;
    Ok(Json(Containers { containers: containers.into_iter().map(ShownContainer::from).collect() }))
}

#[derive(Debug, Serialize)]
pub(super) struct LabelList {
    labels: Vec<ShownLabel>,
    streams: usize,
}

#[derive(Debug, Serialize)]
struct ShownLabel {
    name: String,
    values: Vec<String>,
    values_omitted: usize,
}

pub(super) async fn labels(
    State(state): State<AppState>,
    Params(params): Params<RangeParams>,
) -> Result<Json<LabelList>, ApiError> {
    let range = params.range()?;
    let list = state.run(move |reader, _| {
        let snapshot = reader.snapshot()?;
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut streams = 0;
        for stream in snapshot.streams().iter().filter(|s| range.overlaps(s.min_ns, s.max_ns)) {
            streams += 1;
            for (name, value) in stream.labels.iter() {
                values.entry(name).or_default().insert(value);
            }
        }
        let labels = values
            .into_iter()
            .map(|(name, values)| ShownLabel {
                name: name.to_owned(),
                values_omitted: values.len().saturating_sub(MAX_VALUES),
                values: values.into_iter().take(MAX_VALUES).map(str::to_owned).collect(),
            })
            .collect();
        Ok(LabelList { labels, streams })
    });
    Ok(Json(list.await?))
}

#[derive(Debug, Serialize)]
pub(super) struct StoreStats {
    records: u64,
    bytes: u64,
    streams: usize,
    blocks: usize,
    containers: usize,
    gaps: usize,
    oldest: Option<String>,
    newest: Option<String>,
    levels: BTreeMap<&'static str, u64>,
    damaged: Vec<String>,
    /// Of everything stored, whatever the range.
    stored: Stored,
}

#[derive(Debug, Serialize)]
struct Stored {
    windows: usize,
    records: u64,
    line_bytes: u64,
    head_records: u64,
    head_bytes: u64,
    part_bytes: u64,
    index_bytes: u64,
    catalog_bytes: u64,
}

impl From<store::Stats> for Stored {
    fn from(stats: store::Stats) -> Self {
        Self {
            windows: stats.windows.len(),
            records: stats.records,
            line_bytes: stats.line_bytes,
            head_records: stats.head_records,
            head_bytes: stats.head_bytes,
            part_bytes: stats.part_bytes,
            index_bytes: stats.index_bytes,
            catalog_bytes: stats.catalog_bytes,
        }
    }
}

pub(super) async fn stats(
    State(state): State<AppState>,
    Params(params): Params<RangeParams>,
) -> Result<Json<StoreStats>, ApiError> {
    let range = params.range()?;
    let stats = state.run(move |reader, context| {
        let snapshot = reader.snapshot()?;
        let found = Plan { range, streams: None, levels: None, prune: Prune::Any }.candidates(&snapshot)?;
        let mut levels = BTreeMap::new();
        let mut bytes = 0;
        let mut records = 0;
        for block in &found.blocks {
            context.check()?;
            records += block.len() as u64;
            bytes += block.line_bytes();
            for (level, count) in Level::ALL.into_iter().zip(block.level_counts()) {
                if count > 0 {
                    *levels.entry(level.name().unwrap_or("unset")).or_insert(0) += u64::from(count);
                }
            }
        }
        Ok(StoreStats {
            records,
            bytes,
            streams: snapshot.streams().iter().filter(|s| range.overlaps(s.min_ns, s.max_ns)).count(),
            blocks: found.blocks.len(),
            containers: reader.containers()?.len(),
            gaps: reader.gaps(range)?.len(),
            oldest: found.blocks.iter().map(store::BlockRef::min_ns).min().map(time::rfc3339),
            newest: found.blocks.iter().map(store::BlockRef::max_ns).max().map(time::rfc3339),
            levels,
            damaged: found.damaged,
            stored: reader.stats()?.into(),
        })
    });
    Ok(Json(stats.await?))
}
