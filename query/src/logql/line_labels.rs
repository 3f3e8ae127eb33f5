//! The labels of one line while it passes a pipeline.
//!
//! Stream labels are shared and never copied; all other text lies in one buffer that the next line reuses.
//! Base names belong to the stream first, then to given metadata, then to parsers: who comes later gets
//! `_extracted` at the end of its name. Pairs that Binnacle derived give way to a parser's label instead,
//! since both were read from the same line.

use std::ops::Range;
use std::sync::Arc;

use store::Labels;

use super::label_set::LabelSet;

/// Name of the error a stage sets.
pub(crate) const ERROR: &str = "__error__";
/// What exactly went wrong.
pub(crate) const ERROR_DETAILS: &str = "__error_details__";
const EXTRACTED: &str = "_extracted";

/// Where a label comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// The stream.
    Stream,
    /// Structured metadata of the sender, and the detected level.
    Metadata,
    /// Metadata found by Binnacle.
    Derived,
    /// A stage of the pipeline.
    Parsed,
}

#[derive(Debug)]
struct Extra {
    name: Range<usize>,
    value: Range<usize>,
    category: Category,
    live: bool,
    /// Set by a parser, which later parsers do not overwrite.
    extracted: bool,
}

/// The labels of one line. Made once per worker and reset per line.
#[derive(Debug, Default)]
pub(crate) struct LineLabels {
    stream: Arc<Labels>,
    dropped_stream: Vec<usize>,
    text: String,
    extras: Vec<Extra>,
    error: Option<&'static str>,
    error_details: String,
}

impl LineLabels {
    /// Starts with a line of the stream.
    pub(crate) fn reset(&mut self, stream: &Arc<Labels>) {
        if !Arc::ptr_eq(&self.stream, stream) {
            self.stream = Arc::clone(stream);
        }
        self.dropped_stream.clear();
        self.text.clear();
        self.extras.clear();
        self.error = None;
        self.error_details.clear();
    }

    fn push(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.extras.iter().position(|extra| extra.live && self.slice(&extra.name) == name)
    }

    fn stream_index(&self, name: &str) -> Option<usize> {
        self.stream.iter().position(|(n, _)| n == name)
    }

    fn base_has(&self, name: &str) -> bool {
        self.stream.get(name).is_some()
            || self
                .extras
                .iter()
                .any(|e| e.live && e.category == Category::Metadata && self.slice(&e.name) == name)
    }

    /// Adds a pair of the record.
    pub(crate) fn add_metadata(&mut self, category: Category, name: &str, value: &str) {
        if category == Category::Derived && self.find(name).is_some() {
            return;
        }
        let start = self.text.len();
        self.text.push_str(name);
        if self.stream.get(name).is_some() {
            self.text.push_str(EXTRACTED);
        }
        let name = start..self.text.len();
        let value = self.push(value);
        self.extras.push(Extra { name, value, category, live: true, extracted: false });
    }

