//! Traces as the runtimes print them, and the promise that nothing is lost, added or reordered.

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000_000;

fn raw(line: &str) -> RawLine {
    RawLine { timestamp_ns: 0, line: Bytes::copy_from_slice(line.as_bytes()), truncated_from: None }
}

fn joiner() -> Joiner {
    Joiner::new(&IngestConfig::default(), None)
}

fn texts(out: &[Joined]) -> Vec<String> {
    out.iter().map(|joined| String::from_utf8_lossy(&joined.line.line).into_owned()).collect()
}

fn join_all(joiner: &mut Joiner, lines: &[&str]) -> Vec<String> {
    let (now, mut out) = (Instant::now(), Vec::new());
    for line in lines {
        joiner.push(raw(line), now, &mut out);
    }
    joiner.flush(&mut out);
    texts(&out)
}

/// The trace stays one record between two lines that are none of it.
fn assert_one_record(trace: &str) {
    let mut lines = vec!["2024-01-01 10:00:00 INFO before"];
    lines.extend(trace.split('\n'));
    lines.push("2024-01-01 10:00:01 INFO after");
    let joined = join_all(&mut joiner(), &lines);
    assert_eq!(joined, ["2024-01-01 10:00:00 INFO before", trace, "2024-01-01 10:00:01 INFO after"]);
}

#[test]
fn java_traces_with_causes_are_one_record() {
    assert_one_record(
        "Exception in thread \"main\" java.lang.IllegalStateException: boom\n\tat shop.Cart.add(Cart.java:5)\n\
         \tat shop.Main.main(Main.java:9)\nCaused by: java.io.IOException: closed\n\tat shop.Db.read(Db.java:1)\n\
         \t... 2 more\n\tSuppressed: java.lang.Error: x\n\t\tat a.B.c(D.java)\n\t... 3 common frames omitted",
    );
    assert_one_record(
        "10:00:00.123 [main] ERROR shop.Cart - cannot add\njava.lang.NullPointerException\n\tat shop.Cart.add(Cart.java:5)",
    );
}

#[test]
fn dotnet_traces_are_one_record() {
    assert_one_record(
        "Unhandled exception. System.InvalidOperationException: boom\n ---> System.IO.IOException: closed\n   at \
         Shop.Db.Read() in /src/Db.cs:line 3\n   --- End of inner exception stack trace ---\n   at Shop.Main()",
    );
    assert_one_record(
        "fail: Shop.Orders[13]\n      Order failed\n      System.Exception: boom\n         at Shop.Main() in /src/M.cs:line 1",
    );
}

#[test]
fn node_traces_are_one_record() {
    assert_one_record(
        "/app/index.js:3\n    throw new TypeError('x')\n    ^\n\nTypeError: x\n    at go (/app/index.js:3:9)\n    at \
         node:internal/main:1:2 {\n  code: 'E_X',\n  [cause]: undefined\n}\n\nNode.js v20.11.0",
    );
    assert_one_record(
        "Error: connect ECONNREFUSED\n    at go (/app/a.js:1:2)\n    at async run (/app/b.js:3:4)",
    );
}

#[test]
fn python_tracebacks_with_chains_are_one_record() {
    assert_one_record(
        "ERROR:root:failed\nTraceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    go()\n    ^^^^\n\
         ValueError: bad\n\nDuring handling of the above exception, another exception occurred:\n\n\
         Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\nshop.errors.Declined: no",
    );
}

#[test]
fn go_panics_with_goroutines_are_one_record() {
    assert_one_record(
        "panic: runtime error: invalid memory address\n[signal SIGSEGV: segmentation violation code=0x1]\n\n\
         goroutine 1 [running]:\nmain.(*T).run(0x0, {0x1, 0x2})\n\t/src/main.go:9 +0x1d\nmain.main()\n\
         \t/src/main.go:5 +0x17\ncreated by main.main in goroutine 1\n\t/src/main.go:4 +0x2\n\ngoroutine 7 [select]:\n\
         net.wait()\n\t/go/net.go:1\nexit status 2",
    );
}

