//! Metrics of the export of traces.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// See the module; each field's help text says what it counts.
#[derive(Clone, Debug)]
pub struct ExportMetrics {
    sent: IntCounter,
    retried: IntCounter,
    dropped: IntCounterVec,
    waiting: IntGauge,
    lag: Gauge,
    /// When all was sent last, or the process began.
    all_sent: Arc<Mutex<Instant>>,
}

impl ExportMetrics {
    /// Makes the metrics and puts them into `registry`.
    ///
    /// # Errors
    /// When one of their names is taken.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            sent: IntCounter::new(
                "binnacle_export_sent_spans_total",
                "Spans that the receiver of traces has taken.",
            )?,
            retried: IntCounter::new(
                "binnacle_export_retries_total",
                "Requests with spans that were not taken and are made again.",
            )?,
            dropped: IntCounterVec::new(
                Opts::new(
                    "binnacle_export_dropped_spans_total",
                    "Spans that are never sent: expired (deleted by retention while they waited), refused (by the \
                     receiver), damaged (on disk), own (of Binnacle's own work, which does \
                     not wait for a receiver).",
                ),
                &["reason"],
            )?,
            waiting: IntGauge::new(
                "binnacle_export_waiting_spans",
                "Changes of spans that wait to be sent, at most.",
            )?,
            lag: Gauge::new(
                "binnacle_export_lag_seconds",
                "How long there have been spans that wait to be sent; 0 when all are sent.",
            )?,
            all_sent: Arc::new(Mutex::new(Instant::now())),
        };
        for reason in ["expired", "refused", "damaged", "own"] {
            metrics.dropped.with_label_values(&[reason]);
        }
        registry.register(Box::new(metrics.sent.clone()))?;
        registry.register(Box::new(metrics.retried.clone()))?;
        registry.register(Box::new(metrics.dropped.clone()))?;
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        Ok(metrics)
    }

    pub(super) fn sent(&self, spans: u64) {
        self.sent.inc_by(spans);
    }

    pub(super) fn retried(&self) {
        self.retried.inc();
    }

    pub(super) fn refused(&self, spans: u64) {
        self.dropped.with_label_values(&["refused"]).inc_by(spans);
    }

    pub(super) fn expired(&self, spans: u64) {
        self.dropped.with_label_values(&["expired"]).inc_by(spans);
    }

    pub(super) fn dropped_own(&self, spans: u64) {
        self.dropped.with_label_values(&["own"]).inc_by(spans);
    }

    pub(super) fn damaged(&self, spans: u64) {
        self.dropped.with_label_values(&["damaged"]).inc_by(spans);
    }

    /// What waits now; nothing when `is_all_sent`, whatever numbers were passed over.
    pub(super) fn waiting(&self, changes: u64, is_all_sent: bool) {
        let mut all_sent = self.all_sent.lock().unwrap_or_else(PoisonError::into_inner);
        if is_all_sent {
            *all_sent = Instant::now();
            self.waiting.set(0);
            self.lag.set(0.0);
        } else {
            self.waiting.set(i64::try_from(changes).unwrap_or(i64::MAX));
            self.lag.set(all_sent.elapsed().as_secs_f64());
        }
    }

    /// Spans taken so far.
    #[must_use]
    pub fn sent_spans(&self) -> u64 {
        self.sent.get()
    }

    /// Spans refused so far.
    #[must_use]
    pub fn refused_spans(&self) -> u64 {
        self.dropped.with_label_values(&["refused"]).get()
    }
}
