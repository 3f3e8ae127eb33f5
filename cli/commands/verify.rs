//! `binnacle verify [BACKUP]`

use anyhow::bail;
use indicatif::HumanBytes;
use store::verify;

use super::config;
use crate::Outcome;
use crate::args::{Common, VerifyArgs};
use crate::output::Printer;

/// Names everything that is damaged, one a line.
///
/// # Errors
/// When there is nothing to read, or something is damaged.
pub(crate) fn execute(args: &VerifyArgs, common: &Common) -> anyhow::Result<Outcome> {
    let report = match &args.backup {
        Some(dir) => verify::backup(dir)?,
        None => verify::data(&config(common)?.data)?,
    };
    let mut printer = Printer::new(false);
    for damage in &report.damage {
        printer.text(&format!("damaged: {damage}"))?;
    }
    printer.flush()?;
    for note in &report.notes {
        anstream::eprintln!("note: {note}");
    }
    anstream::eprintln!(
        "read {} parts with {} blocks and {} batches: {} records, {}",
        report.parts,
        report.blocks,
        report.batches,
        report.records,
        HumanBytes(report.bytes),
    );
    if !report.damage.is_empty() {
        bail!("{} places are damaged", report.damage.len());
    }
    Ok(Outcome::Done)
}
