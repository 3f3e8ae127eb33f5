//! `binnacle tail`

use futures_util::StreamExt;
use query::client::Answer;

use super::client::ask;
use super::question::{Question, question};
use crate::Outcome;
use crate::args::{Common, TailArgs};
use crate::output::Printer;

/// Prints records as they are stored, until interrupted.
///
/// # Errors
/// When the question is not understood, or the server cannot be reached.
pub(crate) fn execute(args: &TailArgs, common: &Common) -> anyhow::Result<Outcome> {
    let Question::Records(query) = question(&args.query, &args.selection)? else {
        anyhow::bail!("this query yields numbers, not records; `binnacle search` answers it");
    };
    let mut printer = Printer::new(args.json);
    ask(&args.server, common, async |client| {
        let mut answers = client.tail(&query).await?;
        while let Some(answer) = answers.next().await {
            match answer? {
                Answer::Hit(hit) => printer.hit(&hit)?,
                Answer::Skipped(Some(records)) => {
                    anstream::eprintln!(
                        "binnacle: {records} records were skipped here, they came faster than they were read"
                    );
                }
                Answer::Skipped(None) => {
                    anstream::eprintln!("binnacle: records were skipped here; search finds them");
                }
                Answer::Record(_) | Answer::Summary(_) => break,
            }
            printer.flush()?;
        }
        Ok(Outcome::Done)
    })
}
