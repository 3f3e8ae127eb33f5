//! What a container of a trace used about the time of the trace, by the readings that are stored every ten seconds.
//!
//! Most traces are shorter than the time between two readings. Counters tell of the time between two readings, so
//! the reading before the trace and the one after it count too; when none lies within the trace, that is said.

use serde::{Deserialize, Serialize};
use store::TimeRange;
use store::readings::{Reading, Round, short};

use crate::time;

/// Use of a container about the time of a trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// When the first reading was taken, RFC 3339.
    pub from: String,
    /// When the last one was.
    pub to: String,
    /// How many there are.
    pub readings: usize,
    /// Whether none of them lies within the trace: what they tell is of the time around it.
    pub is_around: bool,
    /// CPUs used on average from the first to the last; `None` with a single reading.
    pub cpu_mean: Option<f64>,
    /// The most CPUs used between two readings.
    pub cpu_peak: Option<f64>,
    /// CPUs it may use; `None` for no limit.
    pub cpu_limit: Option<f64>,
    /// Share of the scheduler periods from the first reading to the last in which it was throttled, 0 to 1; `None` without any.
    pub throttled: Option<f64>,
    /// Most memory (working set) of all readings, bytes.
    pub memory_peak_bytes: u64,
    /// Memory it may use, bytes; `None` for no limit.
    pub memory_limit_bytes: Option<u64>,
}

impl Resources {
    /// Of one container in the time of a trace; `None` when no round holds it. Rounds are by time.
    pub(super) fn of(container_id: &str, rounds: &[Round], trace: TimeRange) -> Option<Self> {
        let readings: Vec<(i64, &Reading)> = rounds
            .iter()
            .filter_map(|round| {
                let own = round.readings.iter().find(|reading| reading.container_id == short(container_id));
                Some((round.at_ns, own?))
            })
            .collect();
        let before = readings.partition_point(|(at_ns, _)| *at_ns <= trace.start_ns).saturating_sub(1);
        let after = readings.partition_point(|(at_ns, _)| *at_ns < trace.end_ns);
        let readings = readings.get(before..(after + 1).min(readings.len()))?;
        let ((from_ns, _), (to_ns, last)) = (readings.first()?, readings.last()?);
        let between = Between::all(readings);
        let cpus = |used_ns: u64, wall_ns: u64| (wall_ns > 0).then(|| used_ns as f64 / wall_ns as f64);
        let sum = |of: fn(&Between) -> u64| between.iter().map(of).sum::<u64>();
        let periods = sum(|b| b.periods);
        Some(Self {
            from: time::rfc3339(*from_ns),
            to: time::rfc3339(*to_ns),
            readings: readings.len(),
            is_around: !readings.iter().any(|(at_ns, _)| trace.contains(*at_ns)),
            cpu_mean: cpus(sum(|b| b.cpu_ns), sum(|b| b.wall_ns)),
            cpu_peak: between.iter().filter_map(|b| cpus(b.cpu_ns, b.wall_ns)).reduce(f64::max),
            cpu_limit: (last.cpu_limit_millis > 0).then(|| last.cpu_limit_millis as f64 / 1e3),
            throttled: (periods > 0).then(|| sum(|b| b.throttled_periods) as f64 / periods as f64),
            memory_peak_bytes: readings.iter().map(|(_, reading)| reading.memory_bytes).max().unwrap_or(0),
            memory_limit_bytes: Some(last.memory_limit_bytes).filter(|bytes| *bytes > 0),
        })
    }
}

/// What was used between two readings of one run.
#[derive(Clone, Copy, Debug)]
struct Between {
    wall_ns: u64,
    cpu_ns: u64,
    periods: u64,
    throttled_periods: u64,
}

impl Between {
    /// Between each reading and the next; where the container was started anew in between, nothing is known.
    fn all(readings: &[(i64, &Reading)]) -> Vec<Self> {
        let pairs = readings.iter().zip(readings.iter().skip(1));
        pairs
            .filter_map(|((from_ns, from), (to_ns, to))| {
                Some(Self {
                    wall_ns: u64::try_from(to_ns.saturating_sub(*from_ns)).ok()?,
                    cpu_ns: to.cpu_ns.checked_sub(from.cpu_ns)?,
                    periods: to.periods.checked_sub(from.periods)?,
                    throttled_periods: to.throttled_periods.checked_sub(from.throttled_periods)?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    /// A reading a round, given as second, milliseconds of CPU, periods, throttled periods and MiB.
    fn rounds(readings: &[(i64, u64, u64, u64, u64)]) -> Vec<Round> {
        let round = |&(second, cpu_ms, periods, throttled_periods, mib): &(i64, u64, u64, u64, u64)| Round {
            at_ns: second * S,
            readings: vec![Reading {
                container_id: "abcdefabcdef".to_owned(),
                cpu_ns: cpu_ms * 1_000_000,
                cpu_limit_millis: 500,
                periods,
                throttled_periods,
                memory_bytes: mib << 20,
                memory_limit_bytes: 64 << 20,
            }],
        };
        readings.iter().map(round).collect()
    }

    fn of(readings: &[(i64, u64, u64, u64, u64)], from_ms: i64, to_ms: i64) -> Option<Resources> {
        let trace = TimeRange { start_ns: from_ms * 1_000_000, end_ns: to_ms * 1_000_000 };
        Resources::of(&"abcdef".repeat(10), &rounds(readings), trace)
    }

    #[test]
    fn a_short_trace_is_told_of_by_the_readings_around_it() {
        let readings =
            [(0, 0, 0, 0, 60), (10, 1_000, 10, 0, 10), (20, 6_000, 110, 75, 12), (30, 6_000, 120, 75, 50)];
        let told = of(&readings, 12_000, 12_100).unwrap();
        assert!(told.is_around);
        assert_eq!((told.readings, told.cpu_mean, told.cpu_peak), (2, Some(0.5), Some(0.5)));
        assert_eq!((told.cpu_limit, told.throttled), (Some(0.5), Some(0.75)));
        assert_eq!((told.memory_peak_bytes, told.memory_limit_bytes), (12 << 20, Some(64 << 20)));
        assert_eq!((told.from, told.to), (time::rfc3339(10 * S), time::rfc3339(20 * S)));

        let told = of(&readings, 12_000, 22_000).unwrap();
        assert!(!told.is_around);
        assert_eq!((told.readings, told.cpu_mean, told.cpu_peak), (3, Some(0.25), Some(0.5)));
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        assert_eq!(of(&[], 0, 1), None);
        let told = of(&[(10, 5, 0, 0, 7)], 30_000, 31_000).unwrap();
        assert_eq!((told.cpu_mean, told.throttled, told.memory_peak_bytes), (None, None, 7 << 20));
        let restarted = of(&[(10, 900, 5, 5, 1), (20, 100, 1, 0, 1)], 12_000, 13_000).unwrap();
        assert_eq!((restarted.readings, restarted.cpu_mean), (2, None));
        assert_eq!(Resources::of("other", &rounds(&[(0, 1, 1, 1, 1)]), TimeRange::ALL), None);
    }
}
