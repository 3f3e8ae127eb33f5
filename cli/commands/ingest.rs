//! `binnacle ingest FILE|-`

use std::fs::File;
use std::io::{IsTerminal, Read};

use anyhow::Context;
use collector::ingest::{self, Form, IngestError, Options, Progress, Summary};
use dial::Endpoint;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use prometheus::Registry;
use store::Writer;

use super::client::endpoint;
use super::config;
use crate::Outcome;
use crate::args::{Common, IngestArgs, InputForm};
use crate::config::Config;

/// Stores the lines and tells what that took.
///
/// # Errors
/// When the input cannot be read, or not all of it stored; the message tells how far it came.
pub(crate) fn execute(args: &IngestArgs, common: &Common) -> anyhow::Result<Outcome> {
    let config = config(common)?;
    let options = options(args)?;
    let (input, size) = open(args)?;
    let (found, input) = Form::detect(input).context("cannot read the input")?;
    let form = match args.form {
        None => found,
        Some(InputForm::Lines) => Form::Lines,
        Some(InputForm::Records) => Form::Records,
    };
    if form == Form::Records {
        check_records(args)?;
    }
    let bar = progress_bar(size);
    let stored = std::cell::Cell::new(Progress::default());
    let show = |progress: Progress| {
        stored.set(progress);
        bar.set_position(progress.bytes);
        bar.set_message(HumanCount(progress.lines).to_string());
    };
    let result = match &args.url {
        Some(url) => push(input, &endpoint(url, &args.trust)?, &config, &options, show),
        None => write(&config, |writer| match form {
            Form::Lines if size.is_some_and(|size| size >= ingest::MIN_BULK_BYTES) => {
                ingest::file_into_store(input, writer, &config.ingest, &options, show)
            }
            Form::Lines => ingest::into_store(input, writer, &config.ingest, &options, show),
            Form::Records => ingest::records_into_store(input, writer, show),
        }),
    };
    bar.finish_and_clear();
    let summary = result.with_context(|| {
        let done = stored.get();
        format!("stored {} lines ({} bytes of the input), then", done.lines, done.bytes)
    })?;
    tell(&summary);
    Ok(if summary.lines > 0 { Outcome::Done } else { Outcome::NothingFound })
}

fn options(args: &IngestArgs) -> anyhow::Result<Options> {
    let wrong = |flag: &'static str| move |what: String| anyhow::anyhow!("{flag}: {what}");
    Ok(Options {
        labels: args
            .labels
            .iter()
            .map(|l| Options::parse_label(l).map_err(wrong("--label")))
            .collect::<Result<_, _>>()?,
        label_fields: args
            .label_fields
            .iter()
            .map(|field| field.parse().map_err(wrong("--label-field")))
            .collect::<Result<_, _>>()?,
    })
}

/// The input and, for a file, its size in bytes.
fn open(args: &IngestArgs) -> anyhow::Result<(Box<dyn Read + Send>, Option<u64>)> {
    if args.file.as_os_str() == "-" {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let file = File::open(&args.file).with_context(|| format!("cannot open `{}`", args.file.display()))?;
    let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
    Ok((Box::new(file), size))
}

/// Records bring what the flags would give them.
fn check_records(args: &IngestArgs) -> anyhow::Result<()> {
    let flag = match args {
        IngestArgs { labels, .. } if !labels.is_empty() => "--label",
        IngestArgs { label_fields, .. } if !label_fields.is_empty() => "--label-field",
        IngestArgs { url: Some(_), .. } => "--url",
        _ => return Ok(()),
    };
    anyhow::bail!(
        "the input holds records of an export, which are written as they are to a data folder: leave {flag} away, \
         or give `--as lines` to store its lines as a log"
    )
}

fn write(
    config: &Config,
    store: impl FnOnce(&Writer) -> Result<Summary, IngestError>,
) -> anyhow::Result<Summary> {
    let writer = Writer::open(&config.data, &config.store, &Registry::new())?;
    let summary = store(&writer);
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().context("cannot start the async runtime")?;
    runtime.block_on(writer.close()).context("cannot store the last records")?;
    Ok(summary?)
}

fn push(
    input: impl Read + Send + 'static,
    server: &Endpoint,
    config: &Config,
    options: &Options,
    show: impl FnMut(Progress),
) -> anyhow::Result<Summary> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    Ok(runtime.block_on(ingest::to_url(input, server, &config.ingest, options, show))?)
}

/// Hidden unless standard error is a terminal.
fn progress_bar(size: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match size {
        Some(size) => {
            (ProgressBar::new(size), "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg} lines, {eta} left")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec} {msg} lines"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("BUG: the template of the progress bar"))
}

fn tell(summary: &Summary) {
    let seconds = summary.elapsed.as_secs_f64();
    anstream::eprintln!(
        "{} lines, {} bytes ({}) in {seconds:.2} s, {:.2} CPU s ({}/s)",
        summary.lines,
        summary.bytes,
        HumanBytes(summary.bytes),
        summary.cpu.as_secs_f64(),
        HumanBytes((summary.bytes as f64 / seconds.max(0.001)) as u64),
    );
    for (count, what) in [
        (summary.cut_lines, "lines were longer than `ingest.max_line_bytes` and were cut"),
        (summary.untimed_lines, "lines have no time of their own and got the time of their reading"),
        (
            summary.altered_lines,
            "lines are not UTF-8 and were altered by the push; write to --data to keep their bytes",
        ),
    ] {
        if count > 0 {
            anstream::eprintln!("{count} {what}");
        }
    }
}
