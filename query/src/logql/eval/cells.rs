//! The samples of one series, summed up pane by pane, and the value of each window.

use super::order::order;
use super::windows::Windows;
use crate::logql::ast::RangeOp;

/// How samples are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sum,
    Average,
    Min,
    Max,
    First,
    Last,
    Moments,
    /// All samples are needed.
    Values,
    /// All samples with their times are.
    Samples,
}

impl Kind {
    pub(super) const fn of(op: RangeOp) -> Self {
        match op {
            RangeOp::Rate
            | RangeOp::CountOverTime
            | RangeOp::BytesRate
            | RangeOp::BytesOverTime
            | RangeOp::SumOverTime
            | RangeOp::AbsentOverTime => Self::Sum,
            RangeOp::AvgOverTime => Self::Average,
            RangeOp::MinOverTime => Self::Min,
            RangeOp::MaxOverTime => Self::Max,
            RangeOp::FirstOverTime => Self::First,
            RangeOp::LastOverTime => Self::Last,
            RangeOp::StdvarOverTime | RangeOp::StddevOverTime => Self::Moments,
            RangeOp::QuantileOverTime => Self::Values,
            RangeOp::RateCounter => Self::Samples,
        }
    }

    /// Whether samples are kept one by one.
    pub(super) const fn keeps_samples(self) -> bool {
        matches!(self, Self::Values | Self::Samples)
    }
}

/// The sum of some samples.
#[derive(Clone, Debug)]
enum Cell {
    Sum(f64),
    Average {
        sum: f64,
        count: f64,
    },
    /// Also `Max`, `First` and `Last`: one sample stands for all.
    One {
        ts_ns: i64,
        value: f64,
    },
    Moments {
        count: f64,
        mean: f64,
        squares: f64,
    },
    Values(Vec<f64>),
    Samples(Vec<(i64, f64)>),
}

impl Cell {
    fn of(kind: Kind, ts_ns: i64, value: f64) -> Self {
        match kind {
            Kind::Sum => Self::Sum(value),
            Kind::Average => Self::Average { sum: value, count: 1.0 },
            Kind::Min | Kind::Max | Kind::First | Kind::Last => Self::One { ts_ns, value },
            Kind::Moments => Self::Moments { count: 1.0, mean: value, squares: 0.0 },
            Kind::Values => Self::Values(vec![value]),
            Kind::Samples => Self::Samples(vec![(ts_ns, value)]),
        }
    }

    /// Adds what another cell holds. Equal times keep the order in which they come.
    fn join(&mut self, kind: Kind, other: &Self) {
        match (self, other) {
            (Self::Sum(sum), Self::Sum(more)) => *sum += more,
            (Self::Average { sum, count }, Self::Average { sum: more, count: number }) => {
                *sum += more;
                *count += number;
            }
            (Self::One { ts_ns, value }, Self::One { ts_ns: other_ts, value: other }) => {
                let better = match kind {
                    Kind::Min => value.is_nan() || (!other.is_nan() && order(*other, *value).is_lt()),
                    Kind::Max => order(*other, *value).is_gt(),
                    Kind::First => other_ts < ts_ns,
                    _ => other_ts >= ts_ns,
                };
                if better {
                    (*ts_ns, *value) = (*other_ts, *other);
                }
            }
            (
                Self::Moments { count, mean, squares },
                Self::Moments { count: number, mean: other, squares: more },
            ) => {
                let total = *count + number;
                let delta = other - *mean;
                *squares += more + delta * delta * *count * number / total;
                *mean += delta * number / total;
                *count = total;
            }
            (Self::Values(values), Self::Values(more)) => values.extend_from_slice(more),
            (Self::Samples(samples), Self::Samples(more)) => samples.extend_from_slice(more),
            _ => {} // cells of one series are of one kind
        }
    }
}

/// The panes of one series that hold samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    /// The one found first, at hand without another read: many series have no other.
    first: Option<(u32, Cell)>,
    /// All others, by number.
    others: Vec<(u32, Cell)>,
    /// Place of the cell used last, 0 for the first and 1 for the first of the others: lines come in order of time, so it
    /// is often the next as well.
    last: usize,
}

impl Cells {
    pub(super) fn add(&mut self, kind: Kind, pane: u32, ts_ns: i64, value: f64) {
        match self.last() {
            Some((known, Cell::Values(values))) if *known == pane => values.push(value),
            Some((known, Cell::Samples(samples))) if *known == pane => samples.push((ts_ns, value)),
            Some((known, Cell::Sum(sum))) if *known == pane => *sum += value,
            _ => self.join(kind, pane, Cell::of(kind, ts_ns, value)),
        }
    }

    fn last(&mut self) -> Option<&mut (u32, Cell)> {
        match self.last.checked_sub(1) {
            None => self.first.as_mut(),
            Some(other) => self.others.get_mut(other),
        }
    }

    fn join(&mut self, kind: Kind, pane: u32, cell: Cell) {
        let Some((first, _)) = &self.first else {
            self.first = Some((pane, cell));
            return;
        };
        if *first == pane {
            self.last = 0;
        } else if self.last().is_none_or(|(known, _)| *known != pane) {
            match self.others.binary_search_by_key(&pane, |(known, _)| *known) {
                Ok(found) => self.last = found + 1,
                Err(place) => {
                    self.others.insert(place, (pane, cell));
                    self.last = place + 1;
                    return;
                }
            }
        }
        match (self.last(), cell) {
            (Some((_, Cell::Values(values))), Cell::Values(mut more)) => values.append(&mut more),
            (Some((_, Cell::Samples(samples))), Cell::Samples(mut more)) => samples.append(&mut more),
            (Some((_, known)), cell) => known.join(kind, &cell),
            (None, _) => {} // the place is one just found
        }
    }

