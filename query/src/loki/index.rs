//! `index/stats`, `index/volume`, `index/volume_range`: how much there is, from the counts of blocks where
//! they tell.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use store::{Snapshot, TimeRange};

use super::error::LokiError;
use super::json::{self, Envelope};
use super::labels::find_streams;
use super::params::Params;
use super::query::{run_metric, wants_categories};
use crate::exec::fold::{fold, lies_within, rows_in};
use crate::exec::{Context, ExecError, Stats};
use crate::http::AppState;
use crate::logql::ast::*;
use crate::logql::eval::{Evaluated, Matrix, Series, Steps};
use crate::logql::label_set::LabelSet;
use crate::logql::select::StreamSelection;

const DEFAULT_LIMIT: usize = 100;

/// The answer of `index/stats`.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct IndexStats {
    streams: usize,
    chunks: usize,
    bytes: u64,
    entries: u64,
}

pub(super) async fn stats(State(state): State<AppState>, params: Params) -> Result<Response, LokiError> {
    let range = params.range()?;
    params.step_ns(range)?;
    let log = LogExpr { matchers: params.matchers()?, stages: Vec::new() };
    let counted = state
        .run(move |reader, context| {
            let snapshot = reader.snapshot()?;
            match StreamSelection::new(&log, &snapshot, range) {
                Ok(selection) => count(&snapshot, &selection, range, context).map(Ok),
                Err(message) => Ok(Err(message)),
            }
        })
        .await?;
    Ok(json::answer(&counted.map_err(LokiError::bad)?))
}

/// Whole blocks by their counts; of blocks at the ends of the range, the rows inside.
fn count(
    snapshot: &Snapshot,
    selection: &StreamSelection,
    range: TimeRange,
    context: &Context,
) -> Result<IndexStats, ExecError> {
    let candidates = selection.candidates(snapshot)?;
    context.note_candidates(&candidates);
    let streams: BTreeSet<_> = candidates.blocks.iter().map(store::BlockRef::stream).collect();
    let zero = IndexStats::default;
    let sum = fold(
        &candidates.blocks,
        context,
        zero,
        |sum, block| {
            let (rows, bytes) = if lies_within(block, range) {
                (block.len(), block.line_bytes())
            } else {
                let opened = block.open()?;
                let rows = rows_in(&opened, range)?;
                let lines = opened.lines()?;
                (rows.len(), rows.map(|row| lines.get(row).len() as u64).sum())
            };
            sum.chunks += 1;
            sum.entries += rows as u64;
            sum.bytes += bytes;
            Ok(())
        },
        |sum, more| {
            sum.chunks += more.chunks;
            sum.entries += more.entries;
            sum.bytes += more.bytes;
        },
    )?;
    Ok(IndexStats { streams: streams.len(), ..sum })
}

/// What a request about volumes asks for.
struct VolumeRequest {
    matchers: Vec<Matcher>,
    range: TimeRange,
    limit: usize,
    /// Labels that volumes are told by; `None` for all that streams have.
    target_labels: Option<Vec<String>>,
    by_label_name: bool,
}

impl VolumeRequest {
    fn new(params: &Params, state: &AppState) -> Result<Self, LokiError> {
        let mut matchers = params.matchers()?;
        let targets = params.get("targetLabels").unwrap_or_default();
        let mut names: Vec<String> =
            targets.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let by_label_name = match params.get("aggregateBy") {
            None | Some("series") => false,
            Some("labels") => true,
            Some(other) => {
                return Err(LokiError::bad(format!(
                    "invalid aggregation option `{other}`: series or labels"
                )));
            }
        };
        let has_targets = !names.is_empty();
        if !has_targets {
            names = matchers.iter().map(|matcher| matcher.name.clone()).collect();
        }
        for name in names.iter().filter(|_| has_targets) {
            // Streams without a label that is asked for do not count.
            let any = Matcher { name: name.clone(), op: MatchOp::Regex, value: ".+".to_owned() };
            if !matchers.iter().any(|matcher| matcher.name == *name) {
                matchers.push(any);
            }
        }
        Ok(Self {
            matchers,
            range: params.range()?,
            limit: params.limit("limit", DEFAULT_LIMIT)?.min(state.config().loki.max_volumes),
            target_labels: (!names.is_empty()).then_some(names),
            by_label_name,
        })
    }

