//! Metrics from lines, as they are scraped.

use std::sync::Arc;

use bytes::Bytes;
use store::record::attribute;
use store::{Labels, Level, Origin, Pair, Record};

use super::{LogMetrics, LogMetricsConfig, Rule, RuleKind};
use crate::exposition::Exposition;

fn record(service: &str, level: Level, line: &str, trace_id: &str) -> Record {
    let mut pairs = Vec::new();
    if !trace_id.is_empty() {
        pairs.push(Pair {
            origin: Origin::Derived,
            name: attribute::TRACE_ID.into(),
            value: trace_id.into(),
        });
    }
    Record {
        timestamp_ns: 1_700_000_000_250_000_000,
        labels: Arc::new(Labels::new([("service_name", service), ("stream", "stdout")])),
        line: Bytes::copy_from_slice(line.as_bytes()),
        level,
        pairs,
    }
}

fn scrape(config: &LogMetricsConfig, records: &[Record]) -> String {
    assert_eq!(config.validate(), []);
    let metrics = Arc::new(LogMetrics::new(config).unwrap());
    metrics.observe(records);
    let registry = prometheus::Registry::new();
    let collected = Arc::clone(&metrics);
    registry.register(Box::new(Shared(collected))).unwrap();
    let exposition = Exposition::new(registry, Some(Arc::new(move || metrics.exemplars())));
    exposition.render("application/openmetrics-text").1
}

/// Registers a shared collector.
struct Shared(Arc<LogMetrics>);

impl prometheus::core::Collector for Shared {
    fn desc(&self) -> Vec<&prometheus::core::Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.0.collect()
    }
}

#[test]
fn requests_have_counts_errors_durations_and_exemplars() {
    let line =
        |status: u16| format!(r#"{{"method":"GET","path":"/orders/17","status":{status},"duration_ms":30}}"#);
    let records = [
        record("shop", Level::Info, &line(200), "4bf92f3577b34da6"),
        record("shop", Level::Error, &line(503), ""),
        record("shop", Level::Unset, "ready", ""),
    ];
    let body = scrape(&LogMetricsConfig::default(), &records);
    let labels = r#"method="GET",route="/orders/{id}",service_name="shop""#;
    for expected in [
        r#"binnacle_log_lines_total{level="error",service_name="shop"} 1.0"#.to_owned(),
        r#"binnacle_log_lines_total{level="unknown",service_name="shop"} 1.0"#.to_owned(),
        format!(r#"binnacle_http_requests_total{{{labels},status_class="2xx"}} 1.0"#),
        format!(r#"binnacle_http_request_errors_total{{{labels}}} 1.0"#),
        format!(
            r#"binnacle_http_request_duration_seconds_bucket{{{labels},status_class="2xx",le="0.05"}} 1.0 # {{trace_id="4bf92f3577b34da6"}} 0.03 1700000000.250"#
        ),
    ] {
        assert!(body.contains(&format!("{expected}\n")), "{expected}\nnot in\n{body}");
    }
}

#[test]
fn ten_thousand_paths_and_ids_make_a_bounded_number_of_series() {
    let mut records = Vec::new();
    for i in 0..10_000 {
        let slug: String = format!("{i:05}").bytes().map(|b| char::from(b - b'0' + b'a')).collect();
        let line =
            format!(r#"{{"method":"M{i}","path":"/{slug}/x{i}/{slug}-page","status":{}}}"#, 200 + i % 300);
        records.push(record("hostile", Level::Info, &line, ""));
        records.push(record(&format!("service-{i}"), Level::Info, "hello", ""));
    }
    let config = LogMetricsConfig::default();
    let body = scrape(&config, &records);
    let series = body.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= 2 * (2 * config.max_series + 1), "{series}");
    let sum = |name: &str| -> f64 {
        let values = body
            .lines()
            .filter(|l| l.starts_with(name))
            .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>()
    };
    assert_eq!(sum("binnacle_http_requests_total{"), 10_000.0);
    assert_eq!(sum("binnacle_log_lines_total{"), 20_000.0);
    assert!(
        body.contains(r#"binnacle_log_metrics_overflow_total{metric="binnacle_log_lines_total"} 8"#),
        "{body}"
    );
}

#[test]
fn own_rules_count_and_observe_fields() {
    let rule = |metric: &str, kind: RuleKind, field: &str| Rule {
        metric: metric.into(),
        help: "H.".into(),
        kind,
        service: "check*".into(),
        contains: "order placed".into(),
        filter: [("event".to_owned(), "order.*".to_owned())].into(),
        field: field.into(),
        labels: [("currency".to_owned(), "amount.currency".to_owned())].into(),
        buckets: vec![10.0, 100.0],
    };
    let config = LogMetricsConfig {
        rules: vec![
            rule("orders_total", RuleKind::Counter, ""),
            rule("revenue_total", RuleKind::Counter, "amount.value"),
            rule("order_value", RuleKind::Histogram, "amount.value"),
        ],
        ..LogMetricsConfig::default()
    };
    let line = |event: &str, value: &str| {
        format!(r#"{{"msg":"order placed","event":"{event}","amount":{{"value":{value},"currency":"EUR"}}}}"#)
    };
    let records = [
        record("checkout", Level::Info, &line("order.new", "19.5"), "aa11"),
        record("checkout", Level::Info, &line("order.new", "\"80\""), ""),
        record("checkout", Level::Info, &line("order.new", "\"many\""), ""),
        record("checkout", Level::Info, &line("order.new", "-5"), ""),
        record("checkout", Level::Info, &line("refund", "7"), ""),
        record("cart", Level::Info, &line("order.new", "7"), ""),
        record("checkout", Level::Info, "order placed but not structured", ""),
    ];
    let body = scrape(&config, &records);
    let labels = r#"currency="EUR",service_name="checkout""#;
    for expected in [
        format!("orders_total{{{labels}}} 4.0"),
        format!("revenue_total{{{labels}}} 99.5"),
        format!(r#"order_value_bucket{{{labels},le="10.0"}} 1.0"#),
        format!(r#"order_value_bucket{{{labels},le="100.0"}} 3.0 # {{trace_id="aa11"}} 19.5 1700000000.250"#),
        format!("order_value_count{{{labels}}} 3.0"),
    ] {
        assert!(body.contains(&format!("{expected}\n")), "{expected}\nnot in\n{body}");
    }
}
