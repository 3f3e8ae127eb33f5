//! What every line that passes the stages must hold, for the block index and for a scan before parsing.
//!
//! Line filters speak of the line as it was stored only up to the first stage that rewrites it. A label that
//! must equal a text is looked for in the line as written (or as the pair of that name): JSON and logfmt may
//! escape other characters, but plain ASCII letters and digits must stand for themselves. Index and scan apply the same
//! rule, so that an answer never depends on how lines happen to be stored together.

use std::sync::Arc;

use store::block::Pattern as Runs;
use store::{Prune, Text};

use crate::filter::literals::prune_of_pattern;
use crate::logql::ast::*;
use crate::logql::pattern::Pattern;
use crate::logql::regex::{Regex, pattern_of, translate};

use super::line_filter::lenient;

/// Shorter text rules out too little to be worth a look.
const MIN_TEXT: usize = 3;

/// What lines must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requirements {
    /// Of the line itself.
    lines: Vec<Prune>,
    /// Of the line or the values of its pairs.
    records: Vec<Prune>,
    /// Texts that the line must not hold.
    excluded: Vec<String>,
    /// Regular expressions without literals that the line must match.
    patterns: Vec<Arc<Runs>>,
    /// Levels named by `detected_level="…"`.
    pub(crate) level: Option<String>,
}

impl Requirements {
    /// Collects from `stages`. Labels that `in_stream` knows may have their value from there.
    pub(crate) fn of(stages: &[Stage], in_stream: impl Fn(&str) -> bool) -> Self {
        let mut found = Self::default();
        let mut formatted: Vec<&str> = Vec::new();
        for stage in stages {
            match stage {
                Stage::Line(filter) => found.add_line_filter(filter),
                Stage::Label(filter) => {
                    found.add_label_filter(filter, &|name| formatted.contains(&name) || in_stream(name))
                }
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
        all_of(self.lines.iter().chain(&self.records).cloned().collect())
    }

    /// What the line itself must hold.
    pub(crate) fn of_lines(&self) -> Prune {
        all_of(self.lines.clone())
    }

    /// What the line or the values of its pairs must hold.
    pub(crate) fn of_records(&self) -> Prune {
        all_of(self.records.clone())
    }

    /// Texts that the line must not hold.
    pub(crate) fn excluded(&self) -> &[String] {
        &self.excluded
    }

    /// Regular expressions that the line must match, of which [`Requirements::of_lines`] says nothing.
    pub(crate) fn patterns(&self) -> &[Arc<Runs>] {
        &self.patterns
    }

    fn add_line_filter(&mut self, filter: &LineFilter) {
        if filter.op == LineOp::NotContains {
            self.excluded.extend(texts_found_in_columns(filter).into_iter().flatten().map(str::to_owned));
        }
        if filter.op.is_negative() {
            return;
        }
        let any: Vec<Prune> = filter.alternatives.iter().map(|a| line_match(filter.op, a)).collect();
        let any = any_of(any);
        if any == Prune::Any && filter.op == LineOp::Regex {
            self.patterns.extend(only_pattern(filter).map(Arc::new));
        }
        self.lines.push(any);
    }

    fn add_label_filter(&mut self, filter: &LabelFilter, from_elsewhere: &dyn Fn(&str) -> bool) {
        match filter {
            LabelFilter::And(a, b) => {
                self.add_label_filter(a, from_elsewhere);
                self.add_label_filter(b, from_elsewhere);
            }
            LabelFilter::Match(Matcher { name, op: MatchOp::Equal, value })
                if !from_elsewhere(name) && !name.starts_with("__") =>
            {
                if name == super::DETECTED_LEVEL {
                    self.level = Some(value.clone());
                    return;
                }
                self.records.push(all_of(plain_pieces(value).map(|piece| text(piece.as_bytes())).collect()));
            }
            _ => {}
        }
    }
}

/// The regular expression of a filter that has one, if it looks at nothing beyond its match.
fn only_pattern(filter: &LineFilter) -> Option<Runs> {
    let [LineMatch::Text(written)] = filter.alternatives.as_slice() else { return None };
    let written = lenient(written);
    pattern_of(&Regex::new(&written).ok()?, &translate(&written).ok()?)
}

/// How many of the leading stages are line filters that every row passes which [`Requirements`] leave: text that is
/// looked for is found in the columns as surely as in the line.
pub(super) fn settled(stages: &[Stage]) -> usize {
    let is_settled = |stage: &&Stage| match stage {
        Stage::Line(filter @ LineFilter { op: LineOp::Contains | LineOp::NotContains, .. }) => {
            texts_found_in_columns(filter).is_some()
        }
        _ => false,
    };
    stages.iter().take_while(is_settled).count()
}

/// The texts of a filter, if all are long enough to be looked for in columns.
fn texts_found_in_columns(filter: &LineFilter) -> Option<impl Iterator<Item = &str>> {
    let mut texts = Vec::with_capacity(filter.alternatives.len());
    for alternative in &filter.alternatives {
        match alternative {
            LineMatch::Text(text) if text.len() >= MIN_TEXT => texts.push(text.as_str()),
            _ => return None,
        }
    }
    Some(texts.into_iter())
}

fn any_of(mut any: Vec<Prune>) -> Prune {
    if any.contains(&Prune::Any) {
        return Prune::Any;
    }
    if any.len() == 1 { any.swap_remove(0) } else { Prune::Or(any) }
}

fn all_of(all: Vec<Prune>) -> Prune {
    let mut distinct: Vec<Prune> = Vec::new();
    for condition in all {
        if condition != Prune::Any && !distinct.contains(&condition) {
            distinct.push(condition);
        }
    }
    let mut all = distinct;
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

/// The parts of a value that no encoder escapes, of useful length.
fn plain_pieces(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')))
        .filter(|piece| piece.len() >= MIN_TEXT)
}
