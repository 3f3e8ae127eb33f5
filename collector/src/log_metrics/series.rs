//! One metric with a bounded number of label sets.
//!
//! Label sets are told apart by a 64-bit hash of their values: among the 100,000 that a metric may have at
//! most, the odds that any two collide are below one in three billion.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use xxhash_rust::xxh3::Xxh3;

use crate::exposition::{Exemplar, Exemplars, series_key};

/// Label value of everything that did not fit.
pub(super) const OVERFLOW: &str = "overflow";
/// Label values are cut at this length: they come from log lines.
const MAX_VALUE_BYTES: usize = 128;

/// One observation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation<'a> {
    pub(super) value: f64,
    pub(super) trace_id: Option<&'a str>,
    pub(super) timestamp_ns: i64,
}

impl Observation<'_> {
    /// One more, without a trace.
    pub(super) const ONE: Observation<'static> = Observation { value: 1.0, trace_id: None, timestamp_ns: 0 };
}

/// A metric. The first label is the service, which may take a quarter of the label sets.
#[derive(Debug)]
pub(super) struct Family {
    name: String,
    help: String,
    label_names: Vec<String>,
    max_series: usize,
    /// Bounds of a histogram's buckets, none for a counter.
    bounds: Option<Vec<f64>>,
    series: HashMap<u64, Series>,
    /// Label sets by service.
    services: HashMap<u64, usize>,
    overflowed: u64,
}

#[derive(Debug)]
struct Series {
    labels: Vec<LabelPair>,
    sum: f64,
    /// Observations per bucket, not cumulated; the last is beyond all bounds. One for a counter.
    counts: Vec<u64>,
    exemplars: Vec<Option<Exemplar>>,
}

impl Family {
    pub(super) fn counter(name: &str, help: &str, labels: &[&str], max_series: usize) -> Self {
        Self {
            name: name.to_owned(),
            help: help.to_owned(),
            label_names: labels.iter().map(|&l| l.to_owned()).collect(),
            max_series,
            bounds: None,
            series: HashMap::new(),
            services: HashMap::new(),
            overflowed: 0,
        }
    }

    pub(super) fn histogram(
        name: &str,
        help: &str,
        labels: &[&str],
        max_series: usize,
        bounds: &[f64],
    ) -> Self {
        Self { bounds: Some(bounds.to_vec()), ..Self::counter(name, help, labels, max_series) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Observations that went into a series named `overflow`.
    pub(super) const fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Takes in an observation under these label values, one for each label name.
    pub(super) fn observe(&mut self, values: &[&str], observation: &Observation<'_>) {
        let key = hash(values);
        if let Some(series) = self.series.get_mut(&key) {
            series.observe(self.bounds.as_deref(), observation);
            return;
        }
        let service = values.first().copied().unwrap_or_default();
        let of_service = self.services.get(&hash(&[service])).copied().unwrap_or(0);
        if self.series.len() < self.max_series && of_service < (self.max_series / 4).max(1) {
            *self.services.entry(hash(&[service])).or_default() += 1;
            self.insert(key, values).observe_first(observation);
            return;
        }
        self.overflowed += 1;
        // Under the service's name while there is room for as many names again, then under none.
        let mut overflow = vec![OVERFLOW; values.len()];
        let room = self.series.len() < self.max_series.saturating_mul(2);
        if let Some(first) = overflow.first_mut().filter(|_| room && of_service > 0) {
            *first = service;
        }
        let key = hash(&overflow);
        if !self.series.contains_key(&key) {
            self.insert(key, &overflow);
        }
        if let Some(series) = self.series.get_mut(&key) {
            series.observe(self.bounds.as_deref(), observation);
        }
    }

    /// Adds to a counter.
    pub(super) fn add(&mut self, values: &[&str], count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus values are 64-bit floats")]
        let value = count as f64;
        self.observe(values, &Observation { value, ..Observation::ONE });
    }

    fn insert(&mut self, key: u64, values: &[&str]) -> First<'_> {
        let mut labels: Vec<LabelPair> =
            self.label_names.iter().zip(values).map(|(n, v)| pair(n, v)).collect();
        labels.sort_by(|a, b| a.name().cmp(b.name()));
        let buckets = self.bounds.as_ref().map_or(1, |bounds| bounds.len() + 1);
        let series = Series { labels, sum: 0.0, counts: vec![0; buckets], exemplars: vec![None; buckets] };
        First { series: self.series.entry(key).or_insert(series), bounds: self.bounds.as_deref() }
    }

    /// The family as the registry wants it.
    pub(super) fn gather(&self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.clone());
        family.set_help(self.help.clone());
        family.set_field_type(if self.bounds.is_some() {
            MetricType::HISTOGRAM
        } else {
            MetricType::COUNTER
        });
        family.set_metric(self.series.values().map(|series| self.metric(series)).collect());
        family
    }

