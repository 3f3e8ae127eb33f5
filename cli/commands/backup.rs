//! `binnacle backup TARGET`

use std::io::BufWriter;

use anyhow::bail;
use indicatif::HumanBytes;
use store::backup::{to_archive, to_folder};

use super::config;
use crate::Outcome;
use crate::args::{BackupArgs, Common};

/// Backs up the data folder and tells on standard error what that took.
///
/// # Errors
/// When it cannot be backed up, or something of it is missing from the backup because it is damaged.
pub(crate) fn execute(args: &BackupArgs, common: &Common) -> anyhow::Result<Outcome> {
    let config = config(common)?;
    let done = if args.target.as_os_str() == "-" {
        to_archive(&config.data, BufWriter::new(std::io::stdout().lock()), &mut |_| {})?
    } else {
        to_folder(&config.data, &args.target, &mut |_| {})?
    };
    anstream::eprintln!(
        "{} files copied ({}), {} unchanged ({}), {} no longer needed",
        done.copied_files,
        HumanBytes(done.copied_bytes),
        done.unchanged_files,
        HumanBytes(done.unchanged_bytes),
        done.removed_files,
    );
    if !done.damage.is_empty() {
        bail!(
            "the backup is made, but `{}` is damaged:\n  {}",
            config.data.display(),
            done.damage.join("\n  ")
        );
    }
    Ok(Outcome::Done)
}
