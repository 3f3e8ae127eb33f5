//! What tells series apart: the labels they are grouped by, written as one text.
//!
//! The invariant: lists of labels are equal exactly if their keys are, and a key holds all of its list, so that a
//! series needs no labels of its own until someone looks at it.

use crate::logql::ast::{Grouping, RangeAggregation, RangeOp};
use crate::logql::label_set::LabelSet;
use crate::logql::pipeline::References;

/// Which labels tell series apart.
#[derive(Clone, Debug)]
pub(super) enum KeyLabels {
    /// These; a key holds the value of each, or that there is none.
    By(Vec<String>),
    /// All but these; a key holds name and value of each.
    Without(Vec<String>),
}

impl KeyLabels {
    /// Those of a range aggregation, with the grouping of the vector aggregation around it where both are done as one.
    #[expect(clippy::option_option, reason = "an aggregation without grouping is one group")]
    pub(super) fn of(range: &RangeAggregation, outer: Option<Option<&Grouping>>) -> Self {
        let unwrapped = range.unwrap.iter().map(|unwrap| unwrap.label.clone());
        let own = |grouping: &Grouping| {
            let mut names = grouping.labels.clone();
            if grouping.without {
                names.extend(unwrapped.clone());
                Self::Without(names)
            } else {
                names.sort();
                names.dedup();
                Self::By(names)
            }
        };
        match (outer, &range.grouping) {
            _ if range.op == RangeOp::AbsentOverTime => Self::By(Vec::new()),
            (Some(None), _) => Self::By(Vec::new()),
            (Some(Some(grouping)), _) => match own(grouping) {
                // The inner aggregation has taken the unwrapped label away before the outer one groups.
                Self::By(mut names) => {
                    names.retain(|name| unwrapped.clone().all(|label| label != *name));
                    Self::By(names)
                }
                without => without,
            },
            (None, Some(grouping)) => own(grouping),
            (None, None) => Self::Without(unwrapped.collect()),
        }
    }

    /// Adds the labels that must be known, and the one unwrapped.
    pub(super) fn add_references(&self, references: &mut References, unwrapped: Option<&str>) {
        if let Self::By(names) = self {
            names.iter().for_each(|name| references.add(name));
        }
        unwrapped.into_iter().for_each(|name| references.add(name));
    }

    /// The labels that `key` was made of.
    pub(super) fn labels(&self, mut key: &str) -> LabelSet {
        match self {
            Self::By(names) => {
                LabelSet::new(names.iter().filter_map(|name| Some((name.as_str(), take(&mut key)?))))
            }
            Self::Without(_) => {
                LabelSet::new(std::iter::from_fn(|| Some((take(&mut key)?, take(&mut key)?))))
            }
        }
    }
}

/// Appends a text, or that there is none, so that no two lists of texts give the same key: first its length, six bits a
/// character.
pub(super) fn push(key: &mut String, text: Option<&str>) {
    let mut length = text.map_or(0, |text| text.len() + 1);
    while length >= 64 {
        key.push(char::from(64 | (length & 63) as u8));
        length >>= 6;
    }
    key.push(char::from(length as u8));
    key.push_str(text.unwrap_or_default());
}

/// Takes the text that was appended first; `None` when it was none, or nothing is left.
fn take<'k>(key: &mut &'k str) -> Option<&'k str> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (digit, rest) = key.as_bytes().split_first()?;
        *key = key.get(key.len() - rest.len()..)?;
        length |= usize::from(digit & 63) << shift;
        shift += 6;
        if *digit < 64 {
            break;
        }
    }
    let (text, rest) = key.split_at_checked(length.checked_sub(1)?)?;
    *key = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_gives_back_its_labels(
            values in prop::collection::vec(prop::option::of("\\PC{0,3}|[a-z]{60,70}|x{4000,4200}"), 0..4)
        ) {
            let names: Vec<String> = (0..values.len()).map(|i| format!("n{i}")).collect();
            let pairs = || names.iter().zip(&values).filter_map(|(n, v)| Some((n.as_str(), v.as_deref()?)));
            let mut by = String::new();
            values.iter().for_each(|value| push(&mut by, value.as_deref()));
            prop_assert_eq!(KeyLabels::By(names.clone()).labels(&by), LabelSet::new(pairs()));
            let mut without = String::new();
            for (name, value) in pairs() {
                push(&mut without, Some(name));
                push(&mut without, Some(value));
            }
            prop_assert_eq!(KeyLabels::Without(Vec::new()).labels(&without), LabelSet::new(pairs()));
        }
    }
}
