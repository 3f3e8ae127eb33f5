//! `binnacle completions SHELL`

use clap::CommandFactory;

use crate::Outcome;
use crate::args::{Cli, CompletionsArgs};

/// Prints the completion script.
pub(crate) fn execute(args: &CompletionsArgs) -> Outcome {
    clap_complete::generate(args.shell, &mut Cli::command(), "binnacle", &mut std::io::stdout());
    Outcome::Done
}
