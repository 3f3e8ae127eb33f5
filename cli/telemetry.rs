//! Binnacle's own log, on standard error: ERROR means data is lost or someone must act, WARN that
//! something went wrong and was mended.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Starts logging. The level is `info` unless the variable `BINNACLE_LOG` holds a filter such as `debug`
/// or `collector=debug,warn`.
pub(crate) fn init(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("BINNACLE_LOG").unwrap_or_else(|_| EnvFilter::new("info,tantivy=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
