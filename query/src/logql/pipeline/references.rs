//! Which labels a query names.
//!
//! Metric queries see pairs that Binnacle derived only when they name them, and parsers need to set only
//! what is named when the result is grouped.

use crate::logql::ast::*;
use crate::logql::template::Template;

const EXTRACTED: &str = "_extracted";

/// Names of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct References {
    /// Each once. A query names few, and they are looked for per key of a line: a list is searched fastest.
    names: Vec<String>,
    /// Some stage looks at labels whatever their names.
    all: bool,
}

impl References {
    /// Whether this label is named.
    pub(crate) fn includes(&self, name: &[u8]) -> bool {
        self.all || self.names.iter().any(|known| known.as_bytes() == name)
    }

    /// Whether this label is named, rather than swept along.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// The names, where nothing else is looked at.
    pub(crate) fn listed(&self) -> Option<&[String]> {
        (!self.all).then_some(self.names.as_slice())
    }

    /// Adds a label; of `x_extracted` also `x`, which becomes it.
    pub(crate) fn add(&mut self, name: &str) {
        for name in name.strip_suffix(EXTRACTED).into_iter().chain([name]) {
            if !self.names(name) {
                self.names.push(name.to_owned());
            }
        }
    }

    fn add_template(&mut self, text: &str) {
        // A template that does not parse is refused when the pipeline is compiled.
        if let Ok(template) = Template::new("line", text) {
            template.fields().into_iter().for_each(|name| self.add(name));
            self.all |= template.sees_all_labels();
        }
    }

    pub(crate) fn add_filter(&mut self, filter: &LabelFilter) {
        match filter {
            LabelFilter::Match(matcher) => self.add(&matcher.name),
            LabelFilter::Number { name, .. }
            | LabelFilter::Duration { name, .. }
            | LabelFilter::Bytes { name, .. }
            | LabelFilter::Ip { name, .. } => self.add(name),
            LabelFilter::And(a, b) | LabelFilter::Or(a, b) => {
                self.add_filter(a);
                self.add_filter(b);
            }
        }
    }

    fn add_stage(&mut self, stage: &Stage) {
        match stage {
            Stage::Line(_)
            | Stage::Json(_)
            | Stage::Logfmt { .. }
            | Stage::Regexp(_)
            | Stage::Pattern(_)
            | Stage::Unpack
            | Stage::Decolorize => {}
            Stage::Label(filter) => self.add_filter(filter),
            Stage::LineFormat(template) => self.add_template(template),
            Stage::LabelFormat(formats) => {
                for format in formats {
                    match format {
                        LabelFormat::Rename { to, from } => {
                            self.add(to);
                            self.add(from);
                        }
                        LabelFormat::Template { name, template } => {
                            self.add(name);
                            self.add_template(template);
                        }
                    }
                }
            }
            Stage::Drop(labels) | Stage::Keep(labels) => {
                for label in labels {
                    match label {
                        Selection::Name(name) => self.add(name),
                        Selection::Match(matcher) => self.add(&matcher.name),
                    }
                }
            }
        }
    }
}

/// The labels that the stages of `log` name.
pub(crate) fn of_log(log: &LogExpr) -> References {
    let mut references = References::default();
    log.stages.iter().for_each(|stage| references.add_stage(stage));
    references
}
