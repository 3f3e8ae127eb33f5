//! What every line that passes the stages must hold, for the block index and for a scan before parsing.
//!
//! Line filters speak of the line as it was stored only up to the first stage that rewrites it. A label
//! that must equal a text was written in the line (or stands among the record's labels and pairs), except
//! for characters that JSON and logfmt may escape; plain ASCII is taken to stand for itself. See the page
//! on query languages for the consequence.

use store::{Prune, Text};

use crate::filter::literals::prune_of_pattern;
use crate::logql::ast::*;
use crate::logql::pattern::Pattern;
use crate::logql::regex::translate;

use super::line_filter::lenient;

/// Shorter text rules out too little to be worth a look.
const MIN_TEXT: usize = 3;

/// What lines must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requirements {
    all: Vec<Prune>,
    /// Text of the first line filter that every line must hold, for a scan over whole blocks.
    pub(crate) text: Option<Vec<u8>>,
    /// Levels named by `detected_level="…"`.
    pub(crate) level: Option<String>,
}

impl Requirements {
    /// Collects from `stages`.
    pub(crate) fn of(stages: &[Stage]) -> Self {
        let mut found = Self::default();
        let mut formatted: Vec<&str> = Vec::new();
        for stage in stages {
            match stage {
                Stage::Line(filter) => found.add_line_filter(filter),
                Stage::Label(filter) => found.add_label_filter(filter, &formatted),
                Stage::LabelFormat(formats) => {
                    for format in formats {
                        match format {
                            LabelFormat::Rename { to, from } => {
                                formatted.extend([to.as_str(), from.as_str()])
                            }
                            LabelFormat::Template { name, .. } => formatted.push(name),
                        }
                    }
                }
                Stage::LineFormat(_) | Stage::Unpack | Stage::Decolorize => break,
                Stage::Json(_)
                | Stage::Logfmt { .. }
                | Stage::Regexp(_)
                | Stage::Pattern(_)
                | Stage::Drop(_)
                | Stage::Keep(_) => {}
            }
        }
        found
    }

    /// The condition for the block index.
    pub(crate) fn prune(&self) -> Prune {
        match self.all.as_slice() {
            [] => Prune::Any,
            [one] => one.clone(),
            all => Prune::And(all.to_vec()),
        }
    }

    fn add(&mut self, prune: Prune) {
        if prune != Prune::Any && !self.all.contains(&prune) {
            self.all.push(prune);
        }
    }

    fn add_line_filter(&mut self, filter: &LineFilter) {
        if filter.op.is_negative() {
            return;
        }
        if let (LineOp::Contains, [LineMatch::Text(text)]) = (filter.op, filter.alternatives.as_slice())
            && self.text.is_none()
            && !text.is_empty()
        {
            self.text = Some(text.clone().into_bytes());
        }
        let any: Vec<Prune> = filter.alternatives.iter().map(|a| line_match(filter.op, a)).collect();
        self.add(any_of(any));
    }

    fn add_label_filter(&mut self, filter: &LabelFilter, formatted: &[&str]) {
        match filter {
            LabelFilter::And(a, b) => {
                self.add_label_filter(a, formatted);
                self.add_label_filter(b, formatted);
            }
            LabelFilter::Or(..) => self.add(label_filter(filter, formatted)),
            _ => {
                self.add(label_filter(filter, formatted));
                if let LabelFilter::Match(matcher) = filter
                    && matcher.op == MatchOp::Equal
                    && matcher.name == super::DETECTED_LEVEL
                    && !formatted.contains(&super::DETECTED_LEVEL)
                {
                    self.level = Some(matcher.value.clone());
                }
            }
        }
    }
}

fn any_of(mut any: Vec<Prune>) -> Prune {
    if any.contains(&Prune::Any) {
        return Prune::Any;
    }
    if any.len() == 1 { any.swap_remove(0) } else { Prune::Or(any) }
}

fn all_of(all: Vec<Prune>) -> Prune {
    let mut all: Vec<Prune> = all.into_iter().filter(|prune| *prune != Prune::Any).collect();
    match all.len() {
        0 => Prune::Any,
        1 => all.swap_remove(0),
        _ => Prune::And(all),
    }
}

fn text(bytes: &[u8]) -> Prune {
    if bytes.len() < MIN_TEXT { Prune::Any } else { Prune::Text(Text::substring(bytes)) }
}

fn line_match(op: LineOp, alternative: &LineMatch) -> Prune {
    let LineMatch::Text(written) = alternative else { return Prune::Any };
    match op {
        LineOp::Contains => text(written.as_bytes()),
        LineOp::Regex => {
            translate(&lenient(written)).map_or(Prune::Any, |pattern| prune_of_pattern(&pattern))
        }
        LineOp::Pattern => Pattern::line_filter(written)
            .map_or(Prune::Any, |pattern| all_of(pattern.literals().map(text).collect())),
        LineOp::NotContains | LineOp::NotRegex | LineOp::NotPattern => Prune::Any,
    }
}

fn label_filter(filter: &LabelFilter, formatted: &[&str]) -> Prune {
    match filter {
        LabelFilter::And(a, b) => all_of(vec![label_filter(a, formatted), label_filter(b, formatted)]),
        LabelFilter::Or(a, b) => any_of(vec![label_filter(a, formatted), label_filter(b, formatted)]),
        LabelFilter::Match(matcher)
            if matcher.op == MatchOp::Equal && is_stored(&matcher.name, formatted) =>
        {
            all_of(plain_pieces(&matcher.value).map(|piece| text(piece.as_bytes())).collect())
        }
        _ => Prune::Any,
    }
}

/// Whether the label's value stands in the record, not in its level or an error.
fn is_stored(name: &str, formatted: &[&str]) -> bool {
    !formatted.contains(&name) && !name.starts_with("__") && !name.starts_with(super::DETECTED_LEVEL)
}

/// The parts of a value that no encoder escapes.
fn plain_pieces(value: &str) -> impl Iterator<Item = &str> {
    value.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')))
}
