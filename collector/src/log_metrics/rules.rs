//! The user's own metrics: a counter or a histogram from a field of the lines that match.
//!
//! A line is taken apart once for all rules, and only when some rule wants its service and its text.

use std::collections::HashMap;
use std::ops::ControlFlow;

use memchr::memmem::Finder;
use regex::Regex;
use store::Record;
use store::fields::{self, Shape};
use store::record::attribute;

use super::config::{Rule, RuleKind};
use super::series::{Family, Observation};

/// All rules.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<CompiledRule>,
    /// Every field that some rule reads, and its place in the values of a line.
    places: HashMap<String, usize>,
}

#[derive(Debug)]
struct CompiledRule {
    family: Family,
    kind: RuleKind,
    service: Option<Regex>,
    contains: Finder<'static>,
    filter: Vec<(usize, Regex)>,
    field: Option<usize>,
    labels: Vec<usize>,
}

impl Rules {
    pub(super) fn new(rules: &[Rule], max_series: usize) -> Result<Self, String> {
        let mut places = HashMap::new();
        let rules =
            rules.iter().map(|rule| compile(rule, max_series, &mut places)).collect::<Result<_, _>>()?;
        Ok(Self { rules, places })
    }

    pub(super) fn families(&self) -> impl Iterator<Item = &Family> {
        self.rules.iter().map(|rule| &rule.family)
    }

    pub(super) fn observe(&mut self, service: &str, record: &Record) {
        if !self.rules.iter().any(|rule| rule.may_match(service, &record.line)) {
            return;
        }
        let values = self.values(record);
        for rule in &mut self.rules {
            if rule.may_match(service, &record.line) {
                rule.observe(service, record, &values);
            }
        }
    }

    /// The first value of each wanted field; the record's own pairs (`trace_id`) fill what the line lacks.
    fn values(&self, record: &Record) -> Vec<Option<String>> {
        let mut values = vec![None; self.places.len()];
        fields::for_each(&record.line, Shape::detect(&record.line), |path, value| {
            if let Some(slot) = self.places.get(path).and_then(|place| values.get_mut(*place)) {
                slot.get_or_insert_with(|| value.text().into_owned());
            }
            ControlFlow::Continue(())
        });
        for (path, place) in &self.places {
            if let Some(slot @ None) = values.get_mut(*place) {
                *slot = record.pair(path).map(str::to_owned);
            }
        }
        values
    }
}

impl CompiledRule {
    fn may_match(&self, service: &str, line: &[u8]) -> bool {
        self.service.as_ref().is_none_or(|pattern| pattern.is_match(service))
            && self.contains.find(line).is_some()
    }

    fn observe(&mut self, service: &str, record: &Record, values: &[Option<String>]) {
        let get = |place: usize| values.get(place).and_then(Option::as_deref);
        for (place, pattern) in &self.filter {
            if !get(*place).is_some_and(|value| pattern.is_match(value)) {
                return;
            }
        }
        let value = match self.field {
            None => 1.0,
            Some(place) => match get(place).and_then(|text| text.trim().parse::<f64>().ok()) {
                Some(value) if value.is_finite() => value,
                _ => return,
            },
        };
        if self.kind == RuleKind::Counter && value < 0.0 {
            return; // a counter never goes back
        }
        let mut labels = vec![service];
        labels.extend(self.labels.iter().map(|place| get(*place).unwrap_or_default()));
        let trace_id = record.pair(attribute::TRACE_ID);
        self.family.observe(&labels, &Observation { value, trace_id, timestamp_ns: record.timestamp_ns });
    }
}

fn compile(
    rule: &Rule,
    max_series: usize,
    places: &mut HashMap<String, usize>,
) -> Result<CompiledRule, String> {
    let mut place = |field: &String| {
        let next = places.len();
        *places.entry(field.clone()).or_insert(next)
    };
    let filter = rule
        .filter
        .iter()
        .map(|(field, pattern)| Ok((place(field), glob(pattern)?)))
        .collect::<Result<_, String>>()?;
    let mut label_names = vec!["service_name"];
    label_names.extend(rule.labels.keys().map(String::as_str));
    let help = if rule.help.is_empty() { "Own metric, made from log lines." } else { &rule.help };
    let family = match rule.kind {
        RuleKind::Counter => Family::counter(&rule.metric, help, &label_names, max_series),
        RuleKind::Histogram => Family::histogram(&rule.metric, help, &label_names, max_series, &rule.buckets),
    };
    Ok(CompiledRule {
        family,
        kind: rule.kind,
        service: if rule.service.is_empty() { None } else { Some(glob(&rule.service)?) },
        contains: Finder::new(rule.contains.as_bytes()).into_owned(),
        filter,
        field: (!rule.field.is_empty()).then(|| place(&rule.field)),
        labels: rule.labels.values().map(&mut place).collect(),
    })
}

/// A pattern in which `*` stands for any characters.
fn glob(pattern: &str) -> Result<Regex, String> {
    let middle = pattern.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
    Regex::new(&format!("(?s)^{middle}$")).map_err(|error| error.to_string())
}