    fn metric(&self, series: &Series) -> Metric {
        let mut metric = Metric::from_label(series.labels.clone());
        let Some(bounds) = &self.bounds else {
            let mut counter = Counter::default();
            counter.set_value(series.sum);
            metric.set_counter(counter);
            return metric;
        };
        let mut histogram = Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (bound, count) in bounds.iter().zip(&series.counts) {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(series.counts.iter().sum());
        histogram.set_sample_sum(series.sum);
        metric.set_histogram(histogram);
        metric
    }

    /// Adds the latest exemplar of each bucket.
    pub(super) fn add_exemplars(&self, exemplars: &mut Exemplars) {
        let Some(bounds) = &self.bounds else { return };
        let name = format!("{}_bucket", self.name);
        for series in self.series.values() {
            for (i, exemplar) in series.exemplars.iter().enumerate() {
                if let Some(exemplar) = exemplar {
                    let bound = bounds.get(i).copied().unwrap_or(f64::INFINITY);
                    exemplars.insert(series_key(&name, &series.labels, Some(bound)), exemplar.clone());
                }
            }
        }
    }
}

/// A series just made.
struct First<'a> {
    series: &'a mut Series,
    bounds: Option<&'a [f64]>,
}

impl First<'_> {
    fn observe_first(self, observation: &Observation<'_>) {
        self.series.observe(self.bounds, observation);
    }
}

impl Series {
    fn observe(&mut self, bounds: Option<&[f64]>, observation: &Observation<'_>) {
        self.sum += observation.value;
        let bucket = bounds.map_or(0, |bounds| bounds.partition_point(|bound| *bound < observation.value));
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        let (Some(trace_id), Some(exemplar)) = (observation.trace_id, self.exemplars.get_mut(bucket)) else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a millisecond is enough for an exemplar")]
        let timestamp_s = observation.timestamp_ns as f64 / 1e9;
        *exemplar = Some(Exemplar { trace_id: Arc::from(trace_id), value: observation.value, timestamp_s });
    }
}

fn hash(values: &[&str]) -> u64 {
    let mut hasher = Xxh3::new();
    for value in values {
        hasher.update(value.as_bytes());
        hasher.update(&[0xff]); // in no UTF-8 text, so that ("a", "b") is not ("ab", "")
    }
    hasher.digest()
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut end = value.len().min(MAX_VALUE_BYTES);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.get(..end).unwrap_or_default().to_owned());
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_are_capped_and_nothing_goes_uncounted() {
        let mut family = Family::counter("x_total", "X.", &["service_name", "id"], 40);
        for service in ["loud", "quiet"] {
            for id in 0..if service == "loud" { 1000 } else { 5 } {
                family.observe(&[service, &id.to_string()], &Observation::ONE);
            }
        }
        let gathered = family.gather();
        assert_eq!(gathered.get_metric().len(), 10 + 1 + 5, "a quarter, its overflow, and the other service");
        let total: f64 = gathered.get_metric().iter().map(|m| m.get_counter().get_value()).sum();
        assert_eq!(total, 1005.0);
        assert_eq!(family.overflowed(), 990);
    }

    #[test]
    fn services_without_end_end_in_one_series() {
        let mut family = Family::counter("x_total", "X.", &["service_name", "id"], 16);
        for service in 0..5000 {
            family.observe(&[&service.to_string(), "a"], &Observation::ONE);
        }
        assert!(family.gather().get_metric().len() <= 2 * 16 + 1);
    }

    #[test]
    fn a_value_on_a_bound_belongs_below_it() {
        let mut family = Family::histogram("x", "X.", &["service_name"], 10, &[1.0, 2.0]);
        for value in [1.0, 1.5, 2.0, 9.0] {
            let observation = Observation { value, trace_id: Some("t1"), timestamp_ns: 1_500_000_000 };
            family.observe(&["a"], &observation);
        }
        let gathered = family.gather();
        let histogram = gathered.get_metric()[0].get_histogram();
        let counts: Vec<u64> = histogram.get_bucket().iter().map(Bucket::cumulative_count).collect();
        assert_eq!((counts, histogram.get_sample_count()), (vec![1, 3], 4));
        let mut exemplars = Exemplars::new();
        family.add_exemplars(&mut exemplars);
        assert_eq!(exemplars[r#"x_bucket{service_name="a",le="2.0"}"#].value, 2.0);
        assert_eq!(exemplars[r#"x_bucket{service_name="a",le="+Inf"}"#].value, 9.0);
    }
}
