//! `binnacle why [CONTAINER]`

use std::io;

use query::Hit;
use query::why::{Report, Verdict};

use super::client::{ask, tell_what_is_missing};
use crate::Outcome;
use crate::args::{Common, WhyArgs};
use crate::output::Printer;

/// What is shown of a record, stack trace and all; `search` has it whole.
const MAX_LINE_BYTES: usize = 2000;

/// Prints a verdict for each death, newest first.
///
/// # Errors
/// When no answer can be had, or no container of this name is known.
pub(crate) fn execute(args: &WhyArgs, common: &Common) -> anyhow::Result<Outcome> {
    let path = match &args.container {
        Some(container) => format!("/api/v1/why/{}", encoded(container)),
        None => "/api/v1/why".to_owned(),
    };
    let limit = args.limit.map(|limit| limit.to_string());
    let times = &args.times;
    let parameters = [
        ("since", times.since.as_deref()),
        ("start", times.from.as_deref()),
        ("end", times.to.as_deref()),
        ("limit", limit.as_deref()),
    ];
    let answer = ask(&args.server, common, async |client| Ok(client.json(&path, &parameters).await?))?;
    let report: Report = serde_json::from_value(answer.clone())?;
    let mut printer = Printer::new(args.json);
    for (i, verdict) in report.deaths.iter().enumerate() {
        if args.json {
            printer.json(verdict)?;
            continue;
        }
        if i > 0 {
            printer.text("")?;
        }
        show(verdict, &mut printer)?;
    }
    printer.flush()?;
    for state in &report.now {
        anstream::eprintln!("binnacle: {state}");
    }
    let mut completeness = answer;
    // A limit of deaths is not one of records: the hint below fits it better.
    completeness["completeness"]["cut_by_limit"] = false.into();
    tell_what_is_missing(&completeness, 0);
    if report.more {
        anstream::eprintln!("binnacle: there are earlier deaths; raise --limit");
    }
    if report.deaths.is_empty() {
        let what = args.container.as_deref().unwrap_or("any container");
        anstream::eprintln!("binnacle: no death of {what} is recorded in this time");
        return Ok(Outcome::NothingFound);
    }
    Ok(Outcome::Done)
}

fn show(verdict: &Verdict, printer: &mut Printer) -> io::Result<()> {
    let percent = (verdict.confidence * 100.0).round();
    printer.text(&format!("{} {}: {} ({percent}% sure)", verdict.at, verdict.container, verdict.summary))?;
    for evidence in &verdict.evidence {
        match &evidence.at {
            Some(at) => printer.text(&format!("  - {at} {}", evidence.text))?,
            None => printer.text(&format!("  - {}", evidence.text))?,
        }
    }
    if let Some(pattern) = &verdict.pattern {
        printer.text(&format!("  pattern: {}", pattern.summary))?;
    }
    if let Some(usage) = verdict.usage.as_ref().filter(|usage| usage.readings.len() > 1) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        printer.text(&format!(
            "  memory: {:.1} to {:.1} MiB in {} s ({:+.1} MiB a minute); CPU {:.2}, {:.2} on average",
            mib(usage.memory_first_bytes),
            mib(usage.memory_last_bytes),
            usage.seconds,
            usage.memory_bytes_per_minute as f64 / f64::from(1 << 20),
            usage.cpu_last,
            usage.cpu_mean,
        ))?;
    }
    for other in &verdict.also_failed {
        printer.text(&format!("  also: {} {:+} ms: {}", other.service, other.after_ms, other.what))?;
    }
    lines("last errors", &verdict.last_errors, printer)?;
    lines("last lines", &verdict.last_lines, printer)
}

fn lines(title: &str, hits: &[Hit], printer: &mut Printer) -> io::Result<()> {
    if hits.is_empty() {
        return Ok(());
    }
    printer.text(&format!("  {title}:"))?;
    for hit in hits {
        printer.quoted(hit.line.get(..MAX_LINE_BYTES).unwrap_or(&hit.line))?;
    }
    Ok(())
}

/// A name as one segment of a path.
fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_one_segment_of_a_path() {
        assert_eq!(super::encoded("shop-web_1"), "shop-web_1");
        assert_eq!(super::encoded("/a b?"), "%2Fa%20b%3F");
    }
}
