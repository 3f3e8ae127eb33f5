//! Samples of a block taken from its columns: neither lines nor labels are written out.
//!
//! What a line adds follows from its shape: the texts that make up the key of its series, and where its number stands.
//! Few texts have codes; lines are then added by code, and a text is looked at once however many lines have it. The
//! invariant: the series and samples are those that running the pipeline on each line gives. Shapes of which that
//! is not certain are left to it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use store::Labels;
use store::block::{BlockError, CodedValues, Dictionary, LineShapes, NumberValues, SharedCodes};

use super::cells::Kind;
use super::counts::Counts;
use super::key;
use super::range_plan::read_number;
use super::series::{Sample, SeriesTable};
use super::shared::{SetId, SharedGroups};
use crate::logql::ast::{Conversion, Unwrap};
use crate::logql::line_labels::{ERROR, ERROR_DETAILS, LineLabels};
use crate::logql::pipeline::{JsonColumns, LabelSource, SlotText};

/// Most combinations of codes that are numbered for one shape. Beyond it keys are made line by line.
const MAX_GROUPS: usize = 1 << 16;
/// A group that has no place yet.
const NO_PLACE: u32 = u32::MAX;

/// How the lines of one block add to series.
#[derive(Debug)]
pub(super) struct Columnar<'s, 'a> {
    shapes: LineShapes<'a>,
    /// By shape; `None` where lines must be looked at one by one.
    arms: Vec<Option<Arm<'s, 'a>>>,
    /// Lines are only counted.
    counts: bool,
    buffer: Vec<u8>,
}

/// How the lines of one shape do.
#[derive(Debug)]
struct Arm<'s, 'a> {
    key: Vec<KeyPart<'s, 'a>>,
    groups: Groups<'a>,
    value: Value<'a>,
}

/// The text of one label in the key of a series.
#[derive(Debug)]
enum KeyPart<'s, 'a> {
    Missing,
    Text(Cow<'s, str>),
    /// The one with the code of this number.
    Coded(&'s SlotText<'a>, usize),
    /// Another in each line.
    Each(&'s SlotText<'a>),
}

/// Which series the lines belong to.
#[derive(Debug)]
enum Groups<'a> {
    Coded(CodedGroups<'a>),
    /// The same by codes that other blocks share.
    Shared(SharedArm<'a>),
    /// Their keys tell, line by line.
    Keyed,
}

/// Codes that other blocks share, and the number of the set of groups that they are the codes of.
#[derive(Debug)]
struct SharedArm<'a> {
    codes: SharedCodes<'a>,
    set: Option<usize>,
}

/// Groups of lines, numbered by the codes of their texts.
#[derive(Debug)]
struct CodedGroups<'a> {
    /// Codes, and what each is multiplied by.
    codes: Vec<(CodedValues<'a>, usize)>,
    /// By number: lines not yet added.
    counts: Counts,
    /// By number: the place of the series.
    places: Vec<u32>,
}

/// What a line adds.
#[derive(Debug)]
enum Value<'a> {
    /// Nothing at all.
    None,
    Same(f64),
    Numbers(NumberValues<'a>),
    /// By code; nothing where the text is empty.
    Coded(CodedValues<'a>, Vec<Option<f64>>),
}

/// What tells how lines are added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'p> {
    /// Labels by which series are told apart.
    pub(super) names: &'p [String],
    /// What is measured, if lines are not counted.
    pub(super) unwrap: Option<&'p Unwrap>,
    pub(super) kind: Kind,
}

/// Where samples go.
#[derive(Debug)]
pub(super) struct Target<'t> {
    pub(super) series: &'t mut SeriesTable,
    pub(super) shared: &'t mut SharedGroups,
    /// Scratch.
    pub(super) key: &'t mut String,
    pub(super) kind: Kind,
    pub(super) max_series: usize,
}

/// Rows of one pane, and the time of each where that matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct PaneRows<'r> {
    pub(super) pane: u32,
    pub(super) rows: &'r [usize],
    pub(super) timestamps: Option<&'r [i64]>,
}

