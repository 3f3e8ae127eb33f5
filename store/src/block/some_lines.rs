//! Few lines of a block, put together from the columns that they have values in.

use std::borrow::Cow;

use super::shapes::{Resolved, Shapes};
use super::{Block, BlockError, Lines};

/// Of so many lines, putting one together costs as much as its part in putting all together: the more for the
/// columns being found for each.
const MANY_LINES: usize = 4;

/// Lines of a block, see [`Block::lines_of`].
#[derive(Debug)]
pub struct SomeLines<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    /// All are at hand.
    Lines(&'a Lines),
    /// Each is put together when it is asked for.
    Columns { block: &'a Block, shapes: &'a Shapes, columns: Resolved<'a> },
}

impl SomeLines<'_> {
    /// Line `row`, one of those asked for.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    ///
    /// # Panics
    /// When `row` is not less than [`Block::len`].
    pub fn get(&self, row: usize) -> Result<Cow<'_, [u8]>, BlockError> {
        match &self.0 {
            Source::Lines(lines) => Ok(lines.get(row).into()),
            Source::Columns { block, shapes, columns } => {
                let mut line = Vec::new();
                let appended = columns.append(shapes, row, &mut line, block.line_bytes());
                appended.map(|()| line.into()).map_err(|wrong| block.malformed(wrong))
            }
        }
    }
}

impl Block {
    /// Line `row`; cheaper than [`Block::lines`] for few of them.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    ///
    /// # Panics
    /// When `row` is not less than [`Block::len`].
    pub fn line(&self, row: usize) -> Result<Cow<'_, [u8]>, BlockError> {
        if self.lines.get().is_none()
            && let Some(shapes) = self.shapes()?
        {
            let mut line = Vec::new();
            let resolved = self.resolved(shapes, Some(&[row]))?;
            let appended = resolved.append(shapes, row, &mut line, self.line_bytes());
            return appended.map(|()| line.into()).map_err(|wrong| self.malformed(wrong));
        }
        Ok(self.lines()?.get(row).into())
    }

    /// Line `row` for someone who has read `read` others: the more, the sooner all are put together at once.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    ///
    /// # Panics
    /// When `row` is not less than [`Block::len`].
    pub fn line_after(&self, row: usize, read: usize) -> Result<Cow<'_, [u8]>, BlockError> {
        if read * MANY_LINES < self.len { self.line(row) } else { Ok(self.lines()?.get(row).into()) }
    }

    /// Lines `rows`: put together one by one, or cut out of all of them where that is cheaper. Few rows read only the
    /// columns that these have values in.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    ///
    /// # Panics
    /// When a row is not less than [`Block::len`].
    pub fn lines_of(&self, rows: &[usize]) -> Result<SomeLines<'_>, BlockError> {
        if rows.len() * MANY_LINES < self.len
            && self.lines.get().is_none()
            && let Some(shapes) = self.shapes()?
        {
            let columns = self.resolved(shapes, Some(rows))?;
            return Ok(SomeLines(Source::Columns { block: self, shapes, columns }));
        }
        Ok(SomeLines(Source::Lines(self.lines()?)))
    }
}
