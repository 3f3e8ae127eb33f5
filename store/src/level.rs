//! Severity of a record, as one byte.
//!
//! `Unset` means nobody looked (detection is switched off); `Unknown` means someone looked and found none.

/// Severity of a record. The discriminants are the codes on disk: never renumber them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Not looked for.
    #[default]
    Unset = 0,
    /// `trace`
    Trace = 1,
    /// `debug`
    Debug = 2,
    /// `info`
    Info = 3,
    /// `warn`
    Warn = 4,
    /// `error`
    Error = 5,
    /// `critical`
    Critical = 6,
    /// `fatal`
    Fatal = 7,
    /// Looked for and not found.
    Unknown = 8,
}

impl Level {
    /// How many codes there are; the length of a table of counts by level.
    pub const COUNT: usize = 9;
    /// Every level, by code.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Unset,
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
        Self::Critical,
        Self::Fatal,
        Self::Unknown,
    ];

    /// The level of an on-disk code, `None` for a code this version does not know.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The name used in answers (`info`), `None` for [`Level::Unset`].
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Unset => return None,
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Fatal => "fatal",
            Self::Unknown => "unknown",
        })
    }

    /// The level with exactly this name (as [`Level::name`] gives it).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == Some(name))
    }
}
