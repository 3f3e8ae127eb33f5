//! Files into records, and over HTTP into a server.

use super::*;
use crate::push;
use store::Level;
use store::config::ByteSize;

fn records(input: &str, config: &IngestConfig, options: &Options) -> (Vec<Record>, Summary) {
    let mut batches = Batches::new(input.as_bytes(), config, options).unwrap();
    let mut all = Vec::new();
    while let Some(records) = batches.next().unwrap() {
        all.extend(records);
    }
    (all, batches.summary)
}

#[test]
fn lines_get_the_time_they_state() {
    let base = 1_704_103_200_000_000_000;
    let input = "{\"time\":\"2024-01-01T10:00:00Z\",\"level\":\"warn\"}\r\nts=1704103200 x=y\n2024-01-01T10:00:00Z plain\nuntimed";
    let (records, summary) = records(input, &IngestConfig::default(), &Options::default());
    let times: Vec<i64> = records.iter().map(|record| record.timestamp_ns).collect();
    assert_eq!(times[..3], [base; 3]);
    assert!(times[3] > base);
    assert_eq!(records[0].level, Level::Warn);
    assert_eq!(&records[0].line[..], b"{\"time\":\"2024-01-01T10:00:00Z\",\"level\":\"warn\"}");
    assert!(records.iter().all(|record| record.pair("logged_at").is_none()));
    assert_eq!((summary.lines, summary.bytes, summary.untimed_lines), (4, input.len() as u64, 1));
}

#[test]
fn labels_come_from_the_user_and_from_fields() {
    let options = Options {
        labels: vec![Options::parse_label("env=test").unwrap()],
        label_fields: vec!["svc=service_name".parse().unwrap(), "k8s.ns".parse().unwrap()],
    };
    let input = "{\"svc\":\"cart\",\"k8s\":{\"ns\":\"a\"}}\n{\"svc\":\"web\"}\nplain\n";
    let (records, _) = records(input, &IngestConfig::default(), &options);
    let labels: Vec<String> = records.iter().map(|record| record.labels.to_string()).collect();
    assert_eq!(
        labels,
        [
            r#"{env="test", k8s_ns="a", service_name="cart"}"#,
            r#"{env="test", service_name="web"}"#,
            r#"{env="test", service_name="unknown_service"}"#,
        ]
    );
}

#[test]
fn wrong_labels_are_refused() {
    for text in ["", "x", "=y", "1a=b", "a-b=c"] {
        assert!(Options::parse_label(text).is_err(), "{text}");
    }
    for text in ["", "=a", "a=1b", "a="] {
        assert!(text.parse::<LabelField>().is_err(), "{text}");
    }
}

#[test]
fn long_lines_are_cut_and_counted() {
    let config = IngestConfig { max_line_bytes: ByteSize(300), ..IngestConfig::default() };
    let (records, summary) = records(&"x".repeat(1000), &config, &Options::default());
    assert_eq!((records[0].line.len(), records[0].pair("truncated")), (300, Some("1000")));
    assert_eq!(summary.cut_lines, 1);
}

#[test]
fn every_line_is_stored_and_counted() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), prometheus::Registry::new());
    let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
    let input: String = (0..20_000).map(|i| format!("ts={} n={i}\n", 1_704_103_200 + i)).collect();
    let mut seen = Vec::new();
    let summary = into_store(input.as_bytes(), &writer, &IngestConfig::default(), &Options::default(), |p| {
        seen.push(p)
    })
    .unwrap();
    assert_eq!((summary.lines, summary.bytes), (20_000, input.len() as u64));
    assert!(seen.len() > 1 && seen.windows(2).all(|pair| pair[0].lines < pair[1].lines));
    assert_eq!(seen.last().map(|p| p.lines), Some(20_000));
}

/// A store that makes parts of a megabyte.
fn small_parts(dir: &std::path::Path) -> Writer {
    let config = store::Config { flush_bytes: ByteSize(1 << 20), ..store::Config::default() };
    Writer::open(dir, &config, &prometheus::Registry::new()).unwrap()
}

