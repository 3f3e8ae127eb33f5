//! Waterfalls as people see them.

use query::traces::resources::Resources;
use query::traces::waterfall::{Share, Stretch};

use super::*;

const MS: i64 = 1_000_000;

/// A span: depth, service, name, start and end in milliseconds.
fn bar(depth: usize, service: &str, name: &str, from: i64, to: i64) -> Bar {
    Bar {
        span_id: format!("{service}{from}"),
        depth,
        service: service.to_owned(),
        name: name.to_owned(),
        offset_ns: from * MS,
        duration_ns: (to - from) * MS,
        ..Bar::default()
    }
}

/// A waterfall with this critical path: service, start and end in milliseconds.
fn waterfall(mut spans: Vec<Bar>, path: &[(&str, i64, i64)]) -> Waterfall {
    let mut critical_path = Vec::new();
    let mut services: Vec<Share> = Vec::new();
    for (service, from, to) in path {
        let bar = spans.iter_mut().find(|bar| bar.service == *service);
        critical_path.push(Stretch {
            span_id: bar.as_ref().map(|bar| bar.span_id.clone()),
            from_ns: from * MS,
            to_ns: to * MS,
        });
        if let Some(bar) = bar {
            bar.critical_ns += (to - from) * MS;
        }
    }
    for bar in &spans {
        let errors = usize::from(bar.error.is_some());
        let service = bar.service.clone();
        services.push(Share { service, spans: 1, errors, lines: 2, critical_ns: bar.critical_ns, own_ns: 0 });
    }
    let slowest = spans.iter().max_by_key(|bar| bar.critical_ns).map(|bar| bar.span_id.clone());
    Waterfall {
        trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        duration_ns: spans.iter().map(|bar| bar.offset_ns + bar.duration_ns).max().unwrap_or(0),
        spans,
        critical_path,
        slowest,
        services,
        ..Waterfall::default()
    }
}

fn checkout() -> Waterfall {
    let mut spans = vec![
        bar(0, "gateway", "POST /checkout", 0, 100),
        bar(1, "cart", "read cart", 5, 25),
        bar(1, "payment", "POST /pay", 30, 90),
        bar(2, "bank", "charge", 40, 40),
    ];
    spans[2].error = Some("declined\u{1b}[2J".to_owned());
    spans[2].is_origin_of_error = true;
    let path =
        [("gateway", 0, 5), ("cart", 5, 25), ("gateway", 25, 30), ("payment", 30, 90), ("gateway", 90, 100)];
    waterfall(spans, &path)
}

