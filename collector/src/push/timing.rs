//! Where the time of a push goes, told to its sender in the header `Server-Timing`, in milliseconds.

use std::time::Duration;

use axum::http::HeaderValue;
use store::Committed;

/// The name of the header, which the `http` crate does not know.
pub(super) const HEADER: &str = "server-timing";

/// What storing a push took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timing {
    /// Until its lines were records, the wait for a thread included.
    decode: Duration,
    /// Until its transaction began.
    wait: Duration,
    /// Its transaction, the sync to disk included.
    commit: Duration,
}

impl Timing {
    pub(super) const fn new(decode: Duration, committed: &Committed) -> Self {
        Self { decode, wait: committed.waited, commit: committed.took }
    }

    /// The value of the header.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (decode, wait, commit) = (ms(self.decode), ms(self.wait), ms(self.commit));
        HeaderValue::try_from(format!("decode;dur={decode:.3}, wait;dur={wait:.3}, commit;dur={commit:.3}"))
            .ok()
    }
}
