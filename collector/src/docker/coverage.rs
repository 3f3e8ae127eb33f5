//! Up to when containers were read that had nothing new.
//!
//! The time up to which a log is stored moves with its records. Where none come it would stay behind, and an answer
//! could not tell a quiet container from one that is not read. So reads that bring nothing are noted here, and
//! written together from time to time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store::{Batch, StoreError, Writer};

/// Between two writes: one small transaction for all quiet containers.
const PERIOD: Duration = Duration::from_secs(10);

/// One time (ns) per source, at most one entry per container.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    noted: Mutex<HashMap<String, i64>>,
}

impl Coverage {
    /// Everything that `source` logged before `covered_ns` is stored.
    pub(super) fn note(&self, source: &str, covered_ns: i64) {
        let mut noted = self.lock();
        match noted.get_mut(source) {
            Some(known) => *known = covered_ns.max(*known),
            None => {
                noted.insert(source.to_owned(), covered_ns);
            }
        }
    }

    /// Writes what was noted, for ever.
    pub(super) async fn keep(&self, writer: &Writer) {
        loop {
            tokio::time::sleep(PERIOD).await;
            // The readers tell when the store refuses; what is lost here is noted again by the next read.
            if let Err(error) = self.write(writer).await {
                tracing::debug!(%error, "cannot store up to when quiet containers were read");
            }
        }
    }

    /// Writes what was noted since the last time.
    ///
    /// # Errors
    /// When the store does not take it.
    pub(super) async fn write(&self, writer: &Writer) -> Result<(), StoreError> {
        let coverage: Vec<(String, i64)> = std::mem::take(&mut *self.lock()).into_iter().collect();
        if coverage.is_empty() {
            return Ok(());
        }
        writer.append(Batch { coverage, ..Batch::default() }).await.map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use store::CursorUpdate;

    use super::*;

    #[tokio::test]
    async fn a_quiet_source_is_covered_up_to_its_last_read_and_never_less() {
        let dir = tempfile::tempdir().unwrap();
        let writer =
            Writer::open(dir.path(), &store::Config::default(), &prometheus::Registry::new()).unwrap();
        let source = "docker/quiet".to_owned();
        let read = CursorUpdate { source: source.clone(), position: Some(vec![1]), covered_ns: Some(50) };
        writer.append(Batch { cursors: vec![read], ..Batch::default() }).await.unwrap();
        let coverage = Coverage::default();
        for (noted, covered) in [(40, 50), (70, 70), (60, 70)] {
            coverage.note(&source, noted);
            coverage.note("docker/never-stored", noted);
            coverage.write(&writer).await.unwrap();
            assert_eq!(writer.reader().coverage().unwrap(), [(source.clone(), covered)]);
        }
        assert_eq!(writer.cursor(&source).unwrap(), store::Position::At(vec![1]));
    }
}
