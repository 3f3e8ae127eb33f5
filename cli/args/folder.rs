//! Commands that fill a folder of records, copy it, check it, or send on what it holds.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Times, Trust};

/// `ingest`
#[derive(Debug, Args)]
#[command(
    after_help = "The time of a line is read from its JSON or logfmt field timestamp, time, ts or @timestamp, or from a
leading RFC 3339 stamp; a line without one gets the present time. An input that begins like the output of
`binnacle export` is read as records: they are stored as they were, beside what is there already."
)]
pub(crate) struct IngestArgs {
    /// File of log lines, - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Stream label of every line (repeatable)
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Field of the line that becomes a stream label (repeatable)
    #[arg(long = "label-field", value_name = "FIELD[=LABEL]")]
    pub(crate) label_fields: Vec<String>,
    /// What the input holds [default: told by its first line]
    #[arg(long = "as", value_name = "FORM")]
    pub(crate) form: Option<InputForm>,
    /// Push to this server instead of writing the folder directly
    #[arg(long, value_name = "URL", env = "BINNACLE_URL", conflicts_with = "data")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// What an input to `ingest` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputForm {
    /// Log lines
    Lines,
    /// Records of an export
    Records,
}

/// `export-traces`
#[derive(Debug, Args)]
#[command(
    after_help = "The receiver and how to speak to it are the section `export` of the configuration and OpenTelemetry's
variables. `run` and `collect` send new traces themselves; the same spans are sent with the same ids.

Exit codes: 0 traces were sent, 1 there are none, 2 error, or the receiver refused some."
)]
pub(crate) struct ExportTracesArgs {
    #[command(flatten)]
    pub(crate) times: Times,
    /// Base URL of the receiver instead of the configured one
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
}

/// `backup`
#[derive(Debug, Args)]
#[command(
    after_help = "A folder that holds an earlier backup gets only what is new. Exit codes: 0 done, 2 error, or the
data folder is damaged; then everything else of it is backed up."
)]
pub(crate) struct BackupArgs {
    /// Folder, or - for a tar archive on standard output
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
}

/// `restore`
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Folder or tar archive of a backup, - for an archive on standard input
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: PathBuf,
    /// Replace what is in the data folder
    #[arg(long)]
    pub(crate) force: bool,
    /// Restore what can be read of a damaged backup
    #[arg(long)]
    pub(crate) accept_damage: bool,
}

/// `verify`
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing is damaged, 2 error or damage.")]
pub(crate) struct VerifyArgs {
    /// Folder of a backup [default: the data folder]
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: Option<PathBuf>,
}