fn stored_lines(writer: &Writer) -> Vec<String> {
    let query = store::BlockQuery {
        range: store::TimeRange::ALL,
        streams: None,
        levels: None,
        prune: &store::Prune::Any,
    };
    let mut lines = Vec::new();
    for candidate in writer.reader().snapshot().unwrap().candidates(&query).unwrap().blocks {
        let block = candidate.open().unwrap();
        lines.extend(block.lines().unwrap().iter().map(|line| String::from_utf8_lossy(line).into_owned()));
    }
    lines.sort_unstable();
    lines
}

#[test]
fn a_file_is_stored_in_bulk_and_told_of_only_what_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let writer = small_parts(dir.path());
    let mut lines: Vec<String> =
        (0..50_000).map(|i| format!("ts={} trace_id={i:032x} n={i}", 1_704_103_200 + i)).collect();
    let input = lines.join("\n");
    let mut seen = Vec::new();
    let (config, options) = (IngestConfig::default(), Options::default());
    let summary = file_into_store(input.as_bytes(), &writer, &config, &options, |progress| {
        assert!(stored_lines(&writer).len() as u64 >= progress.lines);
        seen.push(progress.lines);
    });
    let summary = summary.unwrap();
    assert_eq!((summary.lines, summary.bytes), (50_000, input.len() as u64));
    assert!(seen.len() > 2 && seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&50_000));
    lines.sort_unstable();
    assert!(stored_lines(&writer) == lines);
    assert!(crate::traces::ingested::range(&writer).unwrap().is_some(), "traces are to be made of them");
}

#[test]
fn what_was_read_of_a_file_before_it_failed_is_stored() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("a bad sector"))
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let writer = small_parts(dir.path());
    let input: String = (0..30_000).map(|i| format!("ts={} n={i}\n", 1_704_103_200 + i)).collect();
    let mut told = 0;
    let (config, options) = (IngestConfig::default(), Options::default());
    let result = file_into_store(input.as_bytes().chain(Broken), &writer, &config, &options, |progress| {
        told = progress.lines
    });
    assert!(result.unwrap_err().to_string().contains("a bad sector"));
    assert_eq!((told, stored_lines(&writer).len()), (30_000, 30_000));
}

fn endpoint(address: std::net::SocketAddr) -> dial::Endpoint {
    dial::Endpoint::new(&format!("http://{address}"), &dial::Credentials::default()).unwrap()
}

#[tokio::test]
async fn lines_arrive_at_a_server_that_is_late() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), prometheus::Registry::new());
    let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
    let config = IngestConfig::default();
    let enricher = Arc::new(Enricher::new(&config, crate::Redactor::off()));
    let router = push::router(writer, enricher, &config, &registry).unwrap();
    // The port is known before anybody listens: the first attempt fails.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        axum::serve(listener, router).await.unwrap();
    });
    let target = endpoint(address);
    let input = std::io::Cursor::new(b"ts=1704103200 a=b\n\xff\nlast".to_vec());
    let summary = to_url(input, &target, &config, &Options::default(), |_| {}).await.unwrap();
    assert_eq!((summary.lines, summary.altered_lines), (3, 1));
    let families = registry.gather();
    let stored = families.iter().find(|family| family.name() == "binnacle_push_lines_total").unwrap();
    assert_eq!(stored.get_metric()[0].get_counter().get_value(), 3.0);
}

#[tokio::test]
async fn a_refusal_ends_the_ingest_with_its_reason() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), prometheus::Registry::new());
    let writer = Writer::open(dir.path(), &store::Config::default(), &registry).unwrap();
    let push = crate::config::PushConfig { max_entries: 1, ..crate::config::PushConfig::default() };
    let config = IngestConfig { push, ..IngestConfig::default() };
    let router =
        push::router(writer, Arc::new(Enricher::new(&config, crate::Redactor::off())), &config, &registry)
            .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = endpoint(listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let input = std::io::Cursor::new(b"a\nb\n".to_vec());
    let error = to_url(input, &target, &config, &Options::default(), |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("413") && error.contains("max_entries"), "{error}");
}
