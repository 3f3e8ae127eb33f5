//! `patterns`: what the lines of a selector look like, and how many of each there are by time.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use store::{BlockRef, TimeRange};

use super::error::LokiError;
use super::json::answer;
use super::limits;
use super::params::Params;
use crate::exec::fold::rows_in;
use crate::exec::{Context, ExecError};
use crate::http::AppState;
use crate::logql::ast::LogExpr;
use crate::logql::mining::{Mined, Miner};
use crate::logql::select::StreamSelection;
use crate::logql::units::SECOND;
use store::block::BlockError;

/// Patterns of one answer, the most frequent ones; as many as Loki keeps of a stream.
const MAX_PATTERNS: usize = 300;

#[derive(Debug, Serialize)]
struct Pattern<'a> {
    pattern: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
    /// Seconds and lines.
    samples: Vec<(i64, u64)>,
}

pub(super) async fn patterns(State(state): State<AppState>, params: Params) -> Result<Response, LokiError> {
    let log = LogExpr { matchers: params.matchers()?, stages: Vec::new() };
    let range = params.range()?;
    // Times are told in whole seconds.
    let step_ns = (params.step_ns(range)? + SECOND - 1) / SECOND * SECOND;
    limits::check_length(range, &state)?;
    let mined = state
        .run(move |reader, context| {
            let snapshot = reader.snapshot()?;
            let selection = match StreamSelection::new(&log, &snapshot, range) {
                Ok(selection) => selection,
                Err(message) => return Err(ExecError::Query(message)),
            };
            let mut blocks = selection.candidates(&snapshot)?.blocks;
            // In an order of their own, so that the same lines give the same patterns.
            blocks.sort_by_key(|block| (block.min_ns(), block.stream(), block.min_seq()));
            mine(&blocks, range, step_ns, context)
        })
        .await?;
    let patterns: Vec<Pattern<'_>> = mined
        .iter()
        .map(|mined| Pattern {
            pattern: &mined.pattern,
            level: mined.level.name(),
            samples: mined.counts.iter().map(|(ns, lines)| (ns / SECOND, *lines)).collect(),
        })
        .collect();
    Ok(answer(&serde_json::json!({"status": "success", "data": patterns})))
}

fn mine(
    blocks: &[BlockRef],
    range: TimeRange,
    step_ns: i64,
    context: &Context,
) -> Result<Vec<Mined>, ExecError> {
    let mut miner = Miner::default();
    for block in blocks {
        context.charge(block)?;
        if let Err(error) = mine_block(block, range, step_ns, &mut miner) {
            context.note_damaged(&error);
        }
    }
    Ok(miner.finish(MAX_PATTERNS))
}

fn mine_block(block: &BlockRef, range: TimeRange, step_ns: i64, miner: &mut Miner) -> Result<(), BlockError> {
    let block = block.open()?;
    let rows = rows_in(&block, range)?;
    let (times, levels, lines) = (block.timestamps()?, block.levels()?, block.lines()?);
    for row in rows {
        miner.add(lines.get(row), levels[row], times[row].div_euclid(step_ns) * step_ns);
    }
    Ok(())
}