    /// The value of a label, [`ERROR`] and [`ERROR_DETAILS`] included.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        if let Some(i) = self.find(name) {
            return Some(self.slice(&self.extras[i].value));
        }
        match name {
            ERROR => self.error,
            ERROR_DETAILS => self.error.is_some().then_some(self.error_details.as_str()),
            _ => {
                let i = self.stream_index(name)?;
                (!self.dropped_stream.contains(&i)).then(|| self.stream.get(name))?
            }
        }
    }

    /// Sets a label whatever there was, as the format stages do.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let name = self.push(name);
        let value = self.push(value);
        self.put(name, value, false);
    }

    /// `name` lies in the buffer.
    fn put(&mut self, name: Range<usize>, value: Range<usize>, extracted: bool) {
        let text = self.slice(&name);
        let dropped = self.stream_index(text);
        let found = self.find(text);
        if let Some(i) = dropped
            && !self.dropped_stream.contains(&i)
        {
            self.dropped_stream.push(i);
        }
        match found {
            Some(i) => {
                let extra = &mut self.extras[i];
                extra.value = value;
                extra.category = Category::Parsed;
                extra.extracted |= extracted;
            }
            None => {
                self.extras.push(Extra { name, value, category: Category::Parsed, live: true, extracted })
            }
        }
    }

    /// Gives a label another name; it stays what it was otherwise.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let category = match self.find(from) {
            Some(i) => self.extras[i].category,
            None => Category::Stream,
        };
        let Some(value) = self.get(from).map(str::to_owned) else { return };
        self.set(to, &value);
        if let Some(i) = self.find(to) {
            self.extras[i].category = category;
        }
        if from != to {
            self.remove(from);
        }
    }

    /// Sets a label that a parser found; the first parser that finds a name keeps it. True when it was set under
    /// this very name.
    pub(crate) fn extract(&mut self, name: &str, value: &str) -> bool {
        let length = name.len();
        let (name, seen) = self.extracted_name(name);
        if seen {
            return false;
        }
        let same_name = name.len() == length;
        let value = self.push(value);
        self.put(name, value, true);
        same_name
    }

    /// As [`LineLabels::extract`], but replaces what an earlier parser found.
    pub(crate) fn extract_again(&mut self, name: &str, value: &str) {
        let (name, _) = self.extracted_name(name);
        let value = self.push(value);
        self.put(name, value, true);
    }

    /// The final name, and whether a parser has set it already.
    fn extracted_name(&mut self, name: &str) -> (Range<usize>, bool) {
        let start = self.text.len();
        let suffix = if self.base_has(name) { EXTRACTED } else { "" };
        self.text.push_str(name);
        self.text.push_str(suffix);
        let name = start..self.text.len();
        let text = self.slice(&name);
        let seen = self.extras.iter().any(|e| e.extracted && self.slice(&e.name) == text);
        (name, seen)
    }

    /// Removes a label, or the error.
    pub(crate) fn remove(&mut self, name: &str) {
        match name {
            ERROR => self.error = None,
            ERROR_DETAILS => self.error_details.clear(),
            _ => {}
        }
        if let Some(i) = self.find(name) {
            self.extras[i].live = false;
        }
        if let Some(i) = self.stream_index(name)
            && !self.dropped_stream.contains(&i)
        {
            self.dropped_stream.push(i);
        }
    }

    /// Removes every label that `keep` refuses; errors stay.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &str) -> bool) {
        for i in 0..self.extras.len() {
            let extra = &self.extras[i];
            if extra.live && !keep(self.slice(&extra.name), self.slice(&extra.value)) {
                self.extras[i].live = false;
            }
        }
        for (i, (name, value)) in self.stream.iter().enumerate() {
            if !self.dropped_stream.contains(&i) && !keep(name, value) {
                self.dropped_stream.push(i);
            }
        }
    }

    /// Marks the line as one that a stage could not handle.
    pub(crate) fn set_error(&mut self, error: &'static str, details: impl std::fmt::Display) {
        self.error = Some(error);
        self.error_details.clear();
        self.error_details.push_str(&details.to_string());
    }

    pub(crate) const fn error(&self) -> Option<&'static str> {
        self.error
    }

    /// Every label, in no order.
    pub(crate) fn for_each<'a>(&'a self, mut found: impl FnMut(Category, &'a str, &'a str)) {
        for (i, (name, value)) in self.stream.iter().enumerate() {
            if !self.dropped_stream.contains(&i) {
                found(Category::Stream, name, value);
            }
        }
        for extra in self.extras.iter().filter(|extra| extra.live) {
            found(extra.category, self.slice(&extra.name), self.slice(&extra.value));
        }
        if let Some(error) = self.error {
            found(Category::Parsed, ERROR, error);
            if !self.error_details.is_empty() {
                found(Category::Parsed, ERROR_DETAILS, &self.error_details);
            }
        }
    }

    /// All labels, by name.
    pub(crate) fn to_set(&self) -> LabelSet {
        let mut pairs = Vec::new();
        self.for_each(|_, name, value| pairs.push((name, value)));
        LabelSet::new(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> LineLabels {
        let mut labels = LineLabels::default();
        labels.reset(&Arc::new(Labels::new([("app", "a"), ("sl", "s"), ("tri", "s")])));
        labels
    }

    #[test]
    fn later_comers_are_renamed() {
        let mut labels = labels();
        for name in ["md", "tri"] {
            labels.add_metadata(Category::Metadata, name, "m");
        }
        for name in ["sl", "md", "tri", "new"] {
            labels.extract(name, "p");
            labels.extract(name, "again");
        }
        assert_eq!(
            labels.to_set().to_string(),
            r#"{app="a", md="m", md_extracted="p", new="p", sl="s", sl_extracted="p", tri="s", tri_extracted="p"}"#
        );
    }

    #[test]
    fn derived_pairs_give_way() {
        let mut labels = labels();
        labels.add_metadata(Category::Metadata, "span_id", "given");
        labels.add_metadata(Category::Derived, "span_id", "derived");
        labels.add_metadata(Category::Derived, "trace_id", "1");
        labels.extract("trace_id", "1");
        assert_eq!(labels.get("span_id"), Some("given"));
        assert_eq!(labels.get("trace_id"), Some("1"));
        assert_eq!(labels.get("trace_id_extracted"), None);
    }

    #[test]
    fn errors_are_labels_too() {
        let mut labels = labels();
        assert_eq!(labels.get(ERROR), None);
        labels.set_error("JSONParserErr", "x");
        labels.retain(|_, _| false);
        assert_eq!(labels.to_set().to_string(), r#"{__error__="JSONParserErr", __error_details__="x"}"#);
        labels.remove(ERROR);
        assert_eq!(labels.to_set().to_string(), "{}");
    }
}