#[test]
fn rust_panics_with_backtraces_are_one_record() {
    assert_one_record(
        "thread 'main' panicked at src/main.rs:2:5:\nassertion `left == right` failed\n  left: 1\n right: 2\n\
         stack backtrace:\n   0: rust_begin_unwind\n             at /rustc/1/library/std/src/panicking.rs:1:5\n\
         note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.",
    );
    assert_one_record(
        "thread 'w' panicked at 'boom', src/main.rs:2:5\nnote: run with `RUST_BACKTRACE=1` environment variable",
    );
}

#[test]
fn lines_that_are_no_trace_leave_at_once() {
    let mut joiner = joiner();
    let mut out = Vec::new();
    for line in [
        "",
        "ready",
        "{\"level\":\"error\",\"msg\":\"java.lang.Exception: x\"}",
        "level=error msg=x",
        "  indented",
        "2024-01-01T10:00:00Z INFO error rate is 0",
        "10.0.0.7 - - [01/Jan/2024:10:00:00 +0000] \"GET / HTTP/1.1\" 500 12",
    ] {
        out.clear();
        joiner.push(raw(line), Instant::now(), &mut out);
        assert_eq!(texts(&out), [line]);
        assert_eq!(joiner.deadline(), None);
    }
}

#[test]
fn two_traces_in_a_row_are_two_records() {
    let lines = ["java.lang.Error: a", "\tat a.B.c(D.java:1)", "java.lang.Error: b", "\tat a.B.c(D.java:2)"];
    let joined = join_all(&mut joiner(), &lines);
    assert_eq!(
        joined,
        ["java.lang.Error: a\n\tat a.B.c(D.java:1)", "java.lang.Error: b\n\tat a.B.c(D.java:2)"]
    );
}

#[test]
fn a_blank_line_after_a_trace_is_its_own_record() {
    let joined = join_all(&mut joiner(), &["java.lang.Error: a", "\tat a.B.c(D.java:1)", "", "next"]);
    assert_eq!(joined, ["java.lang.Error: a\n\tat a.B.c(D.java:1)", "", "next"]);
}

#[test]
fn a_trace_over_the_limits_goes_on_in_the_next_record() {
    let config = IngestConfig { multiline_max_lines: 3, ..IngestConfig::default() };
    let frames = ["java.lang.Error: a", "\tat a(1)", "\tat a(2)", "\tat a(3)", "\tat a(4)"];
    let joined = join_all(&mut Joiner::new(&config, None), &frames);
    assert_eq!(joined, ["java.lang.Error: a\n\tat a(1)\n\tat a(2)", "\tat a(3)\n\tat a(4)"]);

    let config = IngestConfig { multiline_max_bytes: store::config::ByteSize(30), ..IngestConfig::default() };
    let joined = join_all(&mut Joiner::new(&config, None), &frames);
    assert!(joined.iter().all(|record| record.len() <= 30), "{joined:?}");
}

#[test]
fn a_held_line_leaves_when_its_time_has_come() {
    let mut joiner = joiner();
    let (start, mut out) = (Instant::now(), Vec::new());
    joiner.push(raw("java.lang.Error: a"), start, &mut out);
    assert_eq!(joiner.deadline(), Some(start + Duration::from_millis(100)));
    joiner.flush_due(start + Duration::from_millis(99), &mut out);
    assert!(out.is_empty());
    joiner.push(raw("\tat a(1)"), start + Duration::from_millis(99), &mut out);
    assert_eq!(joiner.deadline(), Some(start + Duration::from_millis(599)));
    joiner.flush_due(start + Duration::from_millis(599), &mut out);
    assert_eq!(texts(&out), ["java.lang.Error: a\n\tat a(1)"]);
    assert_eq!(joiner.deadline(), None);
}

#[test]
fn lines_logged_long_apart_are_not_joined_however_fast_they_are_read() {
    let mut joiner = joiner();
    let (now, mut out) = (Instant::now(), Vec::new());
    for (seconds, line) in [(0, "java.lang.Error: a"), (1, "\tat a(1)")] {
        joiner.push(RawLine { timestamp_ns: seconds * SECOND, ..raw(line) }, now, &mut out);
    }
    joiner.flush(&mut out);
    assert_eq!(texts(&out), ["java.lang.Error: a", "\tat a(1)"]);
}