    /// Adds what another thread found.
    pub(super) fn merge(&mut self, kind: Kind, other: Self) {
        for (pane, cell) in other.first.into_iter().chain(other.others) {
            self.join(kind, pane, cell);
        }
    }

    /// The value of every window with samples.
    pub(super) fn points(
        self,
        windows: &Windows,
        steps: u32,
        kind: Kind,
        mut value: impl FnMut(Window<'_>, u32) -> f64,
    ) -> Vec<(u32, f64)> {
        let mut cells = self.others;
        if let Some((pane, cell)) = self.first {
            cells.insert(cells.partition_point(|(known, _)| *known < pane), (pane, cell));
        }
        for (_, cell) in &mut cells {
            if let Cell::Samples(samples) = cell {
                samples.sort_by_key(|(ts_ns, _)| *ts_ns);
            }
        }
        let mut points = Vec::new();
        let (mut from, mut to) = (0, 0);
        for k in 0..steps {
            let (first, last) = windows.panes_of(k);
            while cells.get(from).is_some_and(|(pane, _)| *pane < first) {
                from += 1;
            }
            to = to.max(from);
            while cells.get(to).is_some_and(|(pane, _)| *pane <= last) {
                to += 1;
            }
            if let Some((head, tail)) = cells.get(from..to).and_then(<[_]>::split_first) {
                let window = match tail {
                    [] => Window { cell: std::borrow::Cow::Borrowed(&head.1) },
                    _ => {
                        let mut whole = head.1.clone();
                        tail.iter().for_each(|(_, cell)| whole.join(kind, cell));
                        Window { cell: std::borrow::Cow::Owned(whole) }
                    }
                };
                points.push((k, value(window, k)));
            }
        }
        points
    }
}

/// All samples of one window, at least one.
pub(super) struct Window<'a> {
    cell: std::borrow::Cow<'a, Cell>,
}

impl Window<'_> {
    /// A window of which but the sum is known.
    pub(super) const fn of_sum(sum: f64) -> Self {
        Self { cell: std::borrow::Cow::Owned(Cell::Sum(sum)) }
    }

    /// The plain result: sum, average, the chosen sample, or the variance.
    pub(super) fn value(&self) -> f64 {
        match &*self.cell {
            Cell::Sum(sum) => *sum,
            Cell::Average { sum, count } => sum / count,
            Cell::One { value, .. } => *value,
            Cell::Moments { count, squares, .. } => squares / count,
            Cell::Values(_) | Cell::Samples(_) => f64::NAN,
        }
    }

    fn samples(&self) -> &[(i64, f64)] {
        match &*self.cell {
            Cell::Samples(samples) => samples,
            _ => &[],
        }
    }

    /// Linear interpolation between the closest ranks.
    pub(super) fn quantile(&self, quantile: f64) -> f64 {
        if quantile < 0.0 {
            return f64::NEG_INFINITY;
        }
        if quantile > 1.0 {
            return f64::INFINITY;
        }
        let mut values = match &*self.cell {
            Cell::Values(values) => values.clone(),
            _ => Vec::new(),
        };
        if values.is_empty() || quantile.is_nan() {
            return f64::NAN;
        }
        #[expect(clippy::cast_precision_loss, reason = "fewer samples than 2^53")]
        let rank = quantile * (values.len() - 1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= rank < len")]
        let lower = rank.floor() as usize;
        let weight = rank - rank.floor();
        let (_, at_lower, above) = values.select_nth_unstable_by(lower, |a, b| order(*a, *b));
        if weight == 0.0 {
            return *at_lower;
        }
        let upper = above.iter().copied().min_by(|a, b| order(*a, *b)).unwrap_or(*at_lower);
        *at_lower * (1.0 - weight) + upper * weight
    }

    /// Increase per second of a counter, resets taken into account, extrapolated to the ends of the window
    /// as Prometheus does. Fewer than two samples give 0.
    pub(super) fn counter_rate(&self, end_ns: i64, range_ns: i64) -> f64 {
        let samples = self.samples();
        let (Some((first_ns, first)), Some((last_ns, last))) = (samples.first(), samples.last()) else {
            return 0.0;
        };
        if samples.len() < 2 {
            return 0.0;
        }
        let resets: f64 = samples.windows(2).filter(|w| w[1].1 < w[0].1).map(|w| w[0].1).sum();
        let increase = last - first + resets;
        #[expect(clippy::cast_precision_loss, reason = "seconds need no nanoseconds")]
        let seconds = |from: i64, to: i64| to.saturating_sub(from) as f64 / 1e9;
        let sampled = seconds(*first_ns, *last_ns);
        #[expect(clippy::cast_precision_loss, reason = "fewer samples than 2^53")]
        let average = sampled / (samples.len() - 1) as f64;
        let mut to_start = seconds(end_ns.saturating_sub(range_ns), *first_ns);
        let to_end = seconds(*last_ns, end_ns);
        if increase > 0.0 && *first >= 0.0 {
            // a counter was never below zero
            to_start = to_start.min(sampled * (first / increase));
        }
        let threshold = average * 1.1;
        let reach = |distance: f64| if distance < threshold { distance } else { average / 2.0 };
        let factor = (sampled + reach(to_start) + reach(to_end)) / sampled;
        increase * factor / seconds(0, range_ns)
    }
}
