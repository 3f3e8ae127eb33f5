//! The stages of a query, compiled once and run on each line.
//!
//! A stage never fails a query: what it cannot handle it notes as `__error__` and keeps the line.

mod columns;
mod extract;
mod label_filter;
mod line_filter;
mod references;
mod requirements;

use std::borrow::Cow;
use std::sync::Arc;

use store::block::BlockError;
use store::{Block, Labels, Level, Origin};

pub(crate) use columns::{JsonColumns, LabelSource, Quoting, SlotText};
pub(crate) use label_filter::LabelTest;
pub(crate) use references::{References, of_log};
pub(crate) use requirements::Requirements;

use self::extract::Extractor;
use self::line_filter::LineTest;
use super::ast::{LabelFormat, MatchOp, Selection, Stage};
use super::line_labels::{Category, ERROR, ERROR_DETAILS, LineLabels};
use super::regex::Regex;
use super::template::{Context, Template};

const TEMPLATE_ERROR: &str = "TemplateFormatErr";
/// Under this name the level of a record is shown among its metadata, as Loki has it.
pub(crate) const DETECTED_LEVEL: &str = "detected_level";
/// ANSI escape sequences: colours, cursor movement, titles.
const ANSI: &str = "[\\x1b\\x{9b}][\\[\\]()#;?]*(?:(?:(?:[a-zA-Z\\d]*(?:;[a-zA-Z\\d]*)*)?\\x07)|(?:(?:\\d{1,4}(?:;\\d{0,4})*)?[\\dA-PRZcf-ntqry=><~]))";

/// A compiled stage.
#[derive(Debug)]
enum Step {
    Line(LineTest),
    Extract(Extractor),
    Label(LabelTest),
    LineFormat(Template),
    LabelFormat(Vec<Assignment>),
    Decolorize(Regex),
    Drop(Vec<Chosen>),
    Keep(Vec<Chosen>),
}

#[derive(Debug)]
enum Assignment {
    Rename { to: String, from: String },
    Template { name: String, template: Template },
}

/// A label named by `drop` or `keep`.
#[derive(Debug)]
struct Chosen {
    name: String,
    test: Option<LabelTest>,
}

/// Compiled stages.
#[derive(Debug)]
pub(crate) struct Pipeline {
    steps: Vec<Step>,
    /// Leading steps that every row passes which [`Requirements`] leave.
    settled: usize,
}

/// Some steps of a pipeline, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stages<'a>(&'a [Step]);

/// A line on its way, and the buffers it needs; one per worker.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Labels after the stages run so far.
    pub(crate) labels: LineLabels,
    line: Vec<u8>,
    rewritten: bool,
    text: String,
}

impl Scratch {
    /// Starts with a record. Of the pairs that Binnacle derived, only those are taken that `derived` accepts.
    pub(crate) fn begin<'a>(
        &mut self,
        labels: &Arc<Labels>,
        level: Level,
        pairs: impl Iterator<Item = (Origin, &'a str, &'a str)>,
        derived: impl Fn(&str) -> bool,
    ) {
        self.labels.reset(labels);
        self.rewritten = false;
        if let Some(level) = level.name() {
            self.labels.add_metadata(Category::Metadata, DETECTED_LEVEL, level);
        }
        for (origin, name, value) in pairs {
            match origin {
                // The detected level is the normal form of a given one.
                Origin::Given if name == DETECTED_LEVEL && level.name().is_some() => {}
                Origin::Given => self.labels.add_metadata(Category::Metadata, name, value),
                Origin::Derived if derived(name) => {
                    self.labels.add_metadata(Category::Derived, name, value);
                }
                Origin::Derived => {}
            }
        }
    }

    /// The line as the stages left it; `original` is what went in.
    pub(crate) fn line<'a>(&'a self, original: &'a [u8]) -> &'a [u8] {
        if self.rewritten { &self.line } else { original }
    }
}

impl Pipeline {
    /// Compiles `stages`. With `wanted`, parsers set only these labels: the rest is not asked for.
    pub(crate) fn new(stages: &[Stage], wanted: Option<&References>) -> Result<Self, String> {
        let steps = stages.iter().map(|stage| compile(stage, wanted)).collect::<Result<_, _>>()?;
        Ok(Self { steps, settled: requirements::settled(stages) })
    }

