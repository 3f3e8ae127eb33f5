//! The command line's contract: exit codes, streams, what is touched, how mistakes are told.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use crate::harness::binnacle::{Server, binnacle};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Stores `lines` in the folder with `binnacle ingest`.
fn ingest(folder: &Path, lines: &str, label: &str) -> Output {
    let mut process = binnacle()
        .args(["ingest", "-", "--label", label, "--data"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    process.wait_with_output().unwrap()
}

fn search(folder: &Path, arguments: &[&str]) -> Output {
    binnacle().arg("search").args(arguments).arg("--data").arg(folder).output().unwrap()
}

#[test]
fn help_and_version_touch_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let commands = [
        "run",
        "collect",
        "serve",
        "search",
        "explain",
        "tail",
        "trace",
        "export",
        "ingest",
        "labels",
        "stats",
        "check-config",
        "doctor",
    ];
    let with_help = commands.iter().map(|c| vec![*c, "--help"]);
    for arguments in with_help.chain([
        vec!["--help"],
        vec!["--version"],
        vec!["check-config"],
        vec!["completions", "bash"],
    ]) {
        let output = binnacle().args(&arguments).current_dir(scratch.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stdout.is_empty(), "{arguments:?} prints nothing");
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "{arguments:?} left something");
    }
}

#[test]
fn every_mistake_of_a_configuration_is_named_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    std::fs::write(&config, "collect:\n  poll_interval: 1ns\n  no_such_key: 1\n").unwrap();
    for command in ["check-config", "run", "serve"] {
        let output = binnacle()
            .args([command, "--config", &config.to_string_lossy(), "--data"])
            .arg(scratch.path().join("data"))
            .env("BINNACLE_RETENTION_MAX_AGE", "soon")
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        for part in ["collect.poll_interval", "1ns", "no_such_key", "soon"] {
            assert!(said.contains(part), "`{part}` is missing from: {said}");
        }
        assert!(!scratch.path().join("data").exists(), "{command} has made the folder");
    }
}

