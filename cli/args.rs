//! What was typed. Nothing here touches the machine; `--help` and `--version` never fail.

mod folder;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::LogFormat;
pub(crate) use folder::{BackupArgs, ExportTracesArgs, IngestArgs, InputForm, RestoreArgs, VerifyArgs};

const EXIT_CODES: &str = "Exit codes: 0 found or done, 1 nothing found, 2 error.";

/// Exact logs, stats and traces of the containers on a Docker host, in one binary.
#[derive(Debug, Parser)]
#[command(name = "binnacle", version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Folder of the stored records [default: ./binnacle-data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Common options")]
    pub(crate) data: Option<PathBuf>,
    /// Configuration file (YAML)
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "BINNACLE_CONFIG",
        help_heading = "Common options"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Docker daemon: unix:///path, tcp://host:port, or none [default: DOCKER_HOST, else the local socket]
    #[arg(long, global = true, value_name = "URL", help_heading = "Common options")]
    pub(crate) docker_host: Option<String>,
    /// Address of the HTTP server [default: 127.0.0.1:3100, for collect 127.0.0.1:9380]
    #[arg(long, global = true, value_name = "ADDR", help_heading = "Common options")]
    pub(crate) listen: Option<SocketAddr>,
    /// Listen beyond loopback although no token guards what is stored
    #[arg(long, global = true, help_heading = "Common options")]
    pub(crate) insecure: bool,
    /// Shape of Binnacle's own log on standard error [default: text]
    #[arg(long, global = true, value_enum, value_name = "FORMAT", help_heading = "Common options")]
    pub(crate) log_format: Option<LogFormat>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Collect, store and serve, all in one process
    Run(RunArgs),
    /// Collect and store only; serves health, metrics and push on its own address
    Collect,
    /// Answer queries over a folder that another process writes to
    Serve,
    /// Find records
    Search(SearchArgs),
    /// Show what a query reads and why: windows, blocks kept and dropped by which rule, bytes decoded
    Explain(ExplainArgs),
    /// Follow new records as they are stored
    Tail(TailArgs),
    /// Show one request: what it waited for, and every line of its trace or correlation id, over all containers
    Trace(TraceArgs),
    /// Say why a container died, or everything that died lately
    Why(WhyArgs),
    /// Write records whole, as lines that `ingest` reads back
    Export(ExportArgs),
    /// Store the lines of a file or of standard input
    Ingest(IngestArgs),
    /// Send the traces of stored lines to an OTLP receiver
    ExportTraces(ExportTracesArgs),
    /// Copy everything stored to a folder or a tar stream, while another process goes on collecting
    Backup(BackupArgs),
    /// Bring a backup back
    Restore(RestoreArgs),
    /// Read everything that is stored, or a backup, and name what is damaged
    Verify(VerifyArgs),
    /// List stream labels, or the values of one
    Labels(LabelsArgs),
    /// Show what is stored and how large it is
    Stats(StatsArgs),
    /// Pass the collector's questions on to Docker's socket, and refuse everything else
    SocketProxy(SocketProxyArgs),
    /// Ask a server on this machine whether it is ready
    Healthcheck(HealthcheckArgs),
    /// Check the configuration and show every setting that differs from its default
    CheckConfig,
    /// Look at everything a start needs: configuration, folder, port, Docker and its containers' logs
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// `run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Also play the traffic of a small made-up shop, so that there is something to see without Docker
    #[arg(long)]
    pub(crate) demo: bool,
}

/// Where client commands ask.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Server to ask; with --data the folder is read directly instead
    #[arg(long, value_name = "URL", env = "BINNACLE_URL", default_value = "http://127.0.0.1:3100")]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// What a client shows to a server, and whom it believes.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// File whose first line is the token to show; without it BINNACLE_TOKEN, when set, is the token
    #[arg(long, value_name = "FILE", env = "BINNACLE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust at https:// instead of those of the system
    #[arg(long, value_name = "FILE", env = "BINNACLE_CA_FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// Which records are wanted.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Only this level; with a comparison such as '>=warn' this level and above
    #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
    pub(crate) level: Option<String>,
}