    /// Runs all stages; false drops the line.
    pub(crate) fn run(&self, scratch: &mut Scratch, timestamp_ns: i64, original: &[u8]) -> bool {
        self.steps.iter().all(|step| step.run(scratch, timestamp_ns, original))
    }

    /// Whether lines pass unread: no stage at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The stages still to be run on a row that [`Requirements`] have left.
    pub(crate) fn unsettled(&self) -> Stages<'_> {
        Stages(self.steps.get(self.settled..).unwrap_or_default())
    }
}

impl<'a> Stages<'a> {
    /// Runs the stages; false drops the line.
    pub(crate) fn run(self, scratch: &mut Scratch, timestamp_ns: i64, original: &[u8]) -> bool {
        self.0.iter().all(|step| step.run(scratch, timestamp_ns, original))
    }

    /// Whether every line without an error passes them as it is, whatever its labels.
    pub(crate) fn pass_all_without_errors(self) -> bool {
        self.0.iter().all(|step| matches!(step, Step::Label(test) if test.keeps_all_without_errors()))
    }

    /// Whether some stage looks at the line.
    pub(crate) fn read_lines(self) -> bool {
        self.0.iter().any(Step::reads_line)
    }

    /// The first stage done by columns and the stages after it, for some `rows` of a block; `None` where lines must
    /// be put together all the same.
    pub(crate) fn by_columns(
        self,
        block: &'a Block,
        rows: usize,
    ) -> Result<Option<(JsonColumns<'a>, Self)>, BlockError> {
        let Some((Step::Extract(extractor), rest)) = self.0.split_first() else { return Ok(None) };
        if Self(rest).read_lines() {
            return Ok(None);
        }
        Ok(JsonColumns::of(extractor, block, rows)?.map(|columns| (columns, Self(rest))))
    }
}

fn compile(stage: &Stage, wanted: Option<&References>) -> Result<Step, String> {
    Ok(match stage {
        Stage::Line(filter) => Step::Line(LineTest::new(filter)?),
        Stage::Label(filter) => Step::Label(LabelTest::new(filter)?),
        Stage::LineFormat(template) => Step::LineFormat(
            Template::new("line", template).map_err(|e| format!("invalid line template: {e}"))?,
        ),
        Stage::LabelFormat(formats) => Step::LabelFormat(assignments(formats)?),
        Stage::Decolorize => Step::Decolorize(Regex::new(ANSI)?),
        Stage::Drop(labels) => Step::Drop(chosen(labels)?),
        Stage::Keep(labels) => Step::Keep(chosen(labels)?),
        parser => Step::Extract(Extractor::new(parser, wanted)?),
    })
}

fn assignments(formats: &[LabelFormat]) -> Result<Vec<Assignment>, String> {
    let mut names: Vec<&str> = Vec::new();
    let mut assignments = Vec::new();
    for format in formats {
        let (LabelFormat::Rename { to: name, .. } | LabelFormat::Template { name, .. }) = format;
        if name == ERROR || name == ERROR_DETAILS {
            return Err(format!("{name} cannot be formatted"));
        }
        if names.contains(&name.as_str()) {
            return Err(format!("multiple label name '{name}' not allowed in a single format operation"));
        }
        names.push(name);
        assignments.push(match format {
            LabelFormat::Rename { to, from } => Assignment::Rename { to: to.clone(), from: from.clone() },
            LabelFormat::Template { name, template } => {
                let template = Template::new("label", template)
                    .map_err(|e| format!("invalid template for label '{name}': {e}"))?;
                Assignment::Template { name: name.clone(), template }
            }
        });
    }
    Ok(assignments)
}

fn chosen(labels: &[Selection]) -> Result<Vec<Chosen>, String> {
    let choose = |label: &Selection| match label {
        Selection::Name(name) => Ok(Chosen { name: name.clone(), test: None }),
        Selection::Match(matcher) => {
            Ok(Chosen { name: matcher.name.clone(), test: Some(LabelTest::of_matcher(matcher)?) })
        }
    };
    labels.iter().map(choose).collect()
}