#[test]
fn bars_show_what_was_going_on_and_what_was_waited_for() {
    let shown = lines(&checkout(), 60, MAX_ROWS, false).join("\n");
    let expected = "\
trace 4bf92f3577b34da6a3ce929d0e0e4736: 4 spans of 4 services in 100.0 ms, 1 failed
  gateway POST /checkout  100.0 ms ██▒▒▒▒██▒▒▒▒▒▒▒▒▒▒▒▒▒▒███
    cart read cart         20.0 ms  ██████
!   payment POST /pay      60.0 ms        ████████████████
      bank charge                0           ·
slowest hop: payment POST /pay, 60.0 ms itself (60 % of the time)
critical path: gateway 5.0 ms > cart 20.0 ms > gateway 5.0 ms > payment 60.0 ms > gateway 10.0 ms
failed first: payment POST /pay: declined\\u{1b}[2J
  gateway   20.0 ms on the critical path, 1 span of 2 lines
  cart      20.0 ms on the critical path, 1 span of 2 lines
  payment   60.0 ms on the critical path, 1 span of 2 lines, 1 failed
  bank            0 on the critical path, 1 span of 2 lines";
    assert_eq!(shown, expected, "\n{shown}\n");
}

#[test]
fn rows_fit_the_width_whatever_the_names_are() {
    let mut found = checkout();
    found.spans[1].name = "a name that goes on and on ".repeat(9);
    found.spans[2].service = "\u{4e16}\u{754c}".repeat(40);
    found.spans[3].depth = 300;
    for width in [0, 40, 57, 120, 500] {
        let shown = lines(&found, width, MAX_ROWS, false);
        for row in &shown[1..=4] {
            assert!(row.width() <= width.max(MIN_WIDTH), "{width}: {row}");
        }
        assert!(shown[3].starts_with('!'), "{}", shown[3]);
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let plain = lines(&checkout(), 80, MAX_ROWS, false);
    let coloured = lines(&checkout(), 80, MAX_ROWS, true);
    assert!(coloured[3].contains("\u{1b}[31m") || coloured[3].contains("\u{1b}[1m"), "{}", coloured[3]);
    let stripped: Vec<String> =
        coloured.iter().map(|l| anstream::adapter::strip_str(l).to_string()).collect();
    assert_eq!(stripped, plain);
}

#[test]
fn of_many_spans_those_are_shown_that_failed_or_held_it_up_with_their_callers() {
    let mut spans = vec![bar(0, "gateway", "GET /", 0, 1000)];
    for i in 0..200 {
        spans.push(bar(1, &format!("s{i}"), "list", i, i + 1));
        spans.push(bar(2, &format!("t{i}"), "read", i, i + 1));
    }
    spans[300].error = Some("lost".to_owned());
    spans[300].is_origin_of_error = true;
    let found = waterfall(spans, &[("t7", 7, 8), ("gateway", 8, 1000)]);
    let shown = lines(&found, 80, 5, false);
    let rows: Vec<&str> = shown[1..6]
        .iter()
        .map(|row| row.split_whitespace().nth(usize::from(row.starts_with('!'))).unwrap())
        .collect();
    assert_eq!(rows, ["gateway", "s7", "t7", "s149", "t149"]);
    assert_eq!(shown[6], "  … 396 spans that took less are not shown; --spans shows all");
    assert_eq!(lines(&found, 80, usize::MAX, false).iter().filter(|line| line.contains("read")).count(), 201);
}

#[test]
fn what_is_not_shown_is_told() {
    assert_eq!(missing(&checkout()), [""; 0]);
    let found = Waterfall {
        is_cut: true,
        spans_omitted: 1,
        other_traces: vec!["ab".to_owned(), "cd".to_owned()],
        ..checkout()
    };
    let told = missing(&found);
    assert!(told[0].contains("traces.max_trace_lines"), "{told:?}");
    assert_eq!(told[1..], ["1 span more is in the trace", "2 other traces have this id too, for example ab"]);
}

#[test]
fn durations_have_one_unit() {
    for (ns, expected) in [
        (0, "0"),
        (999, "999 ns"),
        (1_500, "1.5 µs"),
        (153_240_000, "153.2 ms"),
        (3_274_300_000, "3.27 s"),
        (150_000_000_000, "2.5 min"),
    ] {
        assert_eq!(duration(ns), expected);
    }
}

#[test]
fn what_happened_to_containers_is_told() {
    let usage = query::why::Trend {
        memory_peak_bytes: 200 << 20,
        memory_limit_bytes: 256 << 20,
        cpu_mean: 0.5,
        ..query::why::Trend::default()
    };
    let event = Evidence { at: Some("2026-01-31T10:00:01Z".to_owned()), text: "payment died".to_owned() };
    let note = ContainerNote {
        container: "shop-payment-1".to_owned(),
        service: "payment".to_owned(),
        events: vec![event],
        usage: Some(usage),
        ..ContainerNote::default()
    };
    let shown = lines(&Waterfall { containers: vec![note], ..checkout() }, 80, MAX_ROWS, false);
    assert_eq!(
        shown[shown.len() - 3..],
        [
            "container shop-payment-1 (payment):",
            "  memory up to 200.0 of 256.0 MiB, CPU 0.50 on average",
            "  2026-01-31T10:00:01Z payment died"
        ]
    );
}

#[test]
fn what_containers_used_is_told_with_their_limits() {
    let of = |resources: Resources| {
        let note = ContainerNote { resources: Some(resources), ..ContainerNote::default() };
        lines(&Waterfall { containers: vec![note], ..checkout() }, 80, MAX_ROWS, false).pop().unwrap()
    };
    let limited = Resources {
        from: "2026-01-31T10:00:00Z".to_owned(),
        to: "2026-01-31T10:00:10Z".to_owned(),
        readings: 2,
        is_around: true,
        cpu_mean: Some(0.48),
        cpu_peak: Some(0.48),
        cpu_limit: Some(0.5),
        throttled: Some(0.75),
        memory_peak_bytes: 32 << 20,
        memory_limit_bytes: Some(64 << 20),
    };
    let free = Resources {
        cpu_limit: None,
        memory_limit_bytes: None,
        throttled: None,
        is_around: false,
        ..limited.clone()
    };
    assert_eq!(
        of(limited),
        "  CPU 0.48 of 0.50 (96 %), throttled in 75 % of periods, memory 32.0 of 64.0 MiB (50 %); \
         2 readings from 2026-01-31T10:00:00Z to 2026-01-31T10:00:10Z, none within the trace"
    );
    assert_eq!(
        of(Resources { readings: 1, cpu_mean: None, ..free.clone() }),
        "  memory 32.0 MiB; read at 2026-01-31T10:00:00Z"
    );
    assert_eq!(
        of(free),
        "  CPU 0.48, memory 32.0 MiB; 2 readings from 2026-01-31T10:00:00Z to 2026-01-31T10:00:10Z"
    );
}
