//! `binnacle trace ID`

use query::Hit;

use super::client::{ask, each_hit, options, tell_what_is_missing};
use crate::Outcome;
use crate::args::{Common, TraceArgs};
use crate::output::Printer;

/// More lines than a person reads; one request rarely logs a hundred.
const MAX_LINES: usize = 10_000;

/// Prints every line of a trace in time order, with its distance from the first.
///
/// # Errors
/// When no answer can be had.
pub(crate) fn execute(args: &TraceArgs, common: &Common) -> anyhow::Result<Outcome> {
    let options = options(String::new(), &args.times, MAX_LINES, true);
    let mut printer = Printer::new(args.json);
    let mut hits: Vec<Hit> = Vec::new();
    ask(&args.server, common, async |client| {
        let answers = client.trace(&args.id, &options).await?;
        let summary = each_hit(answers, |hit| {
            hits.push(hit.clone());
            Ok(())
        })
        .await?;
        tell_what_is_missing(&summary, MAX_LINES);
        Ok(())
    })?;
    let Some(first) = hits.first().map(|hit| hit.timestamp_ns) else {
        anstream::eprintln!("binnacle: no line holds `{}`", args.id);
        return Ok(Outcome::NothingFound);
    };
    if !args.json {
        printer.text(&headline(&args.id, &hits))?;
    }
    for hit in &hits {
        printer.trace_hit(hit, first)?;
    }
    printer.flush()?;
    Ok(Outcome::Done)
}

/// `ID: 12 lines of 4 services in 153.2 ms`
fn headline(id: &str, hits: &[Hit]) -> String {
    let mut services: Vec<&str> = hits.iter().filter_map(|hit| hit.labels.get("service_name")).collect();
    services.sort_unstable();
    services.dedup();
    let times = || hits.iter().map(|hit| hit.timestamp_ns);
    let length = times().max().unwrap_or(0).saturating_sub(times().min().unwrap_or(0));
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (lines, services) = (plural(hits.len(), "line"), plural(services.len(), "service"));
    format!("{id}: {lines} of {services} in {:.1} ms", length as f64 / 1e6)
}