    /// Bytes of lines by group, in windows of `range_ns` that end at the steps.
    async fn volumes(
        &self,
        state: &AppState,
        steps: Steps,
        range_ns: i64,
    ) -> Result<(Matrix, Stats), LokiError> {
        let names = match &self.target_labels {
            Some(names) => names.clone(),
            None => self.label_names(state).await?,
        };
        let groups: Vec<Vec<String>> =
            if self.by_label_name { names.into_iter().map(|name| vec![name]).collect() } else { vec![names] };
        let mut matrix = Matrix::new();
        let mut used = Stats::default();
        for labels in groups {
            let name = labels.first().cloned().unwrap_or_default();
            let (value, stats) = run_metric(state, self.expression(labels, range_ns), steps).await?;
            used = stats;
            let Evaluated::Matrix(found) = value else { continue };
            if self.by_label_name {
                matrix.extend(under_name(&name, found));
            } else {
                matrix.extend(found);
            }
        }
        let total = |series: &Series| series.points.iter().map(|(_, value)| value).sum::<f64>();
        matrix.sort_by(|a, b| total(b).total_cmp(&total(a)).then_with(|| a.labels.cmp(&b.labels)));
        matrix.truncate(self.limit);
        Ok((matrix, used))
    }

    async fn label_names(&self, state: &AppState) -> Result<Vec<String>, LokiError> {
        let streams = find_streams(state, self.range, std::slice::from_ref(&self.matchers)).await?;
        let names: BTreeSet<&str> =
            streams.iter().flat_map(|labels| labels.iter()).map(|(name, _)| name).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// `sum by (labels) (bytes_over_time({…} [range]))`
    fn expression(&self, labels: Vec<String>, range_ns: i64) -> MetricExpr {
        let log = LogExpr { matchers: self.matchers.clone(), stages: Vec::new() };
        let range = RangeAggregation {
            op: RangeOp::BytesOverTime,
            parameter: None,
            log,
            unwrap: None,
            range_ns,
            offset_ns: 0,
            grouping: None,
        };
        MetricExpr::Vector(VectorAggregation {
            op: VectorOp::Sum,
            count: None,
            grouping: Some(Grouping { without: false, labels }),
            inner: Box::new(MetricExpr::Range(range)),
        })
    }
}

/// Sums the series that have the label into one, named by it.
fn under_name(name: &str, matrix: Matrix) -> Option<Series> {
    let mut points: BTreeMap<u32, f64> = BTreeMap::new();
    for series in matrix.into_iter().filter(|series| series.labels.get(name).is_some()) {
        for (step, value) in series.points {
            *points.entry(step).or_default() += value;
        }
    }
    let labels = LabelSet::new([(name, "")]);
    (!points.is_empty()).then(|| Series { labels: labels.into(), points: points.into_iter().collect() })
}

fn envelope<'a>(headers: &HeaderMap, stats: &'a Stats, matrix: &Matrix) -> Envelope<'a> {
    Envelope { categorize: wants_categories(headers), warnings: &[], stats, returned: matrix.len() }
}

pub(super) async fn volume(
    State(state): State<AppState>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, LokiError> {
    let request = VolumeRequest::new(&params, &state)?;
    let range = request.range;
    // Windows leave their lower end out and take the upper one in; ranges of times do the reverse.
    let end_ns = range.end_ns.saturating_sub(1);
    let steps = Steps::new(end_ns, end_ns, 0);
    let length = range.end_ns.saturating_sub(range.start_ns).max(1);
    let (matrix, stats) = request.volumes(&state, steps, length).await?;
    let envelope = envelope(&headers, &stats, &matrix);
    let points = matrix.iter().filter_map(|s| Some((&*s.labels, s.points.first()?.1)));
    Ok(envelope.write("vector", |body| json::vector(body, points, range.end_ns)).into_response())
}

pub(super) async fn volume_range(
    State(state): State<AppState>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, LokiError> {
    let request = VolumeRequest::new(&params, &state)?;
    let range = request.range;
    let step_ns = params.step_ns(range)?;
    let steps = Steps::new(range.start_ns.saturating_add(step_ns), range.end_ns, step_ns);
    let (matrix, stats) = request.volumes(&state, steps, step_ns).await?;
    let envelope = envelope(&headers, &stats, &matrix);
    Ok(envelope.write("matrix", |body| json::matrix(body, &matrix, steps)).into_response())
}
