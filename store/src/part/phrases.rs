//! Phrases held against what the directory of a part says of its blocks.

use std::sync::Arc;

use super::Part;
use crate::block::{Phrase, TemplateNumbers, TemplatesOf};

/// Phrases that every match holds, in one part.
#[derive(Debug)]
pub(crate) struct PhrasesInPart<'a> {
    part: &'a Part,
    phrases: &'a [Phrase],
    /// By phrase and dictionary: the templates that may hold the phrase, `None` where that cannot be told.
    likely: Vec<(usize, u64, Option<Arc<TemplateNumbers>>)>,
}

impl<'a> PhrasesInPart<'a> {
    pub(crate) const fn new(part: &'a Part, phrases: &'a [Phrase]) -> Self {
        Self { part, phrases, likely: Vec::new() }
    }

    /// Whether a line of block `number`, or a value of its pairs, may hold each of the phrases.
    pub(crate) fn may_be_in(&mut self, number: u32) -> bool {
        let Some(Some(summary)) = self.part.summaries.get(number as usize) else { return true };
        (0..self.phrases.len()).all(|at| {
            let phrase = &self.phrases[at];
            summary.may_hold(phrase, || self.likely(at, summary.dictionary, number))
        })
    }

    fn likely(&mut self, phrase: usize, dictionary: u64, number: u32) -> Option<&TemplateNumbers> {
        let is_it = |(of, id, _): &(usize, u64, _)| (*of, *id) == (phrase, dictionary);
        let at = self.likely.iter().position(is_it).unwrap_or_else(|| {
            // Damage is told by whoever reads the block.
            let templates = self.part.dictionaries.templates(dictionary, TemplatesOf::Texts, number).ok();
            let likely =
                templates.and_then(|templates| templates.that_may_hold(&self.phrases[phrase].needle));
            self.likely.push((phrase, dictionary, likely));
            self.likely.len() - 1
        });
        self.likely[at].2.as_deref()
    }
}
