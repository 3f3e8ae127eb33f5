//! Reading a log from its files.

use std::sync::Arc;
use std::time::Instant;

use store::GapReason;

use super::super::files::{FilesError, Item, LogFiles, Place, Reader};
use super::super::metrics::Mode;
use super::super::poll::Pass;
use super::super::shared::Permits;
use super::request::{Reach, Taker};
use super::{Log, ReadError, Start};

/// Where the last record taken is looked for first: so many bytes before the end.
const FIRST_BACK: u64 = 256 << 10;
/// Growth of that while the record is not found, and what is more than which is all.
const GROWTH: u64 = 8;
const MAX_BACK: u64 = 256 << 20;
/// Beginnings in one read, where the files are changed under it. The next read is not far.
const MAX_ATTEMPTS: u32 = 3;

/// Where a read has come to.
enum End {
    /// At the present end, to go on from the place if there is one.
    Present(Option<Place>),
    /// At the end of a file that nothing is known to follow on.
    LostTrack,
}

impl Log {
    /// Reads the files to their present end; `None` where the log is not, or cannot be, read from files. Then the API
    /// is to be asked, now and from now on.
    pub(super) async fn read_files(&mut self, permits: &mut Permits) -> Option<Result<(), ReadError>> {
        // A number of lines before the end: the API counts them.
        if self.cursor.is_empty() && matches!(self.start, Start::Tail { .. }) {
            return None;
        }
        if self.files.is_some() {
            self.lanes.iter_mut().for_each(|lane| lane.comes_by(Mode::Files));
        }
        for _ in 0..MAX_ATTEMPTS {
            let mut files = self.files.take()?;
            let outcome = match files.place.take() {
                Some(place) => self.go_on(&files, place, permits).await,
                None => self.find(&files, permits).await,
            };
            let error = match outcome {
                Ok(End::Present(place)) => {
                    self.files = Some(LogFiles { place, ..files });
                    return Some(Ok(()));
                }
                Ok(End::LostTrack) => None,
                Err(ReadError::Files(error)) if error.is_passing() => Some(error),
                Err(ReadError::Files(error)) => {
                    self.leave_files(&error);
                    return None;
                }
                Err(error) => return Some(Err(error)),
            };
            tracing::debug!(container = self.name, ?error, "looks for its place in the files");
            self.files = Some(files);
        }
        Some(Ok(()))
    }

    /// Reads on behind `place`.
    async fn go_on(
        &mut self,
        files: &LogFiles,
        place: Place,
        permits: &mut Permits,
    ) -> Result<End, ReadError> {
        let path = files.path.clone();
        let reader = self.off_the_runtime(move || Reader::behind(&path, place)).await??;
        let mut taker = Taker::new(Pass::going_on(), GapReason::Rotated);
        // What follows on what was read cannot be too short.
        let (_, reader) = self.take_files(reader, &mut taker, permits).await?;
        Ok(reader.into_place().map_or(End::LostTrack, |place| End::Present(Some(place))))
    }

    /// Looks for the last record taken, from the end backwards, and reads on behind it.
    async fn find(&mut self, files: &LogFiles, permits: &mut Permits) -> Result<End, ReadError> {
        let mut back = FIRST_BACK;
        loop {
            let path = files.path.clone();
            let wanted = (!self.cursor.is_empty() && back <= MAX_BACK).then_some(back);
            let reader = self.off_the_runtime(move || Reader::from_end(&path, wanted)).await??;
            let mut taker = Taker::new(Pass::new(&self.cursor, reader.is_whole), GapReason::Rotated);
            let (reach, reader) = self.take_files(reader, &mut taker, permits).await?;
            if let Reach::Enough = reach {
                let place = reader.into_place().filter(|_| taker.pass.is_covered());
                return Ok(End::Present(place));
            }
            back = back.saturating_mul(GROWTH);
        }
    }

    /// Takes what `reader` gives, up to the present end.
    async fn take_files(
        &mut self,
        mut reader: Reader,
        taker: &mut Taker,
        permits: &mut Permits,
    ) -> Result<(Reach, Reader), ReadError> {
        loop {
            let (back, items) = self
                .off_the_runtime(move || {
                    let items = reader.next();
                    (reader, items)
                })
                .await?;
            reader = back;
            let Some(items) = items? else { break };
            let now = Instant::now();
            for item in &items {
                match item {
                    Item::Damage => taker.damaged(),
                    Item::Message(frame) => {
                        if let Reach::TooShort = taker.take(self, frame, now) {
                            return Ok((Reach::TooShort, reader));
                        }
                    }
                }
            }
            if self.sink.is_full() {
                let shared = Arc::clone(&self.shared);
                permits.reading_much(&shared, self.brought.messages).await;
                self.commit(self.cursor.last_ns(), permits).await?;
            }
        }
        self.shared.metrics.overlap(taker.pass.old());
        Ok((self.end_of_reply(taker), reader))
    }

    /// From now on the API is asked.
    fn leave_files(&self, error: &FilesError) {
        if error.is_missing() {
            tracing::debug!(container = self.name, %error, "reads this log through Docker's API");
        } else {
            tracing::warn!(container = self.name, %error, "reads this log through Docker's API, not from its files");
        }
    }

    /// Disks are waited for off the runtime.
    async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let done = self.shared.unless_stopped(tokio::task::spawn_blocking(work)).await?;
        // It ends early only with the runtime.
        done.map_err(|_| ReadError::Stopped)
    }
}
