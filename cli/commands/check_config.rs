//! `binnacle check-config`: the checks of a start, without a start.

use serde_json::Value;

use super::config;
use crate::Outcome;
use crate::args::Common;
use crate::config::{Config, environment_name, settings_that_differ};
use crate::output::Printer;

/// Prints every setting that differs from its default.
///
/// # Errors
/// With all mistakes, when there is one.
pub(crate) fn execute(common: &Common) -> anyhow::Result<Outcome> {
    let config = config(common)?;
    let mut printer = Printer::new(false);
    let differing = settings_that_differ(&config, &Config::default());
    if differing.is_empty() {
        printer.text("the configuration is sound; every setting has its default")?;
    } else {
        printer.text("the configuration is sound; these settings differ from their defaults:")?;
    }
    for (path, value) in differing {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        printer.text(&format!("  {path} = {value}    # {}", environment_name(&path)))?;
    }
    printer.flush()?;
    Ok(Outcome::Done)
}
