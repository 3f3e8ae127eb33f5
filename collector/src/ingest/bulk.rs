//! A file into the store in bulk: at half the cost of batches that are each durable at once.
//!
//! A file can be read again, so its lines are not written to the catalog first, but go straight into blocks. They are
//! durable and visible some 64 MiB at a time; `progress` is told of lines when they are.

use std::collections::VecDeque;
use std::io::Read;

use store::{Batch, Loader, Writer};

use super::{Batches, Clock, IngestError, Options, Progress, Summary};
use crate::config::IngestConfig;
use crate::traces::ingested::Ingested;

/// Smaller files are stored batch by batch: that costs next to nothing, and parts are made of what comes together.
pub const MIN_BULK_BYTES: u64 = 64 << 20;

/// Stores the lines of a file through `writer`, in blocks when this returns; `progress` is called as more are stored.
/// Blocks: call it off the async runtime.
///
/// # Errors
/// When the file cannot be read, after all before is stored; or the store fails, when what `progress` told is stored.
pub fn file_into_store(
    input: impl Read,
    writer: &Writer,
    config: &IngestConfig,
    options: &Options,
    mut progress: impl FnMut(Progress),
) -> Result<Summary, IngestError> {
    let clock = Clock::start();
    let mut batches = Batches::new(input, config, options)?;
    let mut loader = writer.loader();
    let mut told = Told::default();
    let read = add_all(&mut batches, writer, &mut loader, |loader, reached| {
        told.waiting.push_back(reached);
        told.tell(loader.stored(), &mut progress);
    });
    // What was read before an error of the file is stored as well. After one of the store something in between may be missing.
    if !matches!(read, Err(IngestError::Store(_))) {
        loader.finish()?;
        told.tell(u64::MAX, &mut progress);
    }
    read?;
    Ok(clock.end(batches.summary))
}

fn add_all<R: Read>(
    batches: &mut Batches<R>,
    writer: &Writer,
    loader: &mut Loader,
    mut added: impl FnMut(&Loader, Progress),
) -> Result<(), IngestError> {
    let mut ingested = Ingested::open(writer)?;
    while let Some(records) = batches.next()? {
        // The time for which traces are to be made is known before the lines are there, never after.
        if let Some(cursor) = ingested.add(&records) {
            writer.append_blocking(Batch { cursors: vec![cursor], ..Batch::default() })?;
        }
        loader.add(records)?;
        added(loader, batches.progress());
    }
    Ok(())
}

/// How far the input was read, for each batch that is not yet stored.
#[derive(Default)]
struct Told {
    waiting: VecDeque<Progress>,
}

impl Told {
    /// Tells the furthest of them, when so many lines are stored.
    fn tell(&mut self, stored: u64, progress: &mut impl FnMut(Progress)) {
        let mut reached = None;
        while let Some(next) = self.waiting.front().filter(|next| next.lines <= stored) {
            reached = Some(*next);
            self.waiting.pop_front();
        }
        reached.into_iter().for_each(progress);
    }
}
