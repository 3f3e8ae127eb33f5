//! One file for each command.

mod backup;
mod check_config;
mod client;
mod completions;
mod doctor;
mod explain;
mod export;
mod export_traces;
mod healthcheck;
mod ingest;
mod labels;
mod question;
mod restore;
mod run;
mod search;
mod series;
mod socket_proxy;
mod stats;
mod tail;
mod trace;
mod verify;
mod why;

use std::collections::BTreeMap;

use anyhow::Context;

use crate::Outcome;
use crate::args::{Cli, Command, Common};
use crate::config::{Config, Sources, opentelemetry};

/// Does what was typed.
///
/// # Errors
/// When it cannot be done; the message is for the person who typed.
pub(crate) fn execute(cli: Cli) -> anyhow::Result<Outcome> {
    let Cli { command, common } = cli;
    match command {
        Command::Run(args) => run::run(config(&common)?, &args),
        Command::Collect => run::collect(config(&common)?),
        Command::Serve => run::serve(config(&common)?),
        Command::Search(args) => search::execute(&args, &common),
        Command::Explain(args) => explain::execute(&args, &common),
        Command::Tail(args) => tail::execute(&args, &common),
        Command::Trace(args) => trace::execute(&args, &common),
        Command::Why(args) => why::execute(&args, &common),
        Command::Labels(args) => labels::execute(&args, &common),
        Command::Stats(args) => stats::execute(&args, &common),
        Command::Export(args) => export::execute(&args, &common),
        Command::Ingest(args) => ingest::execute(&args, &common),
        Command::ExportTraces(args) => export_traces::execute(&args, &common),
        Command::Backup(args) => backup::execute(&args, &common),
        Command::Restore(args) => restore::execute(&args, &common),
        Command::Verify(args) => verify::execute(&args, &common),
        Command::SocketProxy(args) => socket_proxy::execute(&config(&common)?, &args),
        Command::Healthcheck(args) => healthcheck::execute(&config(&common)?, &args),
        Command::CheckConfig => check_config::execute(&common),
        Command::Doctor(args) => doctor::execute(&args, &common),
        Command::Completions(args) => Ok(completions::execute(&args)),
    }
}

/// Reads the file and the environment, and checks everything.
fn config(common: &Common) -> anyhow::Result<Config> {
    let sources = sources(common)?;
    for variable in sources.unknown_variables() {
        anstream::eprintln!("binnacle: the environment variable {variable} is no setting; it has no effect");
    }
    Ok(Config::load(&sources)?)
}

fn sources(common: &Common) -> anyhow::Result<Sources> {
    let file = match &common.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration file `{}`", path.display()))?;
            Some((path.display().to_string(), text))
        }
        None => None,
    };
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with("BINNACLE_") || name.starts_with(opentelemetry::PREFIX))
        .collect();
    Ok(Sources { file, environment, flags: common.settings() })
}
