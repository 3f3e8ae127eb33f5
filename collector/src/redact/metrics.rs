//! How many secrets were taken out, by rule.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::Rule;

/// One counter a rule.
#[derive(Debug)]
pub(super) struct Metrics([IntCounter; Rule::ALL.len()]);

impl Metrics {
    /// Registers the counter; every rule shows from the start.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts =
            Opts::new("binnacle_redactions_total", "Secrets taken out of lines before they were stored.");
        let counters = IntCounterVec::new(opts, &["rule"])?;
        registry.register(Box::new(counters.clone()))?;
        Ok(Self(Rule::ALL.map(|rule| counters.with_label_values(&[rule.name()]))))
    }

    pub(super) fn redacted(&self, rule: Rule) {
        self.0[rule as usize].inc();
    }
}
