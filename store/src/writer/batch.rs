//! What sources hand to the store.

use std::time::Duration;

use crate::record::Record;

/// What one source hands over at once: stored whole, in one transaction, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Records, in the order in which their source logged them.
    pub records: Vec<Record>,
    /// Positions up to which the records (of this and earlier batches) cover their sources.
    pub cursors: Vec<CursorUpdate>,
    /// Places where lines may be missing.
    pub gaps: Vec<Gap>,
    /// Containers seen or changed.
    pub containers: Vec<Container>,
    /// Sources that were read and had nothing new: key, and time up to which they are stored. Their positions stay;
    /// a source without one is left out, and none goes back.
    pub coverage: Vec<(String, i64)>,
}

/// The position of a source, to resume from after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorUpdate {
    /// Key of the source, for example `docker/<container id>`.
    pub source: String,
    /// The source's own notation; `None` forgets the source.
    pub position: Option<Vec<u8>>,
    /// Time up to which the source is stored, shown with every answer.
    pub covered_ns: Option<i64>,
}

/// Where a source goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Nothing is stored under its key.
    Unset,
    /// Behind this, in the source's own notation.
    At(Vec<u8>),
    /// It was stored, and what is stored now is something else: damaged on disk. Not to be used.
    Damaged,
}

/// A place where lines of a source may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Key of the source.
    pub source: String,
    /// Name of the container or file, for people.
    pub name: String,
    /// Last time known to be covered before the gap.
    pub from_ns: i64,
    /// First time known to be covered after it.
    pub to_ns: i64,
    /// Number of lines missing, where known.
    pub lines: Option<u64>,
    /// What happened.
    pub reason: GapReason,
}

/// Why lines may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The log was rotated faster than it was read.
    Rotated,
    /// The container was removed before its log was read to the end.
    Removed,
    /// The daemon reported a message it could not read.
    DaemonError,
    /// The log driver keeps nothing that can be read.
    Unreadable,
    /// Stored records were damaged on disk.
    Damaged,
}

impl GapReason {
    /// The name in answers, metrics and the catalog.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Removed => "removed",
            Self::DaemonError => "daemon_error",
            Self::Unreadable => "unreadable",
            Self::Damaged => "damaged",
        }
    }

    /// The reason with this name (as [`GapReason::name`] gives it).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Rotated, Self::Removed, Self::DaemonError, Self::Unreadable, Self::Damaged]
            .into_iter()
            .find(|reason| reason.name() == name)
    }
}

/// A container as the catalog knows it, alive or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// Image as named by the user.
    pub image: String,
    /// `service_name` label of its streams.
    pub service: String,
    /// Compose project, empty for none.
    pub project: String,
    /// `created`, `running`, `exited`, ... as Docker says, or `removed`.
    pub state: String,
    /// When it was created.
    pub created_ns: i64,
    /// When it last started.
    pub started_ns: Option<i64>,
    /// When it last ended.
    pub finished_ns: Option<i64>,
    /// Exit code of the last end.
    pub exit_code: Option<i64>,
    /// How its log is read: [`Container::FROM_API`], [`Container::FROM_FILES`], `unreadable (<driver>)`, `excluded`.
    pub source: String,
}

impl Container {
    /// Its log is read by asking Docker's API.
    pub const FROM_API: &str = "poll";
    /// Its log is read from the driver's files.
    pub const FROM_FILES: &str = "files";

    /// Whether its log was read, in one way or the other.
    #[must_use]
    pub fn was_read(&self) -> bool {
        [Self::FROM_API, Self::FROM_FILES].contains(&self.source.as_str())
    }
}

/// Proof that a batch is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Number of the latest commit that holds records of the batch; grows by one with each commit. A batch
    /// without records makes no commit and gets the number of the one before it.
    pub commit: u64,
    /// Time from the call to the start of its transaction: for memory, for the transactions before it.
    pub waited: Duration,
    /// Time from there until it was durable and visible.
    pub took: Duration,
}
