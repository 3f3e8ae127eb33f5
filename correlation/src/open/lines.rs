//! The lines that are held, each under a number: a line is written once and stays where it is until it goes.
//!
//! Places of lines that have gone are taken again, so a line that comes costs no memory of its own but for its texts.

use crate::line::Line;

/// Where a line is. Of one that has gone, it may be another's later.
pub(super) type Place = usize;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lines {
    held: Vec<Option<Line>>,
    free: Vec<Place>,
}

impl Lines {
    pub(super) fn insert(&mut self, line: Line) -> Place {
        let Some(place) = self.free.pop() else {
            self.held.push(Some(line));
            return self.held.len() - 1;
        };
        self.held[place] = Some(line);
        place
    }

    /// Those at these places.
    pub(super) fn at(&self, places: &[Place]) -> Vec<&Line> {
        places.iter().filter_map(|place| self.held.get(*place)?.as_ref()).collect()
    }

    pub(super) fn remove(&mut self, places: &[Place]) {
        for &place in places {
            if self.held.get_mut(place).and_then(Option::take).is_some() {
                self.free.push(place);
            }
        }
    }
}
