//! `binnacle trace ID`

use query::Hit;
use query::client::Client;
use query::traces::waterfall::Waterfall;

use super::client::{ask, each_hit, options, tell_what_is_missing};
use crate::Outcome;
use crate::args::{Common, TraceArgs};
use crate::output::Printer;
use crate::waterfall;

/// More lines than a person reads; one request rarely logs a hundred.
const MAX_LINES: usize = 10_000;

/// Prints the waterfall of a trace, and every line of it in time order with its distance from the first.
///
/// # Errors
/// When no answer can be had.
pub(crate) fn execute(args: &TraceArgs, common: &Common) -> anyhow::Result<Outcome> {
    if args.otlp {
        return otlp(args, common);
    }
    let mut hits: Vec<Hit> = Vec::new();
    let mut found = None;
    ask(&args.server, common, async |client| {
        if args.spans || !args.json {
            found = client.waterfall(&args.id).await?;
        }
        if !args.spans {
            hits = lines(&client, args).await?;
        }
        Ok(())
    })?;
    let mut printer = Printer::new(args.json);
    if let Some(found) = &found {
        show(found, args, &mut printer)?;
    }
    if !hits.is_empty() && !args.json {
        if found.is_some() {
            printer.text("")?;
        }
        printer.text(&headline(&args.id, &hits))?;
    }
    let first_ns = hits.first().map_or(0, |hit| hit.timestamp_ns);
    for hit in &hits {
        printer.trace_hit(hit, first_ns)?;
    }
    printer.flush()?;
    if found.is_none() && hits.is_empty() {
        return Ok(nothing(&args.id, if args.spans { "line or span has the id" } else { "line holds" }));
    }
    Ok(Outcome::Done)
}

async fn lines(client: &Client, args: &TraceArgs) -> anyhow::Result<Vec<Hit>> {
    let options = options(String::new(), &args.times, MAX_LINES, true);
    let mut hits = Vec::new();
    let answers = client.trace(&args.id, &options).await?;
    let summary = each_hit(answers, |hit| {
        hits.push(hit.clone());
        Ok(())
    })
    .await?;
    tell_what_is_missing(&summary, MAX_LINES);
    Ok(hits)
}

fn show(found: &Waterfall, args: &TraceArgs, printer: &mut Printer) -> std::io::Result<()> {
    if args.json {
        found.spans.iter().try_for_each(|span| printer.json(span))?;
    } else {
        let most = if args.spans { usize::MAX } else { waterfall::MAX_ROWS };
        for line in waterfall::lines(found, printer.width(), most, printer.colour()) {
            printer.text(&line)?;
        }
    }
    for missing in waterfall::missing(found) {
        anstream::eprintln!("binnacle: {missing}");
    }
    Ok(())
}

fn otlp(args: &TraceArgs, common: &Common) -> anyhow::Result<Outcome> {
    let document = ask(&args.server, common, async |client| Ok(client.otlp(&args.id).await?))?;
    let Some(document) = document else { return Ok(nothing(&args.id, "line or span has the id")) };
    let mut printer = Printer::new(true);
    printer.json(&document)?;
    printer.flush()?;
    Ok(Outcome::Done)
}

fn nothing(id: &str, what: &str) -> Outcome {
    anstream::eprintln!("binnacle: no {what} `{id}`");
    Outcome::NothingFound
}

/// `ID: 12 lines of 4 services in 153.2 ms`
fn headline(id: &str, hits: &[Hit]) -> String {
    let mut services: Vec<&str> = hits.iter().filter_map(|hit| hit.labels.get("service_name")).collect();
    services.sort_unstable();
    services.dedup();
    let times = || hits.iter().map(|hit| hit.timestamp_ns);
    let length = times().max().unwrap_or(0).saturating_sub(times().min().unwrap_or(0));
    let (lines, services) =
        (waterfall::plural(hits.len(), "line"), waterfall::plural(services.len(), "service"));
    format!("{id}: {lines} of {services} in {:.1} ms", length as f64 / 1e6)
}
