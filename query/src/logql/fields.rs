//! Fields found in lines without being asked for: what could be filtered by.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use store::Labels;

use super::line_labels::{Category, ERROR, ERROR_DETAILS, LineLabels};
use super::parsers::{append_sanitized, json, logfmt};
use super::units;

/// How a field is read from its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parser {
    Json,
    Logfmt,
}

impl Parser {
    /// The name of the stage.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
        }
    }
}

/// Finds fields, with buffers that are used again.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    labels: LineLabels,
    name: String,
}

impl Finder {
    /// Calls `found` with the name that `| json` or `| logfmt` would give, the value, and the keys that lead
    /// to it in JSON.
    pub(crate) fn fields(
        &mut self,
        stream: &Arc<Labels>,
        metadata: &[(&str, &str)],
        line: &[u8],
        mut found: impl FnMut(&str, &str, Parser, &[String]),
    ) {
        self.labels.reset(stream);
        for (name, value) in metadata {
            self.labels.add_metadata(Category::Metadata, name, value);
        }
        let mut paths = HashMap::new();
        let parser = if self.read_json(line, &mut paths) { Parser::Json } else { Parser::Logfmt };
        if parser == Parser::Logfmt && !self.read_logfmt(line) {
            return;
        }
        self.labels.for_each(|category, name, value| {
            if category == Category::Parsed && name != ERROR && name != ERROR_DETAILS {
                let base = name.strip_suffix("_extracted").unwrap_or(name);
                let path = paths.get(name).or_else(|| paths.get(base)).map(Vec::as_slice);
                found(name, value, parser, path.unwrap_or_default());
            }
        });
    }

    /// False when the line is no JSON object.
    fn read_json(&mut self, line: &[u8], paths: &mut HashMap<String, Vec<String>>) -> bool {
        let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(line) else { return false };
        let labels = &mut self.labels;
        let result = json::flatten(line, &mut self.name, &|_| true, &mut |name, value| {
            labels.extract(name, &json::text(value));
            ControlFlow::Continue(())
        });
        collect_paths(&object, &mut Vec::new(), &mut String::new(), paths);
        result.is_ok()
    }

    /// False when some pair is malformed or nothing has a value: then it is prose.
    fn read_logfmt(&mut self, line: &[u8]) -> bool {
        let mut scanner = logfmt::Scanner::new(line);
        let mut any = false;
        while let Some(pair) = scanner.next_pair() {
            let Ok((key, value)) = pair else { continue };
            if value.is_empty() {
                continue;
            }
            self.name.clear();
            append_sanitized(&mut self.name, &String::from_utf8_lossy(key));
            if !self.name.is_empty() {
                self.labels.extract(&self.name, &super::parsers::label_text(&value));
                any = true;
            }
        }
        any
    }
}

fn collect_paths(
    object: &serde_json::Map<String, serde_json::Value>,
    keys: &mut Vec<String>,
    name: &mut String,
    paths: &mut HashMap<String, Vec<String>>,
) {
    for (key, value) in object {
        let length = name.len();
        if length > 0 {
            name.push('_');
        }
        append_sanitized(name, key);
        keys.push(key.clone());
        match value {
            serde_json::Value::Object(inner) => collect_paths(inner, keys, name, paths),
            _ => {
                paths.entry(name.clone()).or_insert_with(|| keys.clone());
            }
        }
        keys.pop();
        name.truncate(length);
    }
}

/// The type Loki tells of a value.
pub(crate) fn kind_of(value: &str) -> &'static str {
    if value.parse::<i64>().is_ok() {
        "int"
    } else if units::parse_float(value).is_ok() {
        "float"
    } else if matches!(value, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
        "boolean"
    } else if units::parse_go_duration(value).is_ok() {
        "duration"
    } else if units::parse_bytes(value).is_ok() {
        "bytes"
    } else {
        "string"
    }
}
