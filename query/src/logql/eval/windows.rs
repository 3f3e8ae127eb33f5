//! The steps of a query and the windows they look back on.
//!
//! Step `k` stands at `start + k * step`; its window is `(t - offset - range, t - offset]`. The ends of all
//! windows cut time into panes: a sample belongs to one pane, a window is a run of panes, and each pane is
//! summed up once however many windows share it.

use store::TimeRange;

/// Equally spaced times, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    start_ns: i64,
    step_ns: i64,
    count: usize,
}

impl Steps {
    /// `start`, `start + step`, … up to `end`, which may itself be one. A step of zero gives just `start`.
    #[must_use]
    pub fn new(start_ns: i64, end_ns: i64, step_ns: i64) -> Self {
        let spanned = i128::from(end_ns) - i128::from(start_ns);
        let count = if step_ns > 0 && spanned > 0 { spanned / i128::from(step_ns) + 1 } else { 1 };
        Self { start_ns, step_ns: step_ns.max(1), count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// All times that windows of this length look at.
    #[must_use]
    pub fn span(&self, range_ns: i64, offset_ns: i64) -> TimeRange {
        Windows::new(*self, range_ns, offset_ns).span()
    }

    /// Time of step `k`.
    #[must_use]
    pub fn time_ns(&self, k: u32) -> i64 {
        self.start_ns.saturating_add(self.step_ns.saturating_mul(i64::from(k)))
    }
}

/// The windows of one range aggregation over the steps of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    /// Lower end of the first window, exclusive.
    lower_ns: i128,
    range_ns: i128,
    step_ns: i128,
    count: i128,
}

impl Windows {
    pub(super) fn new(steps: Steps, range_ns: i64, offset_ns: i64) -> Self {
        Self {
            lower_ns: i128::from(steps.start_ns) - i128::from(offset_ns) - i128::from(range_ns),
            range_ns: i128::from(range_ns),
            step_ns: i128::from(steps.step_ns),
            count: steps.count as i128,
        }
    }

    /// All times that lie in some window, and those between them.
    pub(super) fn span(&self) -> TimeRange {
        let last = self.lower_ns + self.range_ns + (self.count - 1) * self.step_ns;
        let clamp = |ns: i128| i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX });
        TimeRange { start_ns: clamp(self.lower_ns + 1), end_ns: clamp(last + 1) }
    }

    /// How many panes there are.
    #[cfg(test)]
    fn panes(&self) -> usize {
        usize::try_from(2 * self.count).unwrap_or(usize::MAX)
    }

    /// How many of the points `first, first + step, …` lie before `at`.
    fn points_before(&self, first: i128, at: i128) -> i128 {
        if at <= first { 0 } else { ((at - first - 1) / self.step_ns + 1).min(self.count) }
    }

    /// Pane of a time within the span. Times between windows have one too, which no window uses.
    pub(super) fn pane(&self, ts_ns: i64) -> u32 {
        let at = i128::from(ts_ns);
        let lower = self.points_before(self.lower_ns, at);
        let upper = self.points_before(self.lower_ns + self.range_ns, at);
        u32::try_from(lower + upper - 1).unwrap_or(0)
    }

    /// [`Windows::pane`], and the last time that lies in the same pane: divisions are dear, and lines come in order.
    pub(super) fn pane_until(&self, ts_ns: i64) -> (u32, i64) {
        let at = i128::from(ts_ns);
        let next = |first: i128| {
            let passed = self.points_before(first, at);
            if passed < self.count { first + passed * self.step_ns } else { i128::MAX }
        };
        let until = next(self.lower_ns).min(next(self.lower_ns + self.range_ns));
        (self.pane(ts_ns), i64::try_from(until).unwrap_or(i64::MAX))
    }

    /// First and last pane of window `k`.
    pub(super) fn panes_of(&self, k: u32) -> (u32, u32) {
        let lower = self.lower_ns + i128::from(k) * self.step_ns;
        let upper = lower + self.range_ns;
        let pane = |at: i128, passed: i128| {
            let lowers = self.points_before(self.lower_ns, at);
            u32::try_from(lowers + passed - 1).unwrap_or(0)
        };
        let uppers_before_lower = self.points_before(self.lower_ns + self.range_ns, lower + 1);
        (pane(lower + 1, uppers_before_lower), pane(upper, i128::from(k)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_include_the_end_they_hit() {
        assert_eq!(Steps::new(0, 100, 30).count(), 4);
        assert_eq!(Steps::new(0, 90, 30).count(), 4);
        assert_eq!(Steps::new(5, 5, 0).count(), 1);
        assert_eq!(Steps::new(0, 90, 30).time_ns(3), 90);
    }

    proptest! {
        #[test]
        fn panes_agree_with_windows(start in -50_i64..50, end in 0_i64..100, step in 1_i64..20, range in 1_i64..60, offset in -20_i64..20, ts in -200_i64..200) {
            let steps = Steps::new(start, start + end, step);
            let windows = Windows::new(steps, range, offset);
            let span = windows.span();
            for k in 0..u32::try_from(steps.count()).unwrap() {
                let upper = steps.time_ns(k) - offset;
                let inside = upper - range < ts && ts <= upper;
                let (first, last) = windows.panes_of(k);
                prop_assert!(first <= last && (last as usize) < windows.panes());
                if span.contains(ts) {
                    let pane = windows.pane(ts);
                    prop_assert_eq!(inside, first <= pane && pane <= last, "k {} ts {}", k, ts);
                } else {
                    prop_assert!(!inside);
                }
            }
        }
    }
}
