//! `detected_labels`, `detected_fields` and the values of a field: what Logs Drilldown offers to filter by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use store::{Labels, TimeRange};

use super::error::LokiError;
use super::json::answer;
use super::labels::find_streams;
use super::params::Params;
use super::query::read_lines;
use crate::http::AppState;
use crate::logql::ast::{Expr, LogExpr};
use crate::logql::fields::{Finder, Parser, kind_of};
use crate::logql::logs::{Category, Entry};
use crate::logql::units;

const DEFAULT_LINES: usize = 100;
const DEFAULT_FIELDS: usize = 1_000;
/// Labels that are offered though their values look like ids.
const ALWAYS_OFFERED: [&str; 4] = ["cluster", "namespace", "instance", "pod"];

/// A stream label and how many values it has.
#[derive(Debug, Serialize)]
struct DetectedLabel<'a> {
    label: &'a str,
    cardinality: usize,
}

pub(super) async fn labels(State(state): State<AppState>, params: Params) -> Result<Response, LokiError> {
    let streams = find_streams(&state, params.range()?, &[params.matchers()?]).await?;
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in streams.iter().flat_map(|labels| labels.iter()) {
        values.entry(name).or_default().insert(value);
    }
    let offered: Vec<DetectedLabel<'_>> = values
        .iter()
        .filter(|(name, values)| ALWAYS_OFFERED.contains(name) || !look_like_ids(values))
        .map(|(label, values)| DetectedLabel { label, cardinality: values.len() })
        .collect();
    if offered.is_empty() {
        return Ok(answer(&serde_json::json!({})));
    }
    Ok(answer(&serde_json::json!({"detectedLabels": offered})))
}

/// Numbers or UUIDs only, but for a pair of them that may be flags.
fn look_like_ids(values: &BTreeSet<&str>) -> bool {
    let is_uuid = |value: &str| {
        value.len() == 36
            && value.bytes().enumerate().all(|(i, b)| match i {
                8 | 13 | 18 | 23 => b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
    };
    let flags = values.len() <= 2 && values.iter().all(|value| matches!(*value, "0" | "1"));
    !flags && values.iter().all(|value| units::parse_float(value).is_ok() || is_uuid(value))
}

/// A field and what is known of it.
#[derive(Debug, Serialize)]
struct DetectedField {
    label: String,
    r#type: &'static str,
    cardinality: usize,
    /// `null` stands for structured metadata; clients test for exactly that.
    parsers: Option<Vec<&'static str>>,
    #[serde(rename = "jsonPath", skip_serializing_if = "Vec::is_empty")]
    json_path: Vec<String>,
}

#[derive(Debug, Default)]
struct Found {
    kind: Option<&'static str>,
    values: BTreeSet<String>,
    parsers: BTreeSet<&'static str>,
    json_path: Vec<String>,
}

/// The fields of some lines, by name.
fn find(entries: &[Entry]) -> BTreeMap<String, Found> {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    let mut finder = Finder::default();
    for entry in entries {
        let stream = entry.labels.iter().filter(|(category, ..)| *category == Category::Stream);
        let labels = Arc::new(Labels::new(stream.map(|(_, name, value)| (name.as_ref(), value.as_ref()))));
        let metadata: Vec<(&str, &str)> = entry
            .labels
            .iter()
            .filter(|(category, ..)| matches!(category, Category::Metadata | Category::Derived))
            .map(|(_, name, value)| (name.as_ref(), value.as_ref()))
            .collect();
        for (name, value) in &metadata {
            add(&mut found, name, value, None, &[]);
        }
        finder.fields(&labels, &metadata, &entry.line, |name, value, parser, path| {
            add(&mut found, name, value, Some(parser), path);
        });
    }
    found
}

fn add(
    found: &mut BTreeMap<String, Found>,
    name: &str,
    value: &str,
    parser: Option<Parser>,
    path: &[String],
) {
    let field = found.entry(name.to_owned()).or_default();
    field.kind.get_or_insert_with(|| kind_of(value));
    field.values.insert(value.to_owned());
    field.parsers.extend(parser.map(Parser::name));
    if field.json_path.is_empty() {
        field.json_path = path.to_vec();
    }
}

/// What both requests about fields have in common.
struct FieldRequest {
    log: LogExpr,
    range: TimeRange,
    line_limit: usize,
    limit: usize,
}

impl FieldRequest {
    fn new(params: &Params) -> Result<Self, LokiError> {
        let Expr::Log(log) = params.expr()? else {
            return Err(LokiError::bad("only log selector is supported"));
        };
        let range = params.range()?;
        params.step_ns(range)?;
        let limit = match params.get("limit") {
            Some(_) => params.limit("limit", DEFAULT_FIELDS)?,
            None => params.limit("field_limit", DEFAULT_FIELDS)?,
        };
        Ok(Self { log, range, line_limit: params.limit("line_limit", DEFAULT_LINES)?, limit })
    }

    async fn found(self, state: &AppState) -> Result<BTreeMap<String, Found>, LokiError> {
        let lines = self.line_limit.min(state.config().loki.max_entries);
        Ok(find(&read_lines(state, self.log, self.range, lines).await?))
    }
}

pub(super) async fn fields(State(state): State<AppState>, params: Params) -> Result<Response, LokiError> {
    let request = FieldRequest::new(&params)?;
    let limit = request.limit;
    let fields: Vec<DetectedField> = request
        .found(&state)
        .await?
        .into_iter()
        .take(limit)
        .map(|(label, found)| DetectedField {
            label,
            r#type: found.kind.unwrap_or("string"),
            cardinality: found.values.len(),
            parsers: (!found.parsers.is_empty()).then(|| found.parsers.into_iter().collect()),
            json_path: found.json_path,
        })
        .collect();
    Ok(answer(&serde_json::json!({"fields": fields, "limit": limit})))
}

pub(super) async fn values(
    State(state): State<AppState>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, LokiError> {
    let request = FieldRequest::new(&params)?;
    let limit = request.limit;
    let mut found = request.found(&state).await?;
    let field = found.remove(&name).unwrap_or_default();
    let mut values: BTreeSet<String> = BTreeSet::new();
    for value in field.values {
        values.insert(if field.kind == Some("bytes") { normal_bytes(&value) } else { value });
    }
    let values: Vec<String> = values.into_iter().take(limit).collect();
    Ok(answer(&serde_json::json!({"values": values, "limit": limit})))
}

/// Sizes without a blank, as clients can put them into a filter: `42kB`.
fn normal_bytes(value: &str) -> String {
    let Ok(bytes) = units::parse_bytes(value) else { return value.to_owned() };
    let scales = [
        ("EB", 1_000_000_000_000_000_000),
        ("PB", 1_000_000_000_000_000),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
    ];
    for (unit, scale) in scales {
        if bytes >= scale {
            #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
            let shown = bytes as f64 / scale as f64;
            let text = if shown >= 10.0 { format!("{shown:.0}") } else { format!("{shown:.1}") };
            return format!("{}{unit}", text.trim_end_matches(".0"));
        }
    }
    format!("{bytes}B")
}