#[test]
fn exit_codes_tell_found_from_not_found_from_failed() {
    let scratch = tempfile::tempdir().unwrap();
    let stored = ingest(scratch.path(), "first line\nsecond line\n", "service_name=shop");
    assert_eq!(stored.status.code(), Some(0), "{}", text(&stored.stderr));

    let found = search(scratch.path(), &["second", "--json"]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    let record: serde_json::Value = serde_json::from_slice(&found.stdout).expect("one record");
    assert_eq!(record["line"], "second line");
    assert_eq!(record["labels"]["service_name"], "shop");

    let nothing = search(scratch.path(), &["third", "--json"]);
    assert_eq!((nothing.status.code(), text(&nothing.stdout)), (Some(1), String::new()));

    let unfinished = search(scratch.path(), &["level:error AND (", "--json"]);
    assert_eq!(unfinished.status.code(), Some(2));
    assert!(!unfinished.stderr.is_empty() && unfinished.stdout.is_empty());
    for arguments in [&["--since", "yesterdayish", "x"][..], &["--limit", "-3", "x"], &["--no-such-flag"]] {
        let wrong = search(scratch.path(), arguments);
        assert_eq!(wrong.status.code(), Some(2), "{arguments:?}: {}", text(&wrong.stderr));
    }
    let nobody = binnacle().args(["search", "--url", "http://127.0.0.1:1", "x"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(2));
    assert!(text(&nobody.stderr).contains("http://127.0.0.1:1"), "{}", text(&nobody.stderr));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let scratch = tempfile::tempdir().unwrap();
    let lines: String = (0..50_000).map(|i| format!("line number {i} of a long answer\n")).collect();
    assert_eq!(ingest(scratch.path(), &lines, "service_name=shop").status.code(), Some(0));
    let mut process = binnacle()
        .args(["search", "--limit", "0", "--json", "*", "--data"])
        .arg(scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap(); // and the pipe is closed
    let output = process.wait_with_output().unwrap();
    assert!(first.contains("line number"), "{first}");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn forward_is_oldest_first_and_a_limit_takes_the_newest() {
    let scratch = tempfile::tempdir().unwrap();
    let lines: String = (0..30).map(|i| format!("2026-01-01T00:00:{i:02}Z entry{i}\n")).collect();
    assert_eq!(ingest(scratch.path(), &lines, "service_name=shop").status.code(), Some(0));
    let order = |arguments: &[&str]| -> Vec<String> {
        let range = ["--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z", "--json", "*"];
        let output = search(scratch.path(), &[arguments, &range].concat());
        let records = text(&output.stdout);
        let records = records.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
        records.map(|r| r["line"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(order(&["--limit", "3"]), ["entry29", "entry28", "entry27"]);
    let all = order(&["--limit", "0", "--forward"]);
    assert_eq!(all, (0..30).map(|i| format!("entry{i}")).collect::<Vec<_>>());
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("binnacle.yaml");
    std::fs::write(&config, "listen: 127.0.0.1:1111\nretention:\n  max_age: 3d\n").unwrap();
    let shown = |listen: Option<&str>, flags: &[&str]| {
        let mut command = binnacle();
        command.args(["check-config", "--config"]).arg(&config).args(flags);
        if let Some(address) = listen {
            command.env("BINNACLE_LISTEN", address);
        }
        text(&command.output().unwrap().stdout)
    };
    assert!(shown(None, &[]).contains("127.0.0.1:1111"));
    assert!(shown(None, &[]).contains("3d"));
    assert!(shown(Some("127.0.0.1:2222"), &[]).contains("127.0.0.1:2222"));
    assert!(shown(Some("127.0.0.1:2222"), &["--listen", "127.0.0.1:3333"]).contains("127.0.0.1:3333"));
}

#[test]
fn a_pushed_ingest_is_stored_by_the_server() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::run(scratch.path(), "none");
    let file = scratch.path().join("lines.ndjson");
    std::fs::write(&file, "{\"msg\":\"paid\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}\n").unwrap();
    let path = file.to_string_lossy();
    let pushed = server.client(&["ingest", &path, "--label", "service_name=payment"]);
    assert_eq!(pushed.status.code(), Some(0), "{}", text(&pushed.stderr));
    let trace = server.client(&["trace", "4bf92f3577b34da6a3ce929d0e0e4736", "--json"]);
    assert_eq!(trace.status.code(), Some(0), "{}", text(&trace.stderr));
    assert!(text(&trace.stdout).contains("paid"));
}

#[test]
fn an_export_is_ingested_as_it_was() {
    let scratch = tempfile::tempdir().unwrap();
    let (here, there) = (scratch.path().join("here"), scratch.path().join("there"));
    let export = |folder: &Path, arguments: &[&str]| {
        let output = binnacle().arg("export").args(arguments).arg("--data").arg(folder).output().unwrap();
        (output.status.code(), output.stdout)
    };
    let lines = (0..2_000).fold(String::new(), |lines, i| {
        let trace = format!("{:032x}", i / 3 + 1);
        lines
            + &format!(
                "{{\"ts\":{},\"msg\":\"order {i}\",\"trace_id\":\"{trace}\"}}\n",
                1_704_103_200 + i / 10
            )
    });
    assert!(ingest(&here, &lines, "service_name=cart").status.success());
    // What looks like an export, on the second line, is a line of the log.
    let odd = "warn: a\u{1b}[31mb\tc\n{\"binnacle_record\":1}\n\n";
    assert!(ingest(&here, odd, "service_name=odd").status.success());

    let (code, everything) = export(&here, &[]);
    assert_eq!((code, everything.iter().filter(|byte| **byte == b'\n').count()), (Some(0), 2_003));
    let file = scratch.path().join("all.ndjson");
    std::fs::write(&file, &everything).unwrap();
    let back = binnacle().arg("ingest").arg(&file).arg("--data").arg(&there).output().unwrap();
    assert_eq!(back.status.code(), Some(0), "{}", text(&back.stderr));
    assert!(export(&there, &[]) == (Some(0), everything), "the second export differs from the first");

    for query in ["order 17", "{service_name=\"cart\"} | json | msg=\"order 17\" | line_format \"x\""] {
        let (_, found) = export(&there, &[query]);
        assert!(
            text(&found).contains(r#""line":"{\"ts\":1704103201,\"msg\":\"order 17\","#),
            "{query}: {}",
            text(&found)
        );
    }
    assert_eq!(export(&there, &["level:fatal"]).0, Some(1));
    let refused =
        binnacle().args(["ingest", "--label", "a=b"]).arg(&file).arg("--data").arg(&there).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--label"), "{}", text(&refused.stderr));
}

#[test]
fn logql_finds_records_and_yields_numbers() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    let lines = (1..=9).fold(String::new(), |lines, i| {
        lines
            + &format!(
                "{{\"time\":\"2026-01-02T10:00:0{i}Z\",\"level\":\"{}\",\"n\":{i}}}\n",
                ["info", "error"][i % 2]
            )
    });
    assert!(ingest(folder, &lines, "service_name=pay").status.success());

    let output = search(folder, &["{service_name=\"pay\"} | json | n > 7", "--json", "--forward"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let hits: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(hits.len(), 2);
    assert_eq!(hits[0]["timestamp"], "2026-01-02T10:00:08.000000000Z");
    assert_eq!((&hits[0]["labels"]["service_name"], &hits[0]["metadata"]["n"]), (&"pay".into(), &"8".into()));

    let counts = "sum by (detected_level) (count_over_time({service_name=\"pay\"}[1m]))";
    let output = search(folder, &[counts, "--to", "2026-01-02T10:00:30Z"]);
    let table: Vec<String> =
        text(&output.stdout).lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(table, ["detected_level value", "error 5", "info 4"], "{}", text(&output.stderr));
    let output = search(
        folder,
        &[
            counts,
            "--json",
            "--step",
            "10s",
            "--from",
            "2026-01-02T10:00:10Z",
            "--to",
            "2026-01-02T10:00:20Z",
        ],
    );
    let points: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(points.len(), 4, "{}", text(&output.stderr));
    assert_eq!((&points[0]["labels"]["detected_level"], &points[0]["value"]), (&"error".into(), &5.0.into()));
    let output = search(
        folder,
        &[counts, "--chart", "--from", "2026-01-02T10:00:00Z", "--to", "2026-01-02T10:01:00Z"],
    );
    assert!(text(&output.stdout).contains("█  max 5"), "{}{}", text(&output.stdout), text(&output.stderr));

    let output = search(folder, &["{service_name=\"none\"}"]);
    assert_eq!(output.status.code(), Some(1));
    let output = search(folder, &["{service_name=\"pay\" | json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("line 1, col 21") && text(&output.stderr).contains('^'),
        "{}",
        text(&output.stderr)
    );
    let output = search(folder, &["sum(count_over_time({service_name=\"pay\"} | json | unwrap [1m]))"]);
    assert_eq!(output.status.code(), Some(2));
    // The server's refusal, with its text.
    let output = search(
        folder,
        &["count_over_time({service_name=\"pay\"} | logfmt --strict [1m])", "--to", "2026-01-02T10:00:30Z"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("pipeline error: 'LogfmtParserErr'"), "{}", text(&output.stderr));
}

#[test]
fn explain_tells_what_is_read_and_why() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    assert!(ingest(folder, "time=2026-01-02T10:00:01Z msg=alpha\n", "service_name=a").status.success());
    assert!(ingest(folder, "time=2026-01-02T20:00:01Z msg=beta\n", "service_name=b").status.success());
    let explain = |arguments: &[&str]| {
        let output = binnacle().arg("explain").args(arguments).arg("--data").arg(folder).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let answer: serde_json::Value = serde_json::from_str(&explain(&[
        "{service_name=~\".+\"} |= `alpha`",
        "--from",
        "2026-01-02T09:00:00Z",
        "--to",
        "2026-01-02T11:00:00Z",
        "--json",
    ]))
    .unwrap();
    let read = &answer["reads"][0];
    assert_eq!(
        (&read["blocks"], &read["streams"], &read["required"]),
        (&1.into(), &1.into(), &"\"alpha\"".into())
    );
    assert_eq!(answer["decoded"]["lines"], 1);
    let words = explain(&["level:error gamma"]);
    assert!(words.contains("kept     0 blocks") && words.contains("decoded 0 blocks"), "{words}");
}

/// Two services of one request, logged now; only one of them knows the trace id.
fn request(folder: &Path) {
    let at = |ms: u32| format!("2026-01-31T10:00:00.{ms:03}Z");
    let web = format!(
        "{}\n{}\n",
        format_args!(
            r#"{{"time":"{}","msg":"request received","method":"POST","path":"/checkout","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","correlation_id":"r-17"}}"#,
            at(0)
        ),
        format_args!(
            r#"{{"time":"{}","msg":"answered","level":"error","method":"POST","path":"/checkout","status":502,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","correlation_id":"r-17"}}"#,
            at(100)
        ),
    );
    let payment = format!(
        "{}\n{}\n",
        format_args!(r#"{{"time":"{}","msg":"charging","correlation_id":"r-17"}}"#, at(20)),
        format_args!(
            r#"{{"time":"{}","msg":"card declined","level":"error","correlation_id":"r-17"}}"#,
            at(90)
        ),
    );
    assert!(ingest(folder, &web, "service_name=web").status.success());
    assert!(ingest(folder, &payment, "service_name=payment").status.success());
}

#[test]
fn a_trace_is_shown_as_waterfall_lines_spans_and_otlp() {
    let scratch = tempfile::tempdir().unwrap();
    request(scratch.path());
    let trace = |arguments: &[&str]| {
        let output =
            binnacle().arg("trace").args(arguments).arg("--data").arg(scratch.path()).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for id in ["4bf92f3577b34da6a3ce929d0e0e4736", "r-17"] {
        let (code, out, err) = trace(&[id]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        for expected in [
            "trace 4bf92f3577b34da6a3ce929d0e0e4736: 2 spans of 2 services in 100.0 ms, 2 failed\n",
            "! web POST /checkout",
            "!   payment ",
            "slowest hop: payment ",
            "70.0 ms itself (70 % of the time)\n",
            "critical path: web 20.0 ms > payment 70.0 ms > web 10.0 ms\n",
            "failed first: payment ",
            "lines of 2 services in 100.0 ms\n",
            "+90.000 ms payment",
        ] {
            assert!(out.contains(expected), "{expected} in:\n{out}");
        }
        assert!(!out.contains('\u{1b}'), "colours only on a terminal:\n{out}");
    }
    let objects = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let (code, out, _) = trace(arguments);
        assert_eq!(code, Some(0), "{arguments:?}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let lines = objects(&["r-17", "--json"]);
    assert!(lines.len() == 4 && lines.iter().all(|line| line["line"].is_string()), "{lines:?}");
    let spans = objects(&["r-17", "--spans", "--json"]);
    assert_eq!(
        (spans.len(), &spans[1]["service"], &spans[1]["critical_ns"]),
        (2, &"payment".into(), &70_000_000.into())
    );
    let otlp = objects(&["r-17", "--otlp"]);
    assert_eq!(otlp[0]["resourceSpans"].as_array().unwrap().len(), 2);
    assert!(!trace(&["r-17", "--spans"]).1.contains("+90.000"), "no lines");
    for arguments in [&["r-18"][..], &["r-18", "--spans"], &["r-18", "--otlp"], &["r-18", "--json"]] {
        let (code, out, err) = trace(arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(err.contains("`r-18`"), "{err}");
    }
    assert_eq!(trace(&["", "--spans"]).0, Some(2), "no id at all");
    assert_eq!(trace(&["r-17", "--otlp", "--json"]).0, Some(2));
}