impl<'s, 'a> Columnar<'s, 'a> {
    /// `None` where nothing is gained over looking at each line.
    pub(super) fn of(
        columns: &'s JsonColumns<'a>,
        stream: &'s Arc<Labels>,
        wanted: Wanted<'_>,
    ) -> Option<Self> {
        let shapes = columns.shapes();
        let (mut labels, mut names) = (LineLabels::default(), wanted.names.to_vec());
        names.extend(wanted.unwrap.map(|unwrap| unwrap.label.clone()));
        names.extend([ERROR, ERROR_DETAILS].map(str::to_owned));
        let mut arms = Vec::with_capacity(shapes.len());
        for shape in 0..shapes.len() {
            let sources = columns.sources(shape, stream, &names, &mut labels);
            arms.push(sources.and_then(|sources| Arm::of(sources, wanted)));
        }
        // Samples of one time keep their order only if all of them are added the same way.
        let in_order = matches!(wanted.kind, Kind::First | Kind::Last | Kind::Samples);
        let fits = |arm: &Option<Arm<'_, '_>>| {
            arm.as_ref().is_some_and(|arm| matches!(arm.groups, Groups::Coded(_)))
        };
        let is_of_use = if in_order { arms.iter().all(fits) } else { arms.iter().any(Option::is_some) };
        let counts = wanted.unwrap.is_none();
        is_of_use.then(|| Self { shapes, arms, counts, buffer: Vec::new() })
    }

    /// Adds the lines of `at`; gives `None` when there are too many series. Those that must be looked at one by one
    /// are put into `left`.
    pub(super) fn add(
        &mut self,
        at: PaneRows<'_>,
        target: &mut Target<'_>,
        left: &mut Vec<usize>,
    ) -> Result<Option<()>, BlockError> {
        if self.begin(at, target).is_none() {
            return Ok(None);
        }
        if let Some((arm, set, rows)) = self.all_alike(at.rows) {
            target.shared.set(set).count_lines(&arm.codes, rows);
            return Ok(Some(()));
        }
        for row in at.rows.iter().copied() {
            let Some(arm) = &mut self.arms[self.shapes.of_row(row)] else {
                left.push(row);
                continue;
            };
            let Some(value) = arm.value.of_row(row) else { continue };
            let ts_ns = at.timestamps.map_or(0, |timestamps| timestamps[row]);
            let added = match &mut arm.groups {
                Groups::Coded(groups) => {
                    let group = groups.of_row(row);
                    if self.counts {
                        groups.counts.add(group, 1);
                        continue;
                    }
                    let place = groups.place(group, &arm.key, target);
                    place.map(|place| target.series.cells(place).add(target.kind, at.pane, ts_ns, value))
                }
                Groups::Shared(SharedArm { codes, set: Some(set) }) => {
                    let (code, set) = (codes.code(row), target.shared.set(*set));
                    if self.counts {
                        set.count(code);
                        continue;
                    }
                    let scratch = (&mut *target.key, &mut self.buffer);
                    let place = set.place(code, target.series, target.max_series, scratch);
                    place.map(|place| target.series.cells(place).add(target.kind, at.pane, ts_ns, value))
                }
                Groups::Shared(_) | Groups::Keyed => {
                    set_key(target.key, &arm.key, row, &mut self.buffer)?;
                    let sample = Sample { pane: at.pane, ts_ns, value };
                    target.series.add(target.kind, target.key, sample, target.max_series)
                }
            };
            if added.is_none() {
                return Ok(None);
            }
        }
        Ok(self.settle(at.pane, target))
    }

    /// Finds the sets of groups that blocks share; `None` when there are too many series.
    fn begin(&mut self, at: PaneRows<'_>, target: &mut Target<'_>) -> Option<()> {
        let Target { series, shared, kind, max_series, .. } = target;
        let mut arms = Vec::new();
        for Arm { key, groups, .. } in self.arms.iter_mut().flatten() {
            if let Groups::Shared(arm) = groups {
                arms.push((set_id(key, arm.codes.dictionary())?, arm));
            }
        }
        let (ids, arms): (Vec<_>, Vec<_>) = arms.into_iter().unzip();
        let sets = shared.find(ids, *kind, series, *max_series)?;
        for (arm, set) in arms.into_iter().zip(sets) {
            arm.set = set;
            if let Some(set) = set {
                let (lines, codes) = (at.rows.len(), arm.codes.max_codes());
                shared.set(set).begin(at.pane, lines, codes, *kind, series, *max_series)?;
            }
        }
        Some(())
    }

