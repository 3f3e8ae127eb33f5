//! The traffic is as promised, and what is read of its lines is true.

use std::collections::HashSet;

use store::{Level, Position};

use super::*;

const START_NS: i64 = 1_700_000_000_000_000_000;

fn demo(seed: u64) -> Demo {
    let config = IngestConfig::default();
    let enricher = Arc::new(Enricher::new(&config, crate::Redactor::off()));
    Demo::new(&config, enricher, Traffic::new(seed, START_NS), START_NS)
}

fn ten_minutes(seed: u64) -> Vec<DemoLine> {
    let end_ns = START_NS + 600_000_000_000;
    Traffic::new(seed, START_NS).take_while(|line| line.timestamp_ns < end_ns).collect()
}

#[test]
fn traffic_is_ordered_the_same_for_a_seed_and_of_the_promised_rate() {
    let lines = ten_minutes(7);
    assert_eq!(lines, ten_minutes(7));
    assert_ne!(lines, ten_minutes(8));
    assert!(lines.windows(2).all(|pair| pair[0].timestamp_ns <= pair[1].timestamp_ns));
    let rate = lines.len() / 600;
    assert!((10..=50).contains(&rate), "{rate} lines a second");
    let services: HashSet<_> = lines.iter().map(|line| line.service).collect();
    assert_eq!(services.len(), 6);
}

#[test]
fn calls_lie_within_their_callers() {
    for line in ten_minutes(1) {
        let Some(call_ref) = line.call else { continue };
        let call = call_ref.call();
        assert!(call.start_ns <= line.timestamp_ns && line.timestamp_ns <= call.end_ns);
        assert_eq!(call.service, line.service);
        if let Some(parent) = call.parent {
            let caller = &call_ref.request.calls[parent];
            assert!(parent < call_ref.index);
            assert!(caller.start_ns <= call.start_ns && call.end_ns <= caller.end_ns);
        }
    }
}

#[test]
fn ids_read_from_lines_are_the_true_ones() {
    let enricher = Enricher::new(&IngestConfig::default(), crate::Redactor::off());
    let labels = Arc::new(Labels::default());
    let mut seen = HashSet::new();
    for line in ten_minutes(2) {
        let Some(call_ref) = &line.call else { continue };
        let raw = RawLine { timestamp_ns: 0, line: line.line.clone().into(), truncated_from: None };
        let record = enricher.record(raw, &labels, &[], ParseOptions::default());
        let (call, request) = (call_ref.call(), &call_ref.request);
        for (name, truth) in [
            (attribute::TRACE_ID, &request.trace_id),
            (attribute::SPAN_ID, &call.span_id),
            (attribute::CORRELATION_ID, &request.correlation_id),
        ] {
            if let Some(value) = record.pair(name) {
                assert_eq!(value, truth, "{}", line.line);
                seen.insert((line.service, name));
            }
        }
        if let Some(parent) = record.pair(attribute::PARENT_SPAN_ID) {
            assert_eq!(Some(parent), call.parent.map(|parent| request.calls[parent].span_id.as_str()));
        }
    }
    for service in Service::ALL {
        let only_correlation = matches!(service, Service::Cart | Service::Checkout);
        assert_eq!(seen.contains(&(service, attribute::TRACE_ID)), !only_correlation, "{service:?}");
    }
    assert!(seen.contains(&(Service::Checkout, attribute::CORRELATION_ID)));
}

#[test]
fn an_hour_has_errors_and_stack_traces_joined_to_one_record() {
    let mut demo = demo(3);
    let mut records = demo.lines_until(START_NS + HISTORY_NS, usize::MAX).records;
    records.extend(demo.rest().records);
    let java =
        records.iter().filter(|r| r.line.starts_with(b"shop.checkout.") || r.line.ends_with(b"... 3 more"));
    let java: Vec<_> = java.collect();
    assert!(!java.is_empty());
    assert!(java.iter().all(|record| record.line.ends_with(b"... 3 more") && record.level == Level::Error));
    assert!(
        records.iter().any(|record| record.line.starts_with(b"Traceback") && record.level == Level::Error)
    );
    for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
        assert!(records.iter().any(|record| record.level == level), "{level:?}");
    }
    assert!(records.iter().all(|record| record.level != Level::Unknown), "every line states a level");
}

#[tokio::test]
async fn the_first_run_makes_history_and_the_next_does_not() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), prometheus::Registry::new());
    let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
    let config = IngestConfig::default();
    let enricher = Arc::new(Enricher::new(&config, crate::Redactor::off()));
    let mut lines = Vec::new();
    for _ in 0..2 {
        let cancel = CancellationToken::new();
        let running = run(config.clone(), writer.clone(), Arc::clone(&enricher), cancel.clone());
        let stop = async {
            // Given up early, the history of the first run would look like none.
            while !is_recent(writer.cursor(SOURCE).unwrap()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(running, stop);
        result.unwrap();
        lines.push(writer.reader().stats().unwrap().records);
    }
    assert!(lines[0] > 20_000, "{lines:?}");
    assert!(lines[1] < lines[0] + 5_000, "{lines:?}");
    assert_eq!(writer.reader().containers().unwrap().len(), 6);
}

/// Whether a position is of the last minute.
fn is_recent(position: Position) -> bool {
    let Position::At(bytes) = position else { return false };
    let bytes = <[u8; 8]>::try_from(bytes).ok();
    bytes.is_some_and(|bytes| i64::from_le_bytes(bytes) > now_ns() - 60_000_000_000)
}
