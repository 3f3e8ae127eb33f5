//! Metrics of the recording of events.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use store::Record;
use store::lifecycle::{Action, Event};

/// The recorder's own metrics.
#[derive(Clone, Debug)]
pub struct LifecycleMetrics {
    recorded: IntCounterVec,
    rebuilt: IntCounter,
    pub(super) dropped: IntCounter,
    pub(super) breaks: IntCounter,
}

impl LifecycleMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When a name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let recorded = IntCounterVec::new(
            Opts::new("binnacle_lifecycle_events_total", "Lifecycle events recorded."),
            &["action"],
        )?;
        registry.register(Box::new(recorded.clone()))?;
        for action in [Action::Start, Action::Die, Action::Oom] {
            recorded.with_label_values(&[action.name()]).inc_by(0);
        }
        Ok(Self {
            recorded,
            rebuilt: counter(
                "binnacle_lifecycle_rebuilt_total",
                "Lifecycle events concluded from inspect, because the daemon did not tell of them.",
            )?,
            dropped: counter(
                "binnacle_lifecycle_dropped_total",
                "Docker events dropped because recording fell behind; a listing makes up for them.",
            )?,
            breaks: counter("binnacle_lifecycle_breaks_total", "Times the event connection broke off.")?,
        })
    }

    pub(super) fn count(&self, records: &[Record]) {
        for event in records.iter().filter_map(Event::of_record) {
            self.recorded.with_label_values(&[event.action.name()]).inc();
            if event.rebuilt {
                self.rebuilt.inc();
            }
        }
    }
}
