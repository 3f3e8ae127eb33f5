//! Which rows of a block hold a text.

use super::shapes::{Finder, Likely};
use super::{Block, BlockError, Needle, Rows, Stored, TemplatesOf};

impl Block {
    /// The rows whose lines hold `needle`. Reads only the columns that may hold it.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn rows_with(&self, needle: &Needle) -> Result<Rows, BlockError> {
        if needle.is_empty() {
            return Ok(Rows::with(self.len, |_| true));
        }
        if self.lines.get().is_none()
            && needle.is_bytewise(self.stored.as_ref().is_some_and(Stored::has_ascii_lines))
            && let Some(mut rows) = self.rows_by_columns(needle.beginning().unwrap_or(needle))?
        {
            if needle.beginning().is_none() {
                return Ok(rows);
            }
            let begun: Vec<usize> = rows.iter().collect();
            let lines = self.lines_of(&begun)?;
            for row in begun {
                if !needle.is_in(&lines.get(row)?) {
                    rows.remove(row);
                }
            }
            return Ok(rows);
        }
        Ok(needle.lines(self.lines()?.separated()))
    }

    /// The same if the lines are stored as shapes.
    fn rows_by_columns(&self, needle: &Needle) -> Result<Option<Rows>, BlockError> {
        let likely = self.shapes_that_may_hold(needle)?;
        if matches!(likely, Likely::None) {
            return Ok(Some(Rows::none(self.len)));
        }
        let Some(shapes) = self.shapes()? else { return Ok(None) };
        let likely = likely.of_shapes().filter(|likely| likely.contains(&false));
        Finder::new(self, needle).rows(shapes, likely).map(Some)
    }

    /// The rows that have a pair whose value holds `needle`. Reads only the columns that may hold it.
    ///
    /// # Errors
    /// When a column cannot be read or is damaged.
    pub fn rows_with_value(&self, needle: &Needle) -> Result<Rows, BlockError> {
        Finder::new(self, needle).pair_rows()
    }

    /// Which of the shapes of lines may hold the needle.
    fn shapes_that_may_hold(&self, needle: &Needle) -> Result<Likely, BlockError> {
        let Some(stored) = &self.stored else { return Ok(Likely::Unknown) };
        let Some(list) = stored.line_templates()? else { return Ok(Likely::Unknown) };
        stored.likely(TemplatesOf::Lines, list, needle)
    }
}
