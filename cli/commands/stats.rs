//! `binnacle stats`

use serde_json::Value;

use super::client::ask;
use crate::Outcome;
use crate::args::{Common, StatsArgs};
use crate::output::Printer;

/// Prints what is stored and how large it is.
///
/// # Errors
/// When no answer can be had.
pub(crate) fn execute(args: &StatsArgs, common: &Common) -> anyhow::Result<Outcome> {
    let answer = ask(&args.server, common, async |client| Ok(client.json("/api/v1/stats", &[]).await?))?;
    let mut printer = Printer::new(args.json);
    if args.json {
        printer.json(&answer)?;
    } else {
        rows(&answer, "", &mut printer)?;
    }
    printer.flush()?;
    Ok(Outcome::Done)
}

/// One row a figure, named by its path.
fn rows(node: &Value, path: &str, printer: &mut Printer) -> std::io::Result<()> {
    match node {
        Value::Object(children) => {
            for (key, child) in children {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                rows(child, &path, printer)?;
            }
            Ok(())
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                rows(item, &format!("{path}[{i}]"), printer)?;
            }
            Ok(())
        }
        Value::String(text) => printer.text(&format!("{path:<32} {text}")),
        other => printer.text(&format!("{path:<32} {other}")),
    }
}