impl Step {
    fn reads_line(&self) -> bool {
        match self {
            Self::Label(_) | Self::Drop(_) | Self::Keep(_) => false,
            Self::LabelFormat(assignments) => {
                assignments.iter().any(|assignment| matches!(assignment, Assignment::Template { .. }))
            }
            Self::Line(_) | Self::Extract(_) | Self::LineFormat(_) | Self::Decolorize(_) => true,
        }
    }

    fn run(&self, scratch: &mut Scratch, timestamp_ns: i64, original: &[u8]) -> bool {
        match self {
            Self::Line(test) => return test.is_match(scratch.line(original)),
            Self::Label(test) => return test.is_match(&mut scratch.labels),
            Self::Extract(extractor) => {
                let line = if scratch.rewritten { &scratch.line } else { original };
                if let Some(entry) = extractor.run(line, &mut scratch.labels, &mut scratch.text) {
                    scratch.line = entry;
                    scratch.rewritten = true;
                }
            }
            Self::LineFormat(template) => format_line(template, scratch, timestamp_ns, original),
            Self::LabelFormat(assignments) => format_labels(assignments, scratch, timestamp_ns, original),
            Self::Decolorize(ansi) => {
                if let Cow::Owned(plain) = ansi.program().replace_all(scratch.line(original), &b""[..]) {
                    scratch.line = plain;
                    scratch.rewritten = true;
                }
            }
            Self::Drop(labels) => {
                for label in labels {
                    if label.test.as_ref().is_none_or(|test| test.is_match(&mut scratch.labels)) {
                        scratch.labels.remove(&label.name);
                    }
                }
            }
            Self::Keep(labels) => {
                let keeps = |label: &Chosen, name: &str, value: &str| {
                    label.name == name && label.test.as_ref().is_none_or(|test| test.is_match_value(value))
                };
                scratch.labels.retain(|name, value| labels.iter().any(|label| keeps(label, name, value)));
            }
        }
        true
    }
}

fn format_line(template: &Template, scratch: &mut Scratch, timestamp_ns: i64, original: &[u8]) {
    let mut out = std::mem::take(&mut scratch.text);
    out.clear();
    let context = Context { timestamp_ns, line: scratch.line(original), labels: &scratch.labels };
    match template.execute(&context, &mut out) {
        Ok(()) => {
            scratch.line.clear();
            scratch.line.extend_from_slice(out.as_bytes());
            scratch.rewritten = true;
        }
        Err(message) => scratch.labels.set_error(TEMPLATE_ERROR, message),
    }
    scratch.text = out;
}

/// All templates see the labels as they are when the first one is reached.
fn format_labels(assignments: &[Assignment], scratch: &mut Scratch, timestamp_ns: i64, original: &[u8]) {
    let mut results: Option<Vec<Result<String, String>>> = None;
    for (i, assignment) in assignments.iter().enumerate() {
        match assignment {
            Assignment::Rename { to, from } => scratch.labels.rename(from, to),
            Assignment::Template { name, .. } => {
                let results = results.get_or_insert_with(|| {
                    let context =
                        Context { timestamp_ns, line: scratch.line(original), labels: &scratch.labels };
                    let rest = assignments.iter().skip(i).rev();
                    rest.filter_map(|a| match a {
                        Assignment::Template { template, .. } => {
                            let mut out = String::new();
                            Some(template.execute(&context, &mut out).map(|()| out))
                        }
                        Assignment::Rename { .. } => None,
                    })
                    .collect()
                });
                match results.pop() {
                    Some(Ok(value)) => scratch.labels.set(name, &value),
                    Some(Err(message)) => scratch.labels.set_error(TEMPLATE_ERROR, message),
                    None => {}
                }
            }
        }
    }
}

/// Whether the regular expression operators negate.
pub(crate) const fn is_negative(op: MatchOp) -> bool {
    matches!(op, MatchOp::NotEqual | MatchOp::NotRegex)
}