    /// The codes that count all of `rows`, the set of groups that they are of, and what rows these are, where all shapes have
    /// the same: it makes no difference which a line has.
    fn all_alike(&self, rows: &[usize]) -> Option<(&SharedArm<'a>, usize, Range<usize>)> {
        let (first, last) = (*rows.first()?, *rows.last()?);
        let (arm, set) = self.arms.first()?.as_ref()?.shared()?;
        let is_like = |other: &Option<Arm<'_, '_>>| {
            let other = other.as_ref().and_then(Arm::shared);
            other.is_some_and(|(like, its)| its == set && arm.codes.is_of_each_line_with(&like.codes))
        };
        let are_alike = self.counts && last - first + 1 == rows.len() && self.arms.iter().all(is_like);
        are_alike.then_some((arm, set, first..last + 1))
    }

    /// Adds the lines that were counted.
    fn settle(&mut self, pane: u32, target: &mut Target<'_>) -> Option<()> {
        for arm in self.arms.iter_mut().flatten() {
            let Groups::Coded(groups) = &mut arm.groups else { continue };
            for at in 0..groups.counts.len() {
                let group = groups.counts.code(at);
                let place = groups.place(group, &arm.key, target)?;
                let count = f64::from(groups.counts.lines(group));
                target.series.cells(place).add(target.kind, pane, 0, count);
            }
            groups.counts.clear();
        }
        Some(())
    }
}

impl<'s, 'a> Arm<'s, 'a> {
    /// `sources` are those of the labels of the key, then that of the label unwrapped and those of errors.
    fn of(mut sources: Vec<LabelSource<'s, 'a>>, wanted: Wanted<'_>) -> Option<Self> {
        for _ in [ERROR, ERROR_DETAILS] {
            // A field of this name is taken for an error by later stages.
            sources.pop().filter(|source| matches!(source, LabelSource::Missing))?;
        }
        let value = match wanted.unwrap {
            Some(unwrap) => Value::of(&sources.pop()?, unwrap.conversion)?,
            None => Value::Same(1.0),
        };
        let (mut key, mut codes, mut groups) = (Vec::with_capacity(sources.len()), Vec::new(), 1_usize);
        for source in sources {
            key.push(match source {
                LabelSource::Missing => KeyPart::Missing,
                LabelSource::Text(text) => KeyPart::Text(text),
                LabelSource::Slot(slot) => match slot.coded() {
                    None => KeyPart::Each(slot),
                    Some(coded) => {
                        codes.push((coded, groups));
                        groups = groups.checked_mul(coded.len())?;
                        KeyPart::Coded(slot, codes.len() - 1)
                    }
                },
            });
        }
        let is_each = |part: &KeyPart<'_, '_>| matches!(part, KeyPart::Each(_));
        if groups > MAX_GROUPS || key.iter().any(is_each) {
            let mut slots = key.iter().filter_map(|part| match part {
                KeyPart::Coded(slot, _) | KeyPart::Each(slot) => Some(*slot),
                KeyPart::Missing | KeyPart::Text(_) => None,
            });
            let only = slots.next().filter(|_| slots.next().is_none());
            if let Some(codes) = only.and_then(SlotText::shared_codes) {
                let groups = Groups::Shared(SharedArm { codes, set: None });
                return Some(Self { key, groups, value });
            }
            for part in &mut key {
                if let KeyPart::Coded(slot, _) = part {
                    *part = KeyPart::Each(slot);
                }
            }
            return Some(Self { key, groups: Groups::Keyed, value });
        }
        let (counts, places) = (Counts::of(groups), vec![NO_PLACE; groups]);
        let groups = Groups::Coded(CodedGroups { codes, counts, places });
        Some(Self { key, groups, value })
    }
}

