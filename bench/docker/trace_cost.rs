//! What making traces adds to the whole collection of real containers' lines: 5,000 a second of four containers, with
//! 1,000 correlation ids open at once. `cargo bench --bench trace_cost`
//!
//! CPU time (user and system) of the process `binnacle run`, with its defaults and with `traces.enabled: false`, in turns
//! on one engine. What assembling alone takes is what the process itself counts
//! (`binnacle_traces_assembly_cpu_seconds_total`); the rest of the difference keeps the spans. Shares are of what the
//! process takes without traces: the whole way of a line from the engine to the disk.
//! `cargo bench --bench trace_cost -- 4 newer` measures four rounds, on the newer engine.

#![expect(clippy::unwrap_used, reason = "a step that fails here fails the measurement")]
#![expect(clippy::print_stdout, reason = "the figures")]

#[path = "../../tests/harness/mod.rs"]
#[expect(dead_code, unused_imports, unused_macros, reason = "the tests use the rest of it")]
mod harness;
#[path = "../src/requests.rs"]
mod requests;

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::binnacle::Server;
use harness::engine::{Engine, Version};
use harness::image::IMAGE;
use requests::{LINES_PER_SECOND, Requests, SERVICES};

/// Until traces close, the first parts are written, and as many traces are remembered as fit.
const SETTLING: Duration = Duration::from_secs(45);
const MEASURED: Duration = Duration::from_secs(60);
/// Lines written at once: fifty times a second.
const BATCH_LINES: u64 = LINES_PER_SECOND / 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let rounds = arguments.first().map_or(4, |rounds| rounds.parse().expect("a number of rounds"));
    let version = match arguments.get(1).map(String::as_str) {
        Some("newer") => Version::Newer,
        _ => Version::Installed,
    };
    let columns = ["lines", "CPU us a line", "of it assembly", "spans", "traces, MB", "process, MB"];
    println!("{:<16}{}", "", columns.map(|column| format!("{column:>16}")).concat());
    let engine = Engine::start(version);
    for round in 0..rounds {
        let off = measure(&engine, false, &format!("off{round}"));
        let on = measure(&engine, true, &format!("on{round}"));
        let (assembly, keeping) = (on.assembly_us, on.cpu_us - on.assembly_us - off.cpu_us);
        let share = |us: f64| us / off.cpu_us * 100.0;
        println!(
            "{version:?} engine: assembling {:.1} %, keeping spans {:.1} % of ingest without traces",
            share(assembly),
            share(keeping)
        );
    }
}

/// What a line took, in microseconds of CPU time.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu_us: f64,
    assembly_us: f64,
}

fn measure(engine: &Engine, traces: bool, name: &str) -> Cost {
    let containers: Vec<Fed> = SERVICES.iter().map(|service| Fed::start(engine, service, name)).collect();
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    std::fs::write(&config, format!("traces: {{enabled: {traces}}}\n")).unwrap();
    let arguments = ["--docker-host", &engine.host(), "--config", &config.to_string_lossy()];
    let mut server = Server::new("run", scratch.path(), &arguments);
    server.start();
    server.wait_ready();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(containers, &stop));
        std::thread::sleep(SETTLING);
        let used = || {
            let name = |service: &str| format!("name=\"{service}-{name}\"");
            let lines =
                SERVICES.iter().map(|service| server.metric("docker_logs_lines_total", &name(service)));
            let assembly = server.metric("binnacle_traces_assembly_cpu_seconds_total", "");
            (lines.sum::<f64>(), cpu_seconds(&server), assembly)
        };
        let before = used();
        std::thread::sleep(MEASURED);
        let after = used();
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        let lines = after.0 - before.0;
        let cost = Cost {
            cpu_us: (after.1 - before.1) * 1e6 / lines,
            assembly_us: (after.2 - before.2) * 1e6 / lines,
        };
        let way = if traces { "with traces" } else { "without traces" };
        println!(
            "{way:<16}{lines:>16.0}{:>16.1}{:>16.2}{:>16.0}{:>16.1}{:>16.0}",
            cost.cpu_us,
            cost.assembly_us,
            server.metric("binnacle_traces_spans_total", "").abs(),
            server.metric("binnacle_traces_bytes", "").abs() / 1e6,
            resident_mb(&server)
        );
        cost
    })
}

/// A container that logs what it is told, and is removed after that: the next process must not read its history.
#[derive(Debug)]
struct Fed {
    service: &'static str,
    client: Child,
    lines: ChildStdin,
}

impl Fed {
    fn start(engine: &Engine, service: &'static str, run: &str) -> Self {
        let (name, label) = (format!("{service}-{run}"), format!("com.docker.compose.service={service}"));
        let arguments =
            ["run", "--rm", "--interactive", "--network=none", "--name", &name, "--label", &label, IMAGE];
        let mut client = engine
            .docker_command(&arguments)
            .args(["/bin/busybox", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("cannot run `docker`");
        let lines = client.stdin.take().unwrap();
        Self { service, client, lines }
    }
}

/// Writes at a steady rate until told to stop, then ends the containers.
fn write(mut containers: Vec<Fed>, stop: &AtomicBool) {
    let (mut requests, begun) = (Requests::new(), Instant::now());
    let mut texts = [const { String::new() }; SERVICES.len()];
    for batch in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for _ in 0..BATCH_LINES {
            let (service, line) = requests.line();
            let place = SERVICES.iter().position(|name| *name == service).unwrap();
            texts[place] += &line;
            texts[place].push('\n');
        }
        for (container, text) in containers.iter_mut().zip(&mut texts) {
            container.lines.write_all(text.as_bytes()).unwrap();
            text.clear();
        }
        let due = Duration::from_millis(batch * BATCH_LINES * 1000 / LINES_PER_SECOND);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    for Fed { service, mut client, lines } in containers {
        drop(lines);
        assert!(client.wait().unwrap().success(), "the container of `{service}` failed");
    }
}

fn proc_file(server: &Server, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{name}", server.pid())).expect("the server runs")
}

fn resident_mb(server: &Server) -> f64 {
    let status = proc_file(server, "status");
    let kib = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.expect("VmRSS") * 1024.0 / 1e6
}

/// User and system time so far; the kernel counts in hundredths of a second.
fn cpu_seconds(server: &Server) -> f64 {
    let stat = proc_file(server, "stat");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    fields.split(' ').skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / 100.0
}
