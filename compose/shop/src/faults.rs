//! Faults on purpose: what is broken now, and the tasks that break it.
//!
//! Everything is bounded: a forgotten fault must not take the machine down with it.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

const MAX_LATENCY_MS: u64 = 60_000;
/// Lines of one burst.
const MAX_BURST_LINES: u64 = 5_000_000;
/// Memory that a leak may reach; the container's limit is meant to be lower.
const MAX_LEAKED_BYTES: usize = 2 << 30;
const LEAK_PERIOD: Duration = Duration::from_millis(100);

/// A change to what is broken. What it does not name stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Change {
    /// Added to every request, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_ms: Option<u64>,
    /// Part of the requests that fail with 500, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_rate: Option<f64>,
    /// Memory taken and never given back, while this is not 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leak_bytes_per_second: Option<u64>,
    /// Lines written at once, as fast as they go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_burst_lines: Option<u64>,
    /// Ends the process with SIGABRT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crash: Option<bool>,
}

/// What lasts until it is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Settings {
    pub(crate) latency_ms: u64,
    pub(crate) error_rate: f64,
    pub(crate) leak_bytes_per_second: u64,
    pub(crate) leaked_bytes: usize,
}

/// The faults of one service.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    settings: Mutex<Settings>,
    leaked: Mutex<Vec<Vec<u8>>>,
}

// === impl Change ===

impl Change {
    /// `name=value` pairs, as an operator types them.
    ///
    /// # Errors
    /// Names the pair that makes no sense.
    pub(crate) fn parse(pairs: &[String]) -> Result<Self, String> {
        let mut object = serde_json::Map::new();
        for pair in pairs {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| format!("`{pair}` is not `name=value`"))?;
            let value =
                serde_json::from_str(value).map_err(|_| format!("`{value}` is no value of `{name}`"))?;
            object.insert(name.to_owned(), value);
        }
        let change: Self = serde_json::from_value(object.into()).map_err(|error| error.to_string())?;
        change.validate()?;
        Ok(change)
    }

    /// # Errors
    /// Names what is out of its bounds.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.latency_ms.is_some_and(|ms| ms > MAX_LATENCY_MS) {
            return Err(format!("`latency_ms` must be at most {MAX_LATENCY_MS}"));
        }
        if self.error_rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
            return Err("`error_rate` must be from 0 to 1".to_owned());
        }
        if self.log_burst_lines.is_some_and(|lines| lines > MAX_BURST_LINES) {
            return Err(format!("`log_burst_lines` must be at most {MAX_BURST_LINES}"));
        }
        if self.leak_bytes_per_second.is_some_and(|bytes| bytes > MAX_LEAKED_BYTES as u64) {
            return Err(format!("`leak_bytes_per_second` must be at most {MAX_LEAKED_BYTES}"));
        }
        Ok(())
    }
}

// === impl Faults ===

impl Faults {
    /// What is broken now.
    pub(crate) fn settings(&self) -> Settings {
        *lock(&self.settings)
    }

    /// Takes over what the change says about lasting faults.
    pub(crate) fn apply(&self, change: &Change) -> Settings {
        let mut settings = lock(&self.settings);
        settings.latency_ms = change.latency_ms.unwrap_or(settings.latency_ms);
        settings.error_rate = change.error_rate.unwrap_or(settings.error_rate);
        settings.leak_bytes_per_second =
            change.leak_bytes_per_second.unwrap_or(settings.leak_bytes_per_second);
        *settings
    }

    /// Mends everything, and gives leaked memory back.
    pub(crate) fn clear(&self) {
        *lock(&self.settings) = Settings::default();
        lock(&self.leaked).clear();
    }

    /// Takes memory for as long as the leak is on.
    pub(crate) async fn leak(&self) {
        loop {
            tokio::time::sleep(LEAK_PERIOD).await;
            self.leak_for_a_period();
        }
    }

    fn leak_for_a_period(&self) {
        let mut settings = lock(&self.settings);
        let per_period = settings.leak_bytes_per_second.saturating_mul(LEAK_PERIOD.as_millis() as u64) / 1000;
        let bytes = usize::try_from(per_period).unwrap_or(MAX_LEAKED_BYTES);
        let bytes = bytes.min(MAX_LEAKED_BYTES - settings.leaked_bytes);
        if bytes == 0 {
            return;
        }
        settings.leaked_bytes += bytes;
        // Not zero: pages of zeros are not taken before they are written.
        lock(&self.leaked).push(vec![1; bytes]);
    }
}

/// A panic elsewhere does not make these values wrong.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Change, String> {
        Change::parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn changes_are_read_as_typed() {
        let change = parse("latency_ms=500 error_rate=0.25 crash=true").unwrap();
        assert_eq!((change.latency_ms, change.error_rate, change.crash), (Some(500), Some(0.25), Some(true)));
        assert_eq!(change.log_burst_lines, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, word) in [
            ("latency_ms", "name=value"),
            ("latency_ms=fast", "latency_ms"),
            ("latency=5", "latency"),
            ("latency_ms=60001", "60000"),
            ("error_rate=1.5", "0 to 1"),
            ("error_rate=-0.1", "0 to 1"),
            ("log_burst_lines=99999999", "log_burst_lines"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(word), "{text}: {message}");
        }
    }

    #[test]
    fn a_change_leaves_alone_what_it_does_not_name() {
        let faults = Faults::default();
        faults.apply(&Change { latency_ms: Some(10), ..Change::default() });
        let settings = faults.apply(&Change { error_rate: Some(0.5), ..Change::default() });
        assert_eq!((settings.latency_ms, settings.error_rate), (10, 0.5));
        faults.clear();
        assert_eq!(faults.settings(), Settings::default());
    }

    #[test]
    fn a_leak_grows_until_it_is_mended() {
        let faults = Faults::default();
        faults.apply(&Change { leak_bytes_per_second: Some(10_000), ..Change::default() });
        for _ in 0..10 {
            faults.leak_for_a_period();
        }
        assert_eq!(faults.settings().leaked_bytes, 10_000);
        assert_eq!(lock(&faults.leaked).iter().map(Vec::len).sum::<usize>(), 10_000);
        faults.clear();
        assert!(lock(&faults.leaked).is_empty());
    }
}
