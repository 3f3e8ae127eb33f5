//! What a service tells Prometheus. Every series carries the label `service`.

use std::collections::HashMap;

use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

/// Seconds; fine below 500 ms, where the shop's latency objective lies.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The metrics of one service.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Requests answered, by `method`, `route` and `code`.
    pub(crate) requests: IntCounterVec,
    /// Their duration, by `method` and `route`.
    pub(crate) request_seconds: HistogramVec,
    /// Calls to other services, by `upstream` and `outcome`.
    pub(crate) calls: IntCounterVec,
    /// Tries after the first one, by `upstream`.
    pub(crate) retries: IntCounterVec,
    /// 1 while calls are kept back, by `upstream`.
    pub(crate) circuit_open: IntGaugeVec,
    /// 1 while the database answers, by `dependency`.
    pub(crate) dependency_up: IntGaugeVec,
    /// Charges, by `outcome`.
    pub(crate) payments: IntCounterVec,
    /// Orders stored.
    pub(crate) orders: IntCounter,
    /// What customers wanted to do and did, by `step` and `outcome`.
    pub(crate) customer_steps: IntCounterVec,
    /// Alerts that the pager was told of, by `alert` and `status`.
    pub(crate) pages: IntCounterVec,
    /// Size of each order, in cents.
    pub(crate) order_cents: Histogram,
    /// The fault's settings, by `fault`.
    pub(crate) faults: GaugeVec,
}

impl Metrics {
    /// # Errors
    /// Never, unless two metrics have one name.
    pub(crate) fn new(service: &str) -> prometheus::Result<Self> {
        let labels = HashMap::from([("service".to_owned(), service.to_owned())]);
        let registry = Registry::new_custom(None, Some(labels))?;
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let gauges = |name: &str, help: &str, label: &str| -> prometheus::Result<IntGaugeVec> {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok(gauges)
        };
        let seconds = HistogramOpts::new("http_request_duration_seconds", "Time to answer requests.");
        let request_seconds = HistogramVec::new(seconds.buckets(BUCKETS.to_vec()), &["method", "route"])?;
        let cents = HistogramOpts::new("shop_order_cents", "Value of orders stored, in cents.");
        let order_cents = Histogram::with_opts(cents.buckets(vec![500.0, 2e3, 5e3, 1e4, 2e4, 5e4]))?;
        let orders = IntCounter::new("shop_orders_total", "Orders stored.")?;
        let faults = GaugeVec::new(Opts::new("shop_fault", "Faults injected on purpose."), &["fault"])?;
        registry.register(Box::new(request_seconds.clone()))?;
        registry.register(Box::new(order_cents.clone()))?;
        registry.register(Box::new(orders.clone()))?;
        registry.register(Box::new(faults.clone()))?;
        Ok(Self {
            requests: counters("http_requests_total", "Requests answered.", &["method", "route", "code"])?,
            request_seconds,
            calls: counters("shop_calls_total", "Calls to other services.", &["upstream", "outcome"])?,
            retries: counters("shop_retries_total", "Calls tried again.", &["upstream"])?,
            circuit_open: gauges("shop_circuit_open", "1 while an upstream is not called.", "upstream")?,
            dependency_up: gauges("shop_dependency_up", "1 while the database answers.", "dependency")?,
            payments: counters("shop_payments_total", "Charges, by what the bank said.", &["outcome"])?,
            orders,
            customer_steps: counters(
                "shop_customer_steps_total",
                "What customers tried.",
                &["step", "outcome"],
            )?,
            pages: counters("shop_pages_total", "Alerts told to the pager.", &["alert", "status"])?,
            order_cents,
            faults,
            registry,
        })
    }

    /// Prometheus' text format.
    ///
    /// # Errors
    /// When a metric cannot be written in it.
    pub(crate) fn exposition(&self) -> prometheus::Result<Vec<u8>> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_names_its_service() {
        let metrics = Metrics::new("cart").unwrap();
        metrics.requests.with_label_values(&["GET", "/carts/{customer}", "200"]).inc();
        let page = String::from_utf8(metrics.exposition().unwrap()).unwrap();
        let mut series = page.lines().filter(|line| !line.starts_with('#'));
        assert!(series.clone().count() > 2 && series.all(|line| line.contains("service=\"cart\"")), "{page}");
    }
}
