//! `binnacle labels`

use serde_json::Value;

use super::client::ask;
use crate::Outcome;
use crate::args::{Common, LabelsArgs};
use crate::output::Printer;

/// Prints the names of all stream labels with their numbers of values, or the values of one.
///
/// # Errors
/// When no answer can be had.
pub(crate) fn execute(args: &LabelsArgs, common: &Common) -> anyhow::Result<Outcome> {
    let parameters = [
        ("start", args.times.from.as_deref()),
        ("end", args.times.to.as_deref()),
        ("since", args.times.since.as_deref()),
    ];
    let answer =
        ask(&args.server, common, async |client| Ok(client.json("/api/v1/labels", &parameters).await?))?;
    let labels = answer["labels"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut printer = Printer::new(args.json);
    let found = match &args.name {
        None if args.json => {
            printer.json(&answer)?;
            !labels.is_empty()
        }
        None => {
            for label in labels {
                let more = label["values_omitted"].as_u64().unwrap_or(0);
                let count = values(label).len() as u64 + more;
                printer.text(&format!("{:<24} {count}", label["name"].as_str().unwrap_or("?")))?;
            }
            !labels.is_empty()
        }
        Some(name) => {
            let label = labels.iter().find(|label| label["name"] == name.as_str());
            let values = label.map(values).unwrap_or_default();
            if args.json {
                printer.json(&values)?;
            } else {
                for value in values {
                    printer.text(value.as_str().unwrap_or("?"))?;
                }
                if let Some(more) =
                    label.and_then(|label| label["values_omitted"].as_u64()).filter(|more| *more > 0)
                {
                    anstream::eprintln!("binnacle: and {more} more values");
                }
            }
            !values.is_empty()
        }
    };
    printer.flush()?;
    Ok(if found { Outcome::Done } else { Outcome::NothingFound })
}

fn values(label: &Value) -> &[Value] {
    label["values"].as_array().map(Vec::as_slice).unwrap_or_default()
}
