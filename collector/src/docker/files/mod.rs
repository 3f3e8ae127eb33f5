//! A container's log read from the files of Docker's driver `json-file`, not through its API.
//!
//! The files hold the messages that the API would send, so everything behind them is the same: the cursor,
//! the judgement of what is new, the gaps. A log can be read by either at any time, and by the other next.
//!
//! The invariant: a [`Place`] is behind the last record taken, in a file that is held open, and what stands
//! before it is what was read. Where that cannot be shown, the place is given up, and the records that are
//! new are found by the cursor, as in a reply of the API.
//!
//! Docker renames the file (`LOG`, `LOG.1`, `LOG.2`, maybe `.gz`) and begins another. What is held open
//! stays readable, renamed or removed, and nothing is added to it after its renaming.

mod chain;
mod place;
mod reader;
mod record;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub(super) use place::Place;
pub(super) use reader::{Item, Reader};

use super::container::Description;

/// Driver whose files are understood.
const DRIVER: &str = "json-file";

/// Why the files cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    /// The system's word.
    #[error("cannot read `{path}`: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// What stands before the place is not what was read: the file was cut or written anew.
    #[error("`{path}` is not the file that was read before")]
    Changed { path: PathBuf },
    /// The files are being renamed all the time.
    #[error("the files of `{path}` do not hold still")]
    Unsettled { path: PathBuf },
    /// A log of another form, such as Podman's.
    #[error("`{path}` does not hold JSON records")]
    Format { path: PathBuf },
}

impl FilesError {
    /// Whether reading again from the cursor may help.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Unsettled { .. })
    }

    /// Whether the files are just not there: the container has never run, or was removed.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }
}

/// The files of one container's log, and how far they are read.
#[derive(Debug)]
pub(super) struct LogFiles {
    pub(super) path: PathBuf,
    /// `None` before the first read, and after one that broke off.
    pub(super) place: Option<Place>,
}

impl LogFiles {
    /// The files of `container`, if it has such. `folder` holds the folders of the containers as this process
    /// sees them; empty for where the daemon says they are.
    pub(super) fn of(container: &Description, folder: &str) -> Option<Self> {
        if container.driver != DRIVER || container.log_path.is_empty() {
            return None;
        }
        let told = Path::new(&container.log_path);
        let path = match folder {
            "" => told.to_owned(),
            folder => Path::new(folder).join(&container.id).join(told.file_name()?),
        };
        Some(Self { path, place: None })
    }
}
