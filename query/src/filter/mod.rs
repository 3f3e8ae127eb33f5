//! What a search asks of a record: a pure test, and what follows from it for finding records quickly.
//!
//! The invariant: [`Filter::prune`] and [`Filter::levels`] hold for every record that [`Filter::is_match`]
//! accepts, so that planning never changes an answer.

pub mod compare;
pub mod field;
pub mod level;
pub mod literals;
pub mod rows;
pub mod text;

use std::cell::RefCell;

use store::block::{BlockError, Rows};
use store::{Block, Labels, Level, Prune, Record};

pub use field::FieldTest;
pub use level::{LevelSet, LevelTest};
use rows::{Within, rows_that_may};
pub use text::TextTest;

/// A test of a record.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Every record passes.
    All,
    /// The inner test fails.
    Not(Box<Self>),
    /// Every test passes.
    And(Vec<Self>),
    /// At least one test passes; with none, no record does.
    Or(Vec<Self>),
    /// The line matches.
    Line(TextTest),
    /// A field matches.
    Field(FieldTest),
    /// The level is one of these.
    Level(LevelTest),
}

/// A record as a filter looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Labels of its stream.
    pub labels: &'a Labels,
    /// Its level.
    pub level: Level,
    /// Its line.
    pub line: &'a [u8],
    /// Its pairs.
    pub pairs: RowPairs<'a>,
}

/// Where a row's pairs are.
#[derive(Clone, Copy, Debug)]
pub enum RowPairs<'a> {
    /// In a block, under this row.
    Block(&'a BlockPairs<'a>, usize),
    /// In a record.
    Record(&'a Record),
}

/// The pairs of a block, decoded when a filter first asks for one.
#[derive(Debug)]
pub struct BlockPairs<'a> {
    block: &'a Block,
    failed: RefCell<Option<BlockError>>,
}

impl<'a> BlockPairs<'a> {
    /// The pairs of `block`.
    #[must_use]
    pub const fn of(block: &'a Block) -> Self {
        Self { block, failed: RefCell::new(None) }
    }

    /// Why pairs could not be read, if so: what filters answered since is void.
    ///
    /// # Errors
    /// When the columns of the pairs are damaged or cannot be read.
    pub fn checked(&self) -> Result<(), BlockError> {
        self.failed.borrow_mut().take().map_or(Ok(()), Err)
    }

    fn value(&self, row: usize, name: &str) -> Option<&'a str> {
        match self.block.pairs() {
            Ok(pairs) => pairs.value(row, name),
            Err(error) => {
                *self.failed.borrow_mut() = Some(error);
                None
            }
        }
    }
}

impl<'a> Row<'a> {
    /// A record that has just been committed.
    #[must_use]
    pub fn of_record(record: &'a Record) -> Self {
        Self {
            labels: &record.labels,
            level: record.level,
            line: &record.line,
            pairs: RowPairs::Record(record),
        }
    }

    /// The value of the pair `name`, the sender's before our own.
    #[must_use]
    pub fn pair(&self, name: &str) -> Option<&'a str> {
        match self.pairs {
            RowPairs::Block(pairs, row) => pairs.value(row, name),
            RowPairs::Record(record) => record.pair(name),
        }
    }
}

impl Filter {
    /// Whether the record passes.
    #[must_use]
    pub fn is_match(&self, row: &Row<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Not(inner) => !inner.is_match(row),
            Self::And(all) => all.iter().all(|f| f.is_match(row)),
            Self::Or(any) => any.iter().any(|f| f.is_match(row)),
            Self::Line(test) => test.is_match(row.line),
            Self::Field(test) => test.is_match(row),
            Self::Level(test) => test.is_match(row),
        }
    }

    /// What is left to test for the records of one stream, once its labels are known; `None` when no
    /// record of the stream can pass.
    #[must_use]
    pub fn for_stream(&self, labels: &Labels) -> Option<Self> {
        Some(match self {
            Self::All | Self::Line(_) | Self::Level(_) => self.clone(),
            Self::Field(test) => match test.decide(labels) {
                None => self.clone(),
                Some(true) => Self::All,
                Some(false) => return None,
            },
            Self::Not(inner) => match inner.for_stream(labels) {
                None => Self::All,
                Some(Self::All) => return None,
                Some(rest) => Self::Not(Box::new(rest)),
            },
            Self::And(all) => {
                let mut rest = Vec::new();
                for filter in all {
                    match filter.for_stream(labels)? {
                        Self::All => {}
                        other => rest.push(other),
                    }
                }
                match rest.len() {
                    0 => Self::All,
                    1 => rest.swap_remove(0),
                    _ => Self::And(rest),
                }
            }
            Self::Or(any) => {
                let mut rest = Vec::new();
                for filter in any {
                    match filter.for_stream(labels) {
                        None => {}
                        Some(Self::All) => return Some(Self::All),
                        Some(other) => rest.push(other),
                    }
                }
                match rest.len() {
                    0 => return None,
                    1 => rest.swap_remove(0),
                    _ => Self::Or(rest),
                }
            }
        })
    }

    /// What every passing record fulfils, as far as the block index can tell.
    #[must_use]
    pub fn prune(&self) -> Prune {
        match self {
            // What a line lacks, its block may still hold.
            Self::All | Self::Not(_) | Self::Level(_) => Prune::Any,
            Self::And(all) => {
                let mut parts: Vec<Prune> =
                    all.iter().map(Self::prune).filter(|p| *p != Prune::Any).collect();
                match parts.len() {
                    0 => Prune::Any,
                    1 => parts.swap_remove(0),
                    _ => Prune::And(parts),
                }
            }
            Self::Or(any) => {
                let parts: Vec<Prune> = any.iter().map(Self::prune).collect();
                if parts.contains(&Prune::Any) { Prune::Any } else { Prune::Or(parts) }
            }
            Self::Line(test) => test.prune(),
            Self::Field(test) => test.prune(),
        }
    }

    /// The levels a passing record may have.
    #[must_use]
    pub fn levels(&self) -> LevelSet {
        match self {
            Self::All | Self::Line(_) | Self::Field(_) => LevelSet::ALL,
            Self::Level(test) => test.levels(),
            Self::Not(inner) => match inner.as_ref() {
                Self::Level(test) => test.levels_if_not(),
                _ => LevelSet::ALL,
            },
            Self::And(all) => all.iter().fold(LevelSet::ALL, |set, f| set.and(f.levels())),
            Self::Or(any) => any.iter().fold(LevelSet::NONE, |set, f| set.or(f.levels())),
        }
    }

    /// Rows of a block that may pass; `None` when nothing is known of them without their lines.
    ///
    /// # Errors
    /// When a column cannot be read.
    pub fn rows(&self, block: &Block) -> Result<Option<Rows>, BlockError> {
        match self {
            Self::Line(test) => rows_that_may(&test.prune(), Within::Line, block),
            Self::Field(test) => rows_that_may(&test.prune(), Within::Record, block),
            Self::And(all) => rows::all_of(block, all, |filter| filter.rows(block)),
            Self::Or(any) => rows::any_of(block, any, |filter| filter.rows(block)),
            Self::All | Self::Not(_) | Self::Level(_) => Ok(None),
        }
    }

    /// Every field test within, in the order of the query.
    #[must_use]
    pub fn fields(&self) -> Vec<&FieldTest> {
        match self {
            Self::Field(test) => vec![test],
            Self::Not(inner) => inner.fields(),
            Self::And(list) | Self::Or(list) => list.iter().flat_map(Self::fields).collect(),
            Self::All | Self::Line(_) | Self::Level(_) => Vec::new(),
        }
    }
}
