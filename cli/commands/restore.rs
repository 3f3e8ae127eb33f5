//! `binnacle restore BACKUP`

use std::fs::File;
use std::io::BufReader;

use anyhow::{Context, bail};
use indicatif::HumanBytes;
use store::backup::{From, restore};

use super::config;
use crate::Outcome;
use crate::args::{Common, RestoreArgs};

/// Restores a backup to the data folder.
///
/// # Errors
/// When it cannot be restored, or not all of it because it is damaged.
pub(crate) fn execute(args: &RestoreArgs, common: &Common) -> anyhow::Result<Outcome> {
    let config = config(common)?;
    let from = if args.backup.as_os_str() == "-" {
        From::Archive(Box::new(std::io::stdin().lock()))
    } else if args.backup.is_dir() {
        From::Folder(&args.backup)
    } else {
        let file =
            File::open(&args.backup).with_context(|| format!("cannot open `{}`", args.backup.display()))?;
        From::Archive(Box::new(BufReader::new(file)))
    };
    let done = restore(from, &config.data, args.force, args.accept_damage, &mut |_| {})?;
    anstream::eprintln!(
        "{} files restored ({}) to `{}`, as of {}",
        done.files,
        HumanBytes(done.bytes),
        config.data.display(),
        done.begun_at,
    );
    if !done.damage.is_empty() {
        bail!("restored what can be read; damaged:\n  {}", done.damage.join("\n  "));
    }
    Ok(Outcome::Done)
}
