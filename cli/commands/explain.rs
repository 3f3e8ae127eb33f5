//! `binnacle explain`

use serde_json::Value;

use super::client::ask;
use super::question::question;
use crate::Outcome;
use crate::args::{Common, ExplainArgs};
use crate::output::Printer;

/// Prints what a query reads and why, and what was decoded when it ran.
///
/// # Errors
/// When the question is not understood, or no answer can be had.
pub(crate) fn execute(args: &ExplainArgs, common: &Common) -> anyhow::Result<Outcome> {
    let question = question(&args.query, &args.selection)?;
    let limit = args.limit.to_string();
    let parameters = [
        ("query", Some(question.text())),
        ("start", args.times.from.as_deref()),
        ("end", args.times.to.as_deref()),
        ("since", args.times.since.as_deref()),
        ("limit", Some(limit.as_str())),
        ("step", args.step.as_deref()),
    ];
    let answer =
        ask(&args.server, common, async |client| Ok(client.json("/api/v1/explain", &parameters).await?))?;
    let mut printer = Printer::new(args.json);
    if args.json {
        printer.json(&answer)?;
    } else {
        for line in in_words(&answer) {
            printer.text(&line)?;
        }
    }
    printer.flush()?;
    Ok(Outcome::Done)
}

fn in_words(answer: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for read in answer["reads"].as_array().into_iter().flatten() {
        let number = |name: &str| read[name].as_u64().unwrap_or_default();
        let text = |name: &str| read[name].as_str().unwrap_or_default().to_owned();
        if read["log"].is_string() {
            lines.push(text("log"));
        }
        lines.push(format!("  from {} to {}", text("start"), text("end")));
        lines.push(format!("  streams  {}", number("streams")));
        lines.push(format!(
            "  windows  {}, and {} outside of these times",
            number("windows"),
            number("windows_outside")
        ));
        for (rule, name) in [
            ("of other streams or times", "dropped_by_stream_or_time"),
            ("without the level", "dropped_by_level"),
            ("without the words or phrases", "dropped_by_words"),
            ("without the ids", "dropped_by_ids"),
        ] {
            lines.push(format!("  dropped  {} blocks {rule}", number(name)));
        }
        lines.push(format!(
            "  kept     {} blocks, {} lines, {}",
            number("blocks"),
            number("lines"),
            bytes(number("bytes"))
        ));
        match text("required") {
            required if required.is_empty() => {
                lines.push("  no text is known that every line must hold".to_owned())
            }
            required => lines.push(format!("  every line must hold {required}")),
        }
        let damaged = read["damaged"].as_array().into_iter().flatten().filter_map(Value::as_str);
        lines.extend(damaged.map(|damage| format!("  not readable: {damage}")));
    }
    let decoded = |name: &str| answer["decoded"][name].as_u64().unwrap_or_default();
    lines.push(format!(
        "decoded {} blocks, {} lines, {} in {:.1} ms",
        decoded("blocks"),
        decoded("lines"),
        bytes(decoded("bytes")),
        answer["decoded"]["seconds"].as_f64().unwrap_or_default() * 1e3
    ));
    lines
}

fn bytes(bytes: u64) -> String {
    store::config::ByteSize(bytes).to_string()
}