#[test]
fn a_container_may_name_its_first_lines() {
    let regex = Regex::new(r"^\[\d+\]").unwrap();
    let off = IngestConfig { multiline: Multiline::Off, ..IngestConfig::default() };
    let lines = ["stray", "[1] a", "b", "", "[2] c", "[3] d", "e"];
    let joined = join_all(&mut Joiner::new(&off, Some(regex)), &lines);
    assert_eq!(joined, ["stray", "[1] a\nb\n", "[2] c", "[3] d\ne"]);
}

#[test]
fn off_passes_everything_through() {
    let off = IngestConfig { multiline: Multiline::Off, ..IngestConfig::default() };
    let lines = ["java.lang.Error: a", "\tat a(1)"];
    assert_eq!(join_all(&mut Joiner::new(&off, None), &lines), lines);
}

#[test]
fn a_joined_record_has_the_first_time_and_counts_cut_lines() {
    let mut joiner = joiner();
    let (now, mut out) = (Instant::now(), Vec::new());
    joiner.push(RawLine { timestamp_ns: 7, ..raw("java.lang.Error: a") }, now, &mut out);
    let cut = RawLine { timestamp_ns: 9, truncated_from: Some(1000), ..raw("\tat a(1)") };
    joiner.push(cut, now, &mut out);
    joiner.flush(&mut out);
    assert_eq!((out[0].parts, out[0].line.timestamp_ns), (2, 7));
    assert_eq!(out[0].line.truncated_from, Some(18 + 1 + 1000));
}

fn any_line() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        "ready",
        "java.lang.Error: a",
        "\tat a.B.c(D.java:1)",
        "    at x (/a.js:1:2) {",
        "}",
        "  code: 'X'",
        "Caused by: java.lang.Error",
        "\t... 3 more",
        "2024-01-01 ERROR failed",
        "Traceback (most recent call last):",
        "  File \"a.py\", line 1",
        "ValueError: x",
        "During handling of the above exception, another exception occurred:",
        "panic: x",
        "goroutine 1 [running]:",
        "main.main()",
        "\t/a.go:1",
        "thread 'main' panicked at a.rs:1:2:",
        "note: x",
        "/app/index.js:3",
        "    ^",
        "Node.js v20.0.0",
        "fail: A[1]",
        "      text",
    ]);
    prop_oneof![9 => known.prop_map(str::to_owned), 1 => "[^\n]{0,40}"]
}

proptest! {
    #[test]
    fn nothing_is_lost_added_or_reordered(
        lines in proptest::collection::vec((any_line(), 0..400_u64), 0..80),
        max_lines in 2_usize..8,
        max_bytes in 10_u64..200,
    ) {
        let config = IngestConfig {
            multiline_max_lines: max_lines,
            multiline_max_bytes: store::config::ByteSize(max_bytes),
            ..IngestConfig::default()
        };
        let mut joiner = Joiner::new(&config, None);
        let (mut now, mut out) = (Instant::now(), Vec::new());
        for (line, wait) in &lines {
            now += Duration::from_millis(*wait);
            joiner.flush_due(now, &mut out);
            joiner.push(raw(line), now, &mut out);
        }
        joiner.flush(&mut out);
        let mut parts = Vec::new();
        for joined in &out {
            let text = String::from_utf8(joined.line.line.to_vec()).unwrap();
            let split: Vec<String> = text.split('\n').map(str::to_owned).collect();
            prop_assert_eq!(split.len(), joined.parts);
            prop_assert!(joined.parts <= max_lines);
            prop_assert!(joined.parts == 1 || text.len() as u64 <= max_bytes);
            parts.extend(split);
        }
        let given: Vec<String> = lines.into_iter().map(|(line, _)| line).collect();
        prop_assert_eq!(parts, given);
    }
}
