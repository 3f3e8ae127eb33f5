//! A real Prometheus scrapes Binnacle in cAdvisor's place: public dashboards find what they ask for, and what
//! they do not find is listed in docs/metrics.md.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::binnacle::Server;
use crate::harness::engine::{Engine, Version};
use crate::harness::image::IMAGE;
use crate::harness::prometheus::Prometheus;
use crate::harness::site::disk_of;
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
/// Found only where this process sees the host's own processes, as docs/metrics.md tells.
const OF_THE_HOST: [&str; 5] = [
    "container_fs_usage_bytes{id=\"/\"}",
    "container_fs_limit_bytes{id=\"/\"}",
    "sum(container_fs_limit_bytes - container_fs_usage_bytes) / sum(container_fs_limit_bytes)",
    "sum(rate(container_network_receive_bytes_total{id=\"/\"}[$interval])) by (id)",
    "sum(rate(container_network_transmit_bytes_total{id=\"/\"}[$interval])) by (id)",
];
const HOST_PROCESSES: &str = "pid:[4026531836]";
/// What the dashboards' variables stand for when all is chosen.
const VARIABLES: [(&str, &str); 3] = [("$host", ".*"), ("$container", ".*"), ("$interval", "1m")];
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Rows of docs/metrics.md between these are what cannot be found.
const FIRST: &str = "<!-- expressions without a result -->\n";
const LAST: &str = "<!-- end of expressions -->\n";

/// Where the lines of this test come from: an engine with a compose service that moves bytes and logs requests.
struct Scene {
    server: Server,
    engine: Engine,
    folder: tempfile::TempDir,
}

impl Scene {
    fn open() -> Self {
        let engine = Engine::start_with(Version::Installed, "--bridge=");
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("binnacle.yaml");
        std::fs::write(&config, "collect:\n  stats:\n    period: 1s\n").unwrap();
        let arguments = ["--docker-host", &engine.host(), "--config", &config.to_string_lossy()];
        let mut server = Server::new("run", folder.path(), &arguments);
        server.start();
        server.wait_ready();
        let limit = format!("{}:1gb", disk_of(&engine.data_root()).display());
        let line = format!(
            r#"{{"method":"GET","path":"/pay/7","status":200,"duration_ms":30,"trace_id":"{TRACE_ID}"}}"#
        );
        let script = format!(
            "while :; do busybox dd if=/dev/zero of=/f bs=4096 count=1 oflag=direct 2>/dev/null; \
             echo '{line}'; busybox sleep 0.5; done"
        );
        let labels = ["project=shop", "service=pay", "container-number=1", "project.working_dir=/shop"]
            .map(|label| format!("com.docker.compose.{label}"));
        let mut run = vec!["run", "--detach", "--name", "shop-pay-1", "--memory", "64m", "--cpus", "0.5"];
        run.extend(["--device-write-bps", &limit]);
        for label in &labels {
            run.extend(["--label", label]);
        }
        run.extend([IMAGE, "/bin/sh", "-c", &script]);
        engine.docker(&run);
        Self { server, engine, folder }
    }
}

#[test]
fn dashboards_for_cadvisor_find_all_they_ask_but_for_what_the_docs_list() {
    let scene = Scene::open();
    let prometheus = Prometheus::scrape(scene.server.address(), scene.folder.path());
    let (expressions, mut documented) = (expressions(), documented());
    if std::fs::read_link("/proc/self/ns/pid").unwrap() != Path::new(HOST_PROCESSES) {
        documented.extend(OF_THE_HOST.map(str::to_owned));
    }
    let mut missing = BTreeSet::new();
    let as_documented = wait_for(LIMIT, || {
        // The quotient by what is missing is no number, which is no answer either.
        let has_value = |series: &Value| series["value"][1] != "NaN";
        let found_nothing = |e: &&String| !prometheus.query(&filled(e)).iter().any(has_value);
        missing = expressions.iter().filter(found_nothing).cloned().collect();
        missing == documented
    });
    let target = prometheus.target();
    println!("{} of {} expressions find nothing", missing.len(), expressions.len());
    assert!(
        as_documented,
        "nothing is found for {missing:#?}\ndocs/metrics.md lists {documented:#?}\n{target:#}"
    );
    assert_eq!(target["health"], "up", "{target:#}");

    let unlimited = "container_spec_memory_limit_bytes{name=\"quiet\"}";
    scene.engine.docker(&["run", "--detach", "--name", "quiet", IMAGE, "/bin/busybox", "sleep", "1000"]);
    assert!(wait_for(LIMIT, || !prometheus.query(unlimited).is_empty()));
    assert_eq!(prometheus.query(unlimited)[0]["value"][1], "0");
    scene.engine.docker(&["rm", "--force", "quiet"]);
    let gone = || prometheus.query("container_last_seen{name=\"quiet\"}").is_empty();
    assert!(wait_for(Duration::from_secs(20), gone), "a removed container lingers in queries");
}

#[test]
fn prometheus_keeps_the_trace_ids_of_exemplars() {
    let scene = Scene::open();
    let prometheus = Prometheus::scrape(scene.server.address(), scene.folder.path());
    let selector = r#"binnacle_http_request_duration_seconds_bucket{service_name="pay"}"#;
    let found = wait_for(LIMIT, || prometheus.exemplars(selector).to_string().contains(TRACE_ID));
    let (exemplars, target) = (prometheus.exemplars(selector), prometheus.target());
    assert!(found, "{exemplars:#}\n{target:#}");
    assert_eq!(exemplars[0]["exemplars"][0]["labels"]["trace_id"], TRACE_ID);
    assert_eq!(exemplars[0]["seriesLabels"]["route"], "/pay/{id}");
    assert_eq!(target["health"], "up", "{target:#}");
}

#[test]
fn promtool_complains_only_of_names_that_are_cadvisors() {
    let scene = Scene::open();
    let has_all = || {
        let text = scene.server.get("/metrics").text();
        ["container_fs_writes_total", "binnacle_http_requests_total{"].iter().all(|name| text.contains(name))
    };
    assert!(wait_for(LIMIT, has_all));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs the package `prometheus` (see ./test)");
    promtool.stdin.take().unwrap().write_all(&scene.server.get("/metrics").body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaints.lines().collect::<BTreeSet<_>>(), BTreeSet::from(FORCED_BY_CADVISOR));
}

/// Complaints that compatibility costs.
const FORCED_BY_CADVISOR: [&str; 1] =
    ["cadvisor_version_info label names should be written in 'snake_case' not 'camelCase'"];

fn page(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn expressions() -> BTreeSet<String> {
    let text = page("tests/data/dashboard-expressions.txt");
    let is_expression = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("==");
    text.lines().filter(is_expression).map(str::to_owned).collect()
}

/// The first column of the table of what cannot be found.
fn documented() -> BTreeSet<String> {
    let text = page("docs/metrics.md");
    let table = text.split_once(FIRST).and_then(|(_, rest)| Some(rest.split_once(LAST)?.0));
    let table = table.expect("docs/metrics.md has marks around its table of expressions");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(expression, _)| expression.to_owned()).collect()
}

fn filled(expression: &str) -> String {
    VARIABLES.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value))
}
