//! `json`, `logfmt`, `regexp`, `pattern`, `unpack`.

use std::ops::ControlFlow;

use crate::logql::ast::{Extraction, Stage};
use crate::logql::line_labels::LineLabels;
use crate::logql::parsers::json::{self, Scanner, Value};
use crate::logql::parsers::json_path::JsonPath;
use crate::logql::parsers::{append_sanitized, label_text, logfmt};
use crate::logql::pattern::Pattern;
use crate::logql::regex::{Regex, valid};

use super::references::References;

const JSON_ERROR: &str = "JSONParserErr";
const LOGFMT_ERROR: &str = "LogfmtParserErr";
/// The key of `unpack` that holds the line.
const PACKED_LINE: &str = "_entry";

/// A compiled parser stage.
#[derive(Debug)]
pub(crate) struct Extractor {
    pub(super) kind: Kind,
    /// Labels asked for, `None` for all.
    wanted: Option<References>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Json,
    JsonPaths(Vec<(String, JsonPath)>),
    Logfmt {
        strict: bool,
        keep_empty: bool,
    },
    LogfmtFields {
        strict: bool,
        fields: Vec<Extraction>,
    },
    /// The expression and the label of each capture.
    Regexp(Box<Regex>, Vec<(usize, String)>),
    Pattern(Pattern),
    Unpack,
}

