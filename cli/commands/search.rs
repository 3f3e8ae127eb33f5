//! `binnacle search`

use super::client::{ask, each_hit, options, tell_what_is_missing};
use super::question::{Question, question};
use super::series;
use crate::Outcome;
use crate::args::{Common, SearchArgs};
use crate::output::Printer;

/// Prints what is found: records, or the series of a metric query. What is missing from the answer is told on
/// standard error.
///
/// # Errors
/// When the question is not understood, or no answer can be had.
pub(crate) fn execute(args: &SearchArgs, common: &Common) -> anyhow::Result<Outcome> {
    match question(&args.query, &args.selection)? {
        Question::Records(query) => {
            anyhow::ensure!(
                !args.chart && args.step.is_none(),
                "--chart and --step go with queries that yield numbers, for example \
                 'sum by (detected_level) (count_over_time({{service_name=\"checkout\"}}[5m]))'"
            );
            records(query, args, common)
        }
        Question::Numbers(query) => series::execute(&query, args, common),
    }
}

fn records(query: String, args: &SearchArgs, common: &Common) -> anyhow::Result<Outcome> {
    let options = options(query, &args.times, args.limit, args.forward);
    let mut printer = Printer::new(args.json);
    let mut outcome = Outcome::NothingFound;
    ask(&args.server, common, async |client| {
        let answers = client.search(&options).await?;
        let summary = each_hit(answers, |hit| {
            outcome = Outcome::Done;
            printer.hit(hit)
        })
        .await?;
        printer.flush()?;
        tell_what_is_missing(&summary, args.limit);
        Ok(())
    })?;
    Ok(outcome)
}
