//! The end of a container, or of what can be read of it.

use store::GapReason;

use super::super::container::Description;
use super::super::opening;
use super::super::sink::{Sink, Stopped};
use super::super::timestamp;
use super::{Next, Tail};

impl Tail {
    /// A container that does not run was read to its end. Where that brought something, the container may have been
    /// started meanwhile, and what is unfinished may go on: it is looked at, and read, once more.
    pub(super) async fn end_of_run(&mut self) -> Result<Next, Stopped> {
        if self.outdated {
            self.seen = None;
            return Ok(Next::Now);
        }
        self.drained().await?;
        Ok(Next::Park)
    }

    /// A container that does not run brought nothing new: its lines are all there.
    pub(super) async fn drained(&mut self) -> Result<(), Stopped> {
        self.drained = true;
        self.doorbell = None;
        if let Some(log) = &mut self.log {
            log.flush(self.description.finished_ns).await?;
        }
        Ok(())
    }

    /// The daemon knows it no more.
    pub(super) async fn gone(&mut self, destroyed: bool) -> Result<(), Stopped> {
        let starts = self.signals.borrow().starts;
        self.unstarted = self.log.is_none() && self.row.is_none() && starts == 0;
        if self.may_have_missed_lines(starts) && !(destroyed && self.never_ran(starts)) {
            self.record_removed().await?;
        }
        let Description { name, driver, .. } = &self.description;
        self.shared.metrics.unreadable(name, driver, false);
        "removed".clone_into(&mut self.description.state);
        let source = self.row.as_ref().map(|row| row.source.clone()).unwrap_or_default();
        if let Some(log) = &mut self.log {
            log.sink.container(self.description.row(source));
            // Missing is not destroyed: another daemon may have answered. The cursor is dropped on proof only.
            log.close(!destroyed).await?;
        } else if self.row.is_some() {
            self.store_row(source).await?;
        }
        Ok(())
    }

    /// Whether lines may have been logged that nobody read.
    ///
    /// An event tells of a container's end after its last line is in the log, so a read that began later and went
    /// well has them all. Engines from 23 on take a container with `--rm` away before they tell of its end, but
    /// end follows after the last line: a doorbell that was silent since the last read proves as much.
    fn may_have_missed_lines(&self, starts: u64) -> bool {
        if self.drained || self.shared.selection.refuses(&self.description).is_some() {
            return false;
        }
        match &self.log {
            Some(log) => !log.cursor.unreadable && self.read_to_end_of != Some(starts),
            // It was gone before it could be looked at: only an event told of it.
            None => self.row.is_none() && starts > 0,
        }
    }

    /// Whether it was made and not started: then it has logged nothing, read or not.
    const fn never_ran(&self, starts: u64) -> bool {
        self.log.is_some() && self.description.started_ns.is_none() && starts == 0
    }

    /// Records a gap from what was read last to the removal.
    async fn record_removed(&mut self) -> Result<(), Stopped> {
        let now_ns = timestamp::now_ns();
        let created_ns = self.description.created_ns;
        if let Some(log) = &mut self.log {
            log.gap(log.cursor.gap_from_ns().unwrap_or(created_ns), now_ns, GapReason::Removed);
            return Ok(());
        }
        let mut sink = Sink::new(self.shared.outlet.clone(), opening::source(&self.id));
        sink.lost(&self.description.name, created_ns, now_ns, GapReason::Removed);
        sink.commit(None, None).await?;
        sink.settle().await
    }

    /// The driver keeps nothing: recorded once, and not tried again until the container changes.
    pub(super) async fn unreadable(&mut self) -> Result<(), Stopped> {
        let driver = self.description.driver.clone();
        self.shared.metrics.unreadable(&self.description.name, &driver, true);
        self.drained = true;
        if let Some(log) = &mut self.log {
            opening::record_unreadable(log, &self.description).await?;
        }
        self.store_row(format!("unreadable ({driver})")).await
    }
}
