//! `binnacle search`

use super::client::{ask, each_hit, options, tell_what_is_missing};
use super::selected;
use crate::Outcome;
use crate::args::{Common, SearchArgs};
use crate::output::Printer;

/// Prints what is found; what is missing from the answer is told on standard error.
///
/// # Errors
/// When the question is not understood, or no answer can be had.
pub(crate) fn execute(args: &SearchArgs, common: &Common) -> anyhow::Result<Outcome> {
    let query = selected(&args.query, &args.selection);
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
