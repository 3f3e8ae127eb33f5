//! `level:` tests: a set of levels, found by one look at the level column.
//!
//! Order: trace < debug < info < warn < error < critical < fatal; `unknown` compares with none of them.
//! Records whose level nobody looked for ([`Level::Unset`]) are tested by their own `level` field instead.

use store::Level;

use super::Row;
use super::field::ValueTest;

/// A set of levels, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelSet(u16);

impl LevelSet {
    /// No level.
    pub const NONE: Self = Self(0);
    /// Every level, `Unset` and `Unknown` included.
    pub const ALL: Self = Self((1 << Level::COUNT) - 1);

    /// The set of these levels.
    #[must_use]
    pub fn of(levels: impl IntoIterator<Item = Level>) -> Self {
        levels.into_iter().fold(Self::NONE, |set, level| Self(set.0 | 1 << level as u16))
    }

    /// Whether `level` is in the set.
    #[must_use]
    pub const fn contains(self, level: Level) -> bool {
        self.0 & 1 << level as u16 != 0
    }

    /// The levels in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The levels in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The levels as a list, `None` for all of them.
    #[must_use]
    pub fn listed(self) -> Option<Vec<Level>> {
        (self != Self::ALL).then(|| Level::ALL.into_iter().filter(|level| self.contains(*level)).collect())
    }
}

/// The level that people mean by a word, whatever its case.
#[must_use]
pub fn by_name(word: &str) -> Option<Level> {
    Some(match word.to_ascii_lowercase().as_str() {
        "trace" | "trc" => Level::Trace,
        "debug" | "dbg" => Level::Debug,
        "info" | "inf" | "information" | "notice" => Level::Info,
        "warn" | "wrn" | "warning" => Level::Warn,
        "error" | "err" => Level::Error,
        "critical" | "crit" | "alert" => Level::Critical,
        "fatal" | "panic" | "emerg" => Level::Fatal,
        "unknown" => Level::Unknown,
        _ => return None,
    })
}

/// What to say of a word that names no level: what may be meant, or what there is.
#[must_use]
pub fn unknown(word: &str) -> String {
    let names = || Level::ALL.into_iter().filter_map(Level::name);
    let lower = word.to_ascii_lowercase();
    let nearest = names().map(|name| (strsim::levenshtein(&lower, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 2 => {
            format!("`{word}` is no level; did you mean `{name}`?")
        }
        _ => format!("`{word}` is no level; there are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

/// Levels that can be compared, lowest first.
pub const ORDERED: [Level; 7] =
    [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Critical, Level::Fatal];

/// A test of the level.
#[derive(Clone, Debug)]
pub struct LevelTest {
    /// Levels that pass, `Unset` never among them.
    pub wanted: LevelSet,
    /// For records without a level: what their own `level` label, pair or field must be when it is no level
    /// we know; `None` when no such word passes.
    pub otherwise: Option<ValueTest>,
}

impl LevelTest {
    /// Whether the record passes.
    #[must_use]
    pub fn is_match(&self, row: &Row<'_>) -> bool {
        if row.level != Level::Unset {
            return self.wanted.contains(row.level);
        }
        let as_written = row.labels.get("level").or_else(|| row.pair("level"));
        match as_written.map(str::to_owned).or_else(|| store::fields::get(row.line, "level")) {
            Some(word) => match by_name(&word) {
                Some(level) => self.wanted.contains(level),
                None => self.otherwise.as_ref().is_some_and(|test| test.is_match_whole(&word)),
            },
            None => false,
        }
    }

    /// The levels a passing record may have.
    #[must_use]
    pub fn levels(&self) -> LevelSet {
        self.wanted.or(LevelSet::of([Level::Unset]))
    }

    /// The levels a record may have that does not pass.
    #[must_use]
    pub fn levels_if_not(&self) -> LevelSet {
        LevelSet::of(Level::ALL.into_iter().filter(|level| !self.wanted.contains(*level)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_levels_combine() {
        let errors = LevelSet::of([Level::Error, Level::Fatal]);
        assert!(errors.contains(Level::Fatal) && !errors.contains(Level::Unset));
        assert_eq!(errors.and(LevelSet::of([Level::Error])).listed(), Some(vec![Level::Error]));
        assert_eq!(LevelSet::ALL.listed(), None);
        assert_eq!(LevelSet::of(Level::ALL), LevelSet::ALL);
    }

    #[test]
    fn a_word_that_names_no_level_gets_a_suggestion() {
        for (word, suggestion) in [("eror", "`error`"), ("Wran", "`warn`"), ("inf0", "`info`")] {
            assert_eq!(by_name(word), None);
            assert!(unknown(word).ends_with(&format!("did you mean {suggestion}?")), "{}", unknown(word));
        }
        assert!(unknown("checkout").ends_with("critical, fatal, unknown"), "{}", unknown("checkout"));
    }

    #[test]
    fn every_name_in_answers_is_understood() {
        for level in Level::ALL {
            if let Some(name) = level.name() {
                assert_eq!(by_name(name), Some(level));
            }
        }
    }
}