impl Extractor {
    pub(super) fn new(stage: &Stage, wanted: Option<&References>) -> Result<Self, String> {
        let kind = match stage {
            Stage::Json(fields) if fields.is_empty() => Kind::Json,
            Stage::Json(fields) => {
                let path = |field: &Extraction| Ok((field.name.clone(), JsonPath::parse(&field.expression)?));
                Kind::JsonPaths(fields.iter().map(path).collect::<Result<_, String>>()?)
            }
            Stage::Logfmt { strict, keep_empty, fields } if fields.is_empty() => {
                Kind::Logfmt { strict: *strict, keep_empty: *keep_empty }
            }
            Stage::Logfmt { strict, fields, .. } => {
                Kind::LogfmtFields { strict: *strict, fields: fields.clone() }
            }
            Stage::Regexp(pattern) => regexp(pattern)?,
            Stage::Pattern(pattern) => Kind::Pattern(Pattern::parser(pattern)?),
            _ => Kind::Unpack,
        };
        Ok(Self { kind, wanted: wanted.cloned() })
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.includes(name.as_bytes()))
    }

    /// Labels after which the rest of a line need not be read, as Loki has it: what is malformed there stays
    /// unnoticed. `usize::MAX` where all of it must.
    pub(super) fn enough(&self) -> usize {
        let listed = self.wanted.as_ref().and_then(References::listed);
        listed.filter(|names| !names.is_empty()).map_or(usize::MAX, <[String]>::len)
    }

    /// Adds labels; gives the new line when the parser replaces it. `buffer` is scratch.
    pub(super) fn run(&self, line: &[u8], labels: &mut LineLabels, buffer: &mut String) -> Option<Vec<u8>> {
        match &self.kind {
            Kind::Json => self.json(line, labels, buffer),
            Kind::JsonPaths(paths) => json_paths(paths, line, labels),
            Kind::Logfmt { strict, keep_empty } => self.logfmt(line, *strict, *keep_empty, labels, buffer),
            Kind::LogfmtFields { strict, fields } => logfmt_fields(fields, line, *strict, labels, buffer),
            Kind::Regexp(regex, names) => {
                let line = valid(line);
                if let Some(captures) = regex.program().captures(&line) {
                    for (i, name) in names.iter().filter(|(_, name)| self.wants(name)) {
                        let value = captures.get(*i).map(|m| m.as_bytes()).unwrap_or_default();
                        labels.extract(name, &label_text(value));
                    }
                }
            }
            Kind::Pattern(pattern) => pattern.captures(line, |name, value| {
                if self.wants(name) {
                    labels.extract(name, &label_text(value));
                }
            }),
            Kind::Unpack => return self.unpack(line, labels),
        }
        None
    }

    fn json(&self, line: &[u8], labels: &mut LineLabels, buffer: &mut String) {
        let enough = self.enough();
        let mut extracted = 0;
        let wants = |name: &[u8]| self.wanted.as_ref().is_none_or(|wanted| wanted.includes(name));
        let result = json::flatten(line, buffer, &wants, &mut |name, value| {
            extracted += usize::from(labels.extract(name, &json::text(value)));
            if extracted < enough { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Err(error) = result {
            labels.set_error(JSON_ERROR, error);
        }
    }

    fn logfmt(
        &self,
        line: &[u8],
        strict: bool,
        keep_empty: bool,
        labels: &mut LineLabels,
        name: &mut String,
    ) {
        let mut scanner = logfmt::Scanner::new(line);
        while let Some(pair) = scanner.next_pair() {
            match pair {
                Ok((key, value)) => {
                    if value.is_empty() && !keep_empty {
                        continue;
                    }
                    name.clear();
                    append_sanitized(name, &String::from_utf8_lossy(key));
                    if !name.is_empty() && self.wants(name) {
                        labels.extract(name, &label_text(&value));
                    }
                }
                Err(error) if strict => {
                    labels.set_error(LOGFMT_ERROR, error);
                    return;
                }
                Err(_) => {}
            }
        }
    }

    /// Labels count only when the line was packed with them.
    fn unpack(&self, line: &[u8], labels: &mut LineLabels) -> Option<Vec<u8>> {
        if line.is_empty() {
            return None;
        }
        if line.first() != Some(&b'{') {
            labels.set_error(JSON_ERROR, "expecting json object(6), but it is not");
            return None;
        }
        let mut entry = None;
        let mut found = Vec::new();
        let mut scanner = Scanner::new(line);
        scanner.enter(b'{');
        let mut first = true;
        loop {
            let pair = match scanner.key(first) {
                Ok(Some(key)) => scanner.value().map(|value| Some((key, value))),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            first = false;
            match pair {
                Ok(None) => break,
                Ok(Some((key, Value::String(value)))) if key == PACKED_LINE.as_bytes() => {
                    entry = Some(json::unescape_bytes(value).unwrap_or_else(|| value.to_vec()));
                }
                Ok(Some((key, Value::String(value)))) => found.push((key, value)),
                Ok(Some(_)) => {}
                Err(error) => {
                    labels.set_error(JSON_ERROR, error);
                    return None;
                }
            }
        }
        let entry = entry?;
        let mut name = String::new();
        for (key, value) in found {
            name.clear();
            append_sanitized(&mut name, &json::unescape(key));
            if !name.is_empty() && self.wants(&name) {
                labels.extract(&name, &json::unescape(value));
            }
        }
        Some(entry)
    }
}

fn regexp(pattern: &str) -> Result<Kind, String> {
    let regex = Regex::new(pattern)?;
    let mut names: Vec<(usize, String)> = Vec::new();
    for (i, name) in regex.program().capture_names().enumerate() {
        let Some(name) = name else { continue };
        let mut label = String::new();
        append_sanitized(&mut label, name);
        if names.iter().any(|(_, known)| *known == label) {
            return Err(format!("duplicate extracted label name '{label}'"));
        }
        names.push((i, label));
    }
    if names.is_empty() {
        return Err("at least one named capture must be supplied".to_owned());
    }
    Ok(Kind::Regexp(Box::new(regex), names))
}

fn json_paths(paths: &[(String, JsonPath)], line: &[u8], labels: &mut LineLabels) {
    let Some(first) = line.first() else { return };
    if !matches!(first, b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'{' | b'[') {
        labels.set_error(JSON_ERROR, "");
        return;
    }
    for (name, path) in paths {
        match path.find(line) {
            Some(value) => labels.extract_again(name, &json::text(value)),
            None if labels.get(name).is_none() => labels.extract_again(name, ""),
            None => {}
        }
    }
}

fn logfmt_fields(
    fields: &[Extraction],
    line: &[u8],
    strict: bool,
    labels: &mut LineLabels,
    name: &mut String,
) {
    if line.is_empty() {
        return;
    }
    let mut found = vec![false; fields.len()];
    let mut scanner = logfmt::Scanner::new(line);
    while let Some(pair) = scanner.next_pair() {
        match pair {
            Ok((key, value)) => {
                name.clear();
                append_sanitized(name, &String::from_utf8_lossy(key));
                for (field, found) in fields.iter().zip(&mut found) {
                    let same = field.expression == *name || field.expression.as_bytes() == key;
                    if same && !*found {
                        *found = true;
                        labels.extract_again(&field.name, &label_text(&value));
                    }
                }
            }
            Err(error) if strict => {
                labels.set_error(LOGFMT_ERROR, error);
                break;
            }
            Err(_) => {}
        }
    }
    for (field, found) in fields.iter().zip(found) {
        if !found && labels.get(&field.name).is_none() {
            labels.extract_again(&field.name, "");
        }
    }
}
