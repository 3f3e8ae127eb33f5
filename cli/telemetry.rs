//! Binnacle's own log, on standard error: ERROR means data is lost or someone must act, WARN that
//! something went wrong and was mended. And spans of its own work, for the exporter.

use std::io::IsTerminal;

use collector::export::Recorder;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config::LogFormat;

/// Starts logging. The level is `info` unless the variable `BINNACLE_LOG` holds a filter such as `debug`
/// or `collector=debug,warn`. Spans of the own work go to `recorder`, if any, and never into the log.
pub(crate) fn init(format: LogFormat, recorder: Option<Recorder>) {
    let filter =
        EnvFilter::try_from_env("BINNACLE_LOG").unwrap_or_else(|_| EnvFilter::new("info,tantivy=warn"));
    let is_logged = filter_fn(|metadata| metadata.target() != store::WORK);
    let log = fmt::layer().with_writer(std::io::stderr);
    let log = match format {
        LogFormat::Text => log.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => log.json().flatten_event(true).boxed(),
    };
    let own = recorder.map(|own| own.with_filter(filter_fn(|metadata| metadata.target() == store::WORK)));
    tracing_subscriber::registry().with(log.with_filter(filter).with_filter(is_logged)).with(own).init();
}