impl<'a> Arm<'_, 'a> {
    /// Codes that other blocks share, and the set of groups that they are of.
    fn shared(&self) -> Option<(&SharedArm<'a>, usize)> {
        match &self.groups {
            Groups::Shared(arm) => arm.set.map(|set| (arm, set)),
            Groups::Coded(_) | Groups::Keyed => None,
        }
    }
}

impl CodedGroups<'_> {
    #[inline]
    fn of_row(&self, row: usize) -> usize {
        self.codes.iter().map(|(codes, unit)| codes.code(row) * unit).sum()
    }

    /// The place of a group's series; `None` when there are too many of them.
    fn place(&mut self, group: usize, parts: &[KeyPart<'_, '_>], target: &mut Target<'_>) -> Option<usize> {
        if self.places[group] == NO_PLACE {
            target.key.clear();
            for part in parts {
                match part {
                    KeyPart::Text(text) => key::push(target.key, Some(text)),
                    KeyPart::Coded(slot, number) => {
                        let (codes, unit) = &self.codes[*number];
                        let value = codes.text(group / unit % codes.len());
                        key::push(target.key, Some(&slot.read(value)));
                    }
                    KeyPart::Missing | KeyPart::Each(_) => key::push(target.key, None),
                }
            }
            self.places[group] = target.series.place(target.key, target.max_series)? as u32;
        }
        Some(self.places[group] as usize)
    }
}

impl<'a> Value<'a> {
    /// `None` where some text is no number: lines that have it carry an error.
    fn of(source: &LabelSource<'_, 'a>, conversion: Conversion) -> Option<Self> {
        let slot = match source {
            LabelSource::Missing => return Some(Self::None),
            LabelSource::Text(text) if text.is_empty() => return Some(Self::None),
            LabelSource::Text(text) => return Some(Self::Same(read_number(text, conversion).ok()?)),
            LabelSource::Slot(slot) => slot,
        };
        if let Some(numbers) = slot.numbers().filter(|_| conversion == Conversion::Number) {
            return Some(Self::Numbers(numbers));
        }
        let coded = slot.coded()?;
        let mut values = Vec::with_capacity(coded.len());
        for code in 0..coded.len() {
            let text = slot.read(coded.text(code));
            let is_empty = text.is_empty();
            values.push(if is_empty { None } else { Some(read_number(&text, conversion).ok()?) });
        }
        Some(Self::Coded(coded, values))
    }

    #[inline]
    fn of_row(&self, row: usize) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Same(value) => Some(*value),
            Self::Numbers(numbers) => Some(numbers.get(row)),
            Self::Coded(codes, values) => values[codes.code(row)],
        }
    }
}

/// Which set of groups the one slot of a key makes; `None` when it has none.
fn set_id(parts: &[KeyPart<'_, '_>], dictionary: Dictionary) -> Option<SetId> {
    let (mut before, mut after, mut quoting) = (String::new(), String::new(), None);
    for part in parts {
        let key = if quoting.is_none() { &mut before } else { &mut after };
        match part {
            KeyPart::Missing => key::push(key, None),
            KeyPart::Text(text) => key::push(key, Some(text)),
            KeyPart::Coded(slot, _) | KeyPart::Each(slot) => quoting = Some(slot.quoting()),
        }
    }
    Some(SetId { dictionary, quoting: quoting?, before, after })
}

/// The key of line `row`.
fn set_key(
    key: &mut String,
    parts: &[KeyPart<'_, '_>],
    row: usize,
    buffer: &mut Vec<u8>,
) -> Result<(), BlockError> {
    key.clear();
    for part in parts {
        match part {
            KeyPart::Missing => key::push(key, None),
            KeyPart::Text(text) => key::push(key, Some(text)),
            KeyPart::Coded(slot, _) | KeyPart::Each(slot) => key::push(key, Some(&slot.get(row, buffer)?)),
        }
    }
    Ok(())
}
