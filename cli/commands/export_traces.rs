//! `binnacle export-traces`

use std::io::IsTerminal;

use anyhow::{Context, bail};
use collector::export::{ExportMetrics, Exported, Exporter, send_history};
use indicatif::{ProgressBar, ProgressStyle};
use prometheus::Registry;
use query::time;
use store::{Reader, TimeRange};

use super::config;
use crate::args::{Common, ExportTracesArgs, Times};
use crate::{Outcome, telemetry};

/// Sends the traces of stored lines to the configured receiver.
///
/// # Errors
/// When the folder cannot be read, or the receiver does not take everything.
pub(crate) fn execute(args: &ExportTracesArgs, common: &Common) -> anyhow::Result<Outcome> {
    let mut config = config(common)?;
    telemetry::init(config.log_format, None);
    if let Some(endpoint) = &args.endpoint {
        config.export.endpoint = Some(endpoint.clone());
        config.export.traces_endpoint = None;
        if let Some((_, what)) = config.export.validate().first() {
            bail!("--endpoint: {what}");
        }
    }
    let range = range(&args.times)?;
    let reader = Reader::open(&config.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let bar = progress_bar();
    let exported = runtime.block_on(async {
        let mut exporter = Exporter::new(&config.export, ExportMetrics::new(&Registry::new())?)?;
        let show = |done: Exported| bar.set_message(told(&done));
        Ok::<_, anyhow::Error>(send_history(&mut exporter, reader, config.traces, range, show).await?)
    });
    bar.finish_and_clear();
    let exported = exported?;
    anstream::eprintln!("{} sent", told(&exported));
    if exported.refused > 0 {
        bail!("the receiver refused {} spans", exported.refused);
    }
    Ok(if exported.spans > 0 { Outcome::Done } else { Outcome::NothingFound })
}

fn range(times: &Times) -> anyhow::Result<TimeRange> {
    let now_ns = time::now_ns();
    let since = times.since.as_ref().or(times.from.as_ref());
    let start_ns = since.map(|text| time::parse(text, now_ns)).transpose()?;
    let end_ns = times.to.as_ref().map(|text| time::parse(text, now_ns)).transpose()?;
    let range = TimeRange { start_ns: start_ns.unwrap_or(i64::MIN), end_ns: end_ns.unwrap_or(i64::MAX) };
    if range.start_ns >= range.end_ns {
        bail!("the end of the time wanted is not after its start");
    }
    Ok(range)
}

fn told(exported: &Exported) -> String {
    let mut text = format!("{} traces, {} spans", exported.traces, exported.spans);
    if exported.up_to_ns > 0 && exported.up_to_ns < i64::MAX {
        let at = time::rfc3339(exported.up_to_ns);
        text = format!("{text} up to {}", at.split('.').next().unwrap_or(&at));
    }
    text
}

/// Hidden unless standard error is a terminal.
fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{spinner} {msg}").expect("BUG: the template of the progress bar");
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