/// Which times are wanted.
#[derive(Debug, Args)]
pub(crate) struct Times {
    /// How far back to look, for example 30m, 1h, 7d [default: everything stored]
    #[arg(long, value_name = "DURATION", conflicts_with = "from")]
    pub(crate) since: Option<String>,
    /// Start: RFC 3339, Unix time, or relative such as now-2h
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// End [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

/// `search`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  binnacle search 'level:>=warn service:checkout \"payment declined\"'
  binnacle search --since 2d 'status:[500 TO 599] NOT path:/health'
  binnacle search --json --limit 0 --forward '*' > lines.ndjson
  binnacle search '{service_name=\"checkout\"} | json | status >= 500'
  binnacle search --since 3h --chart 'sum by (detected_level) (rate({service_name=\"checkout\"}[5m]))'

Exit codes: 0 found, 1 nothing found, 2 error.")]
pub(crate) struct SearchArgs {
    /// What to look for; see docs/query-language.md [default: everything]
    #[arg(value_name = "QUERY", default_value = "*", num_args = 1..)]
    pub(crate) query: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) times: Times,
    /// How many records at most, 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Oldest first; without it newest first
    #[arg(long)]
    pub(crate) forward: bool,
    /// Of a metric query: draw its values over time
    #[arg(long, conflicts_with = "json")]
    pub(crate) chart: bool,
    /// Of a metric query: how far its values lie apart, for example 5m; with --chart, --since and --from chosen to fit
    #[arg(long, value_name = "DURATION")]
    pub(crate) step: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `explain`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  binnacle explain '{service_name=\"checkout\"} |= \"payment declined\"'
  binnacle explain --since 1d --step 5m 'sum(count_over_time({service_name=\"checkout\"}[5m]))'

The query is run once, so that what it decodes can be told.")]
pub(crate) struct ExplainArgs {
    /// Query in the search syntax or in LogQL
    #[arg(value_name = "QUERY", required = true, num_args = 1..)]
    pub(crate) query: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) times: Times,
    /// How many of the newest records are wanted
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Of a metric query: how far its values lie apart [default: one value, at the end]
    #[arg(long, value_name = "DURATION")]
    pub(crate) step: Option<String>,
    /// JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `tail`
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// What to follow [default: everything]
    #[arg(value_name = "QUERY", default_value = "*", num_args = 1..)]
    pub(crate) query: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `export`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  binnacle export > everything.ndjson
  binnacle export --since 1d 'level:error' | zstd > errors.ndjson.zst
  binnacle export '{service_name=\"checkout\"} |= \"declined\"' | binnacle ingest - --data ./elsewhere

Exit codes: 0 found, 1 nothing found, 2 error, or something could not be read.")]
pub(crate) struct ExportArgs {
    /// What to look for, in words or as a log query in LogQL [default: everything]
    #[arg(value_name = "QUERY", default_value = "*", num_args = 1..)]
    pub(crate) query: Vec<String>,
    #[command(flatten)]
    pub(crate) selection: Selection,
    #[command(flatten)]
    pub(crate) times: Times,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `trace`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  binnacle trace 4bf92f3577b34da6a3ce929d0e0e4736
  binnacle trace 6dadf148-f812-4ab1-8755-b0e0f11dd686 --spans
  binnacle trace 4bf92f3577b34da6 --otlp > trace.json

In the waterfall `█` is the time a span itself held the request up (the critical path), `▒` the time it was merely
going on; `!` stands before what failed.

Exit codes: 0 found, 1 nothing found, 2 error.")]
pub(crate) struct TraceArgs {
    /// Trace id, correlation id or request id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) times: Times,
    /// One JSON object a line: the lines, or with --spans the spans
    #[arg(long)]
    pub(crate) json: bool,
    /// The whole waterfall, and no lines
    #[arg(long)]
    pub(crate) spans: bool,
    /// The spans as one JSON document of OTLP, to be sent to any tool that knows it
    #[arg(long, conflicts_with_all = ["json", "spans"])]
    pub(crate) otlp: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `why`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  binnacle why checkout
  binnacle why 3f2a91c0 --limit 1 --json
  binnacle why --since 1h

Exit codes: 0 a death was found, 1 none, 2 error.")]
pub(crate) struct WhyArgs {
    /// Name, service or the beginning of the id, also of a container that is gone [default: all that died in the last hour]
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: Option<String>,
    #[command(flatten)]
    pub(crate) times: Times,
    /// How many deaths at most, newest first [default: 5, or 50 without a container]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// One JSON object a death
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `labels`
#[derive(Debug, Args)]
pub(crate) struct LabelsArgs {
    /// Label whose values to list [default: the names of all labels]
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) times: Times,
    /// JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `stats`
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// `socket-proxy`
#[derive(Debug, Args)]
#[command(
    after_help = "Listens on --listen [default: 127.0.0.1:2375] and asks the daemon at --docker-host. Example:
  binnacle socket-proxy --socket /run/binnacle/docker.sock
  binnacle collect --docker-host unix:///run/binnacle/docker.sock

docs/security.md lists what passes."
)]
pub(crate) struct SocketProxyArgs {
    /// Listen on this Unix socket instead of a TCP address
    #[arg(long, value_name = "PATH", env = "BINNACLE_PROXY_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
}

/// `healthcheck`
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 ready, 2 not.")]
pub(crate) struct HealthcheckArgs {
    /// Server to ask [default: this machine, at the port of --listen]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Ask a socket proxy at this Unix socket whether the daemon answers
    #[arg(long, value_name = "PATH", env = "BINNACLE_PROXY_SOCKET", conflicts_with = "url")]
    pub(crate) socket: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// `doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// One JSON object a finding
    #[arg(long)]
    pub(crate) json: bool,
}

/// `completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell to print for
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

impl Common {
    /// The flags that are settings, as (path, value typed).
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let log_format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        [
            ("data", self.data.as_ref().map(|dir| dir.to_string_lossy().into_owned())),
            ("docker_host", self.docker_host.clone()),
            ("listen", self.listen.map(|address| address.to_string())),
            ("access.insecure", self.insecure.then(|| "true".to_owned())),
            ("log_format", log_format),
        ]
        .into_iter()
        .filter_map(|(path, value)| Some((path.to_owned(), value?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_argument_of_every_command_is_explained() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
