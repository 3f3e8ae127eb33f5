//! The last minutes of memory and CPU before a death.

use serde::{Deserialize, Serialize};
use store::lifecycle::Death;

/// Memory and CPU before a death.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Seconds from the first reading to the last.
    pub seconds: u32,
    /// First reading, bytes.
    pub memory_first_bytes: u64,
    /// Last reading, bytes.
    pub memory_last_bytes: u64,
    /// Highest reading, bytes.
    pub memory_peak_bytes: u64,
    /// Limit, 0 for none.
    pub memory_limit_bytes: u64,
    /// Change of memory per minute: the slope of the straight line through all readings.
    pub memory_bytes_per_minute: i64,
    /// CPU at the last reading, in CPUs.
    pub cpu_last: f64,
    /// CPU on average, in CPUs.
    pub cpu_mean: f64,
    /// Seconds before the end, memory in bytes and thousandths of a CPU, oldest first.
    pub readings: Vec<(u32, u64, u64)>,
}

/// The trend; `None` without a reading.
pub(crate) fn trend(death: &Death) -> Option<Trend> {
    let (first, last) = (death.usage.first()?, death.usage.last()?);
    // The first reading of a run has no reading before it, hence no CPU.
    let cpu: Vec<u64> = death.usage.iter().skip(1).map(|u| u.2).collect();
    #[expect(clippy::cast_precision_loss, reason = "thousandths of a CPU are few")]
    let cpus = |millis: u64| millis as f64 / 1000.0;
    let mean = cpu.iter().sum::<u64>().checked_div(cpu.len() as u64).unwrap_or(0);
    Some(Trend {
        seconds: first.0.saturating_sub(last.0),
        memory_first_bytes: first.1,
        memory_last_bytes: last.1,
        memory_peak_bytes: death.usage.iter().map(|u| u.1).max().unwrap_or(0),
        memory_limit_bytes: death.memory_limit_bytes,
        memory_bytes_per_minute: slope(death),
        cpu_last: cpus(last.2),
        cpu_mean: cpus(mean),
        readings: death.usage.iter().map(|u| (u.0, u.1, u.2)).collect(),
    })
}

/// Least squares; 0 for fewer than two moments.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a trend, not an account")]
fn slope(death: &Death) -> i64 {
    let points: Vec<(f64, f64)> = death.usage.iter().map(|u| (-f64::from(u.0) / 60.0, u.1 as f64)).collect();
    let count = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    if spread <= f64::EPSILON {
        return 0;
    }
    (points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>() / spread).round() as i64
}

#[cfg(test)]
mod tests {
    use store::lifecycle::Usage;

    use super::*;

    #[test]
    fn a_steady_leak_has_its_slope() {
        let usage =
            (0..=6).map(|i| Usage(60 - 10 * i, 1000 + 50 * u64::from(i), if i == 0 { 0 } else { 500 }));
        let death = Death { usage: usage.collect(), memory_limit_bytes: 2000, ..Death::default() };
        let trend = trend(&death).unwrap();
        assert_eq!(trend.memory_bytes_per_minute, 300);
        assert_eq!((trend.memory_first_bytes, trend.memory_last_bytes, trend.seconds), (1000, 1300, 60));
        assert_eq!((trend.cpu_last, trend.cpu_mean), (0.5, 0.5));
    }

    #[test]
    fn one_reading_has_no_slope_and_none_no_trend() {
        let death = Death { usage: vec![Usage(5, 1000, 0)], ..Death::default() };
        assert_eq!(trend(&death).unwrap().memory_bytes_per_minute, 0);
        assert_eq!(trend(&Death::default()), None);
    }
}
