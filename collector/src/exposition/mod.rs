//! `/metrics` in the two formats Prometheus reads: the text format 0.0.4 and OpenMetrics 1.0 with exemplars.
//!
//! The `prometheus` crate writes neither OpenMetrics nor exemplars, so one encoder here writes both formats
//! from what the registry gathers. No series ever carries a timestamp: a container that is gone is gone
//! from the very next scrape.

mod accept;
mod encode;
mod process;

use std::collections::HashMap;
use std::sync::Arc;

pub use accept::Format;
pub use encode::series_key;
use process::Process;

/// A concrete event behind a count: the trace of one request that fell into a histogram bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Trace id as logged.
    pub trace_id: Arc<str>,
    /// The observed value, in the metric's unit.
    pub value: f64,
    /// When it was observed, seconds since the epoch.
    pub timestamp_s: f64,
}

/// Exemplars by the series they belong to, as [`series_key`] writes it.
pub type Exemplars = HashMap<String, Exemplar>;

/// Who knows exemplars; asked at each OpenMetrics scrape.
pub type ExemplarSource = Arc<dyn Fn() -> Exemplars + Send + Sync>;

/// The body of `/metrics` on whichever port it is asked for.
#[derive(Clone)]
pub struct Exposition {
    registry: prometheus::Registry,
    exemplars: Option<ExemplarSource>,
}

impl std::fmt::Debug for Exposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exposition").field("exemplars", &self.exemplars.is_some()).finish_non_exhaustive()
    }
}

impl Exposition {
    /// Exposes what `registry` gathers and the process itself, with the exemplars of `exemplars` where the
    /// format has room for them.
    #[must_use]
    pub fn new(registry: prometheus::Registry, exemplars: Option<ExemplarSource>) -> Self {
        let registered = Process::new().and_then(|process| registry.register(Box::new(process)));
        if let Err(error) = registered {
            tracing::debug!(%error, "the process is exposed already");
        }
        Self { registry, exemplars }
    }

    /// Content type and body for a request with this `Accept` header (empty for none).
    #[must_use]
    pub fn render(&self, accept: &str) -> (&'static str, String) {
        let format = Format::of_accept(accept);
        let exemplars = match (&self.exemplars, format) {
            (Some(source), Format::OpenMetrics) => source(),
            _ => Exemplars::new(),
        };
        (format.content_type(), encode::encode(&self.registry.gather(), format, &exemplars))
    }
}
