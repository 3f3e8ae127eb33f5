//! `binnacle export`

use std::io::{BufWriter, Write as _};

use anyhow::bail;
use futures_util::StreamExt as _;
use query::client::{Answer, ClientError};

use super::client::{ask, options, tell_what_is_missing};
use super::question::{Question, question};
use crate::Outcome;
use crate::args::{Common, ExportArgs};

/// Writes the records found, oldest first, as lines that `ingest` reads back.
///
/// # Errors
/// When the question is not understood, no answer can be had, or something found could not be read; the rest is
/// written then.
pub(crate) fn execute(args: &ExportArgs, common: &Common) -> anyhow::Result<Outcome> {
    let Question::Records(query) = question(&args.query, &args.selection)? else {
        bail!("this query yields numbers, not records: ask `binnacle search`")
    };
    let options = options(query, &args.times, 0, true);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut outcome = Outcome::NothingFound;
    let summary = ask(&args.server, common, async |client| {
        let mut answers = client.export(&options).await?;
        while let Some(answer) = answers.next().await {
            match answer? {
                Answer::Record(line) => {
                    outcome = Outcome::Done;
                    out.write_all(&line)?;
                    out.write_all(b"\n")?;
                }
                Answer::Summary(summary) => return Ok(summary),
                Answer::Hit(_) | Answer::Skipped(_) => {}
            }
        }
        Err(ClientError::CutOff.into())
    })?;
    out.flush()?;
    tell_what_is_missing(&summary, 0);
    if summary["completeness"]["damaged"].as_array().is_some_and(|damaged| !damaged.is_empty()) {
        bail!("not everything could be read; `binnacle verify` names what is damaged");
    }
    Ok(outcome)
}
