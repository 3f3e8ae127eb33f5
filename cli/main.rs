//! The `binnacle` binary: what was typed becomes running parts or one answer.
//!
//! Exit codes: 0 found or done, 1 nothing found, 2 error. A closed pipe on standard output is no error.

mod access;
mod args;
mod commands;
mod config;
mod output;
#[cfg(test)]
mod reference;
mod signals;
mod sparkline;
mod telemetry;
mod waterfall;

use std::process::ExitCode;

use clap::Parser;

use args::Cli;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something was found, or the work is done.
    Done,
    /// The question has no answer.
    NothingFound,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::execute(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::NothingFound) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("binnacle: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(output::is_closed_pipe))
}
