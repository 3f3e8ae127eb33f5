//! Metrics from the lines of a real container stay bounded whatever it logs.

use std::time::Duration;

use crate::harness::engine::Version;
use crate::harness::image::IMAGE;
use crate::harness::site::Site;
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
const LINES: f64 = 10_000.0;
const MAX_SERIES: usize = 64;

#[test]
fn ten_thousand_paths_and_ids_make_a_bounded_number_of_series() {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    let text = format!("collect: {{log_metrics: {{max_series: {MAX_SERIES}}}}}\n");
    std::fs::write(&config, text).unwrap();
    let site = Site::open_with(Version::Installed, "", &["--config", &config.to_string_lossy()]);
    // No two lines alike: numbers and hexadecimal ids in the paths of even lines, words (digits turned into
    // letters) in those of odd ones, and an id of a trace in each.
    let script = r#"busybox seq 10000 19999 | busybox awk '{
        word = $1; for (d = 0; d < 10; d++) gsub(d, substr("abcdefghij", d + 1, 1), word)
        path = $1 % 2 ? "/" word "/page-" word : sprintf("/orders/%d/items/%08x-0000-4000-8000-%012x", $1, $1, $1)
        printf "{\"method\":\"GET\",\"path\":\"%s\",\"status\":%d,\"duration_ms\":%d,\"trace_id\":\"%032x\"}\n",
            path, $1 % 7 ? 200 : 503, $1 % 1000, $1
    }'"#;
    site.engine.docker(&["run", "--network", "none", "--name", "hostile", IMAGE, "/bin/sh", "-c", script]);

    let of = |name: &str, labels: &str| site.server.metric(name, labels);
    let counted = || of("binnacle_http_requests_total", "service_name=\"hostile\"");
    assert!(wait_for(LIMIT, || counted() >= LINES), "{} requests are counted", counted());
    assert_eq!(counted(), LINES, "every request is counted, once");
    assert_eq!(of("binnacle_http_request_duration_seconds_count", ""), LINES);
    assert_eq!(of("binnacle_http_request_errors_total", ""), (LINES / 7.0).floor() + 1.0);

    let page = site.server.get("/metrics").text();
    for name in [
        "binnacle_http_requests_total{",
        "binnacle_http_request_errors_total{",
        "binnacle_http_request_duration_seconds_count{",
        "binnacle_log_lines_total{",
    ] {
        let series = page.lines().filter(|line| line.starts_with(name)).count();
        println!("{name}…}}: {series} series");
        assert!((1..=MAX_SERIES).contains(&series), "{name}: {series} series");
    }
    assert_eq!(of("binnacle_http_requests_total", "route=\"/orders/{id}/items/{id}\""), LINES / 2.0);
    let overflow = of("binnacle_http_requests_total", "route=\"overflow\"");
    assert!(overflow > 0.0, "{page}");
    let told = of("binnacle_log_metrics_overflow_total", "metric=\"binnacle_http_requests_total\"");
    assert_eq!(told, overflow, "what overflows is counted");
}
