//! Traces of what is stored already, assembled again and sent once.
//!
//! Reads a folder that another process may be writing to, and changes nothing in it. The spans have the ids that
//! they have in the index: what was sent before is sent as the same spans.

use std::time::Duration;

use correlation::{Closed, Config, Span, Value};
use store::config::Period;
use store::{Reader, StoreError, TimeRange};
use tokio::sync::mpsc;

use super::{Attempt, Exporter};
use crate::traces::history::traces_of;

/// Requests assembled ahead of the one being sent; assembling waits when they are full.
const AHEAD: usize = 2;
/// Texts of one request, about: below what receivers take.
const MAX_BYTES: usize = 2 << 20;
/// How long a receiver may be out before the export gives up.
const GIVE_UP: Duration = Duration::from_secs(30);

/// Why not everything was sent.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// What is stored cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nobody takes the traces.
    #[error("cannot send traces to `{url}`: {reason}")]
    Unavailable {
        /// The receiver's address.
        url: String,
        /// What happened last.
        reason: String,
    },
    /// A bug.
    #[error("assembling traces ended: {0}")]
    Panic(#[from] tokio::task::JoinError),
}

/// How far an export of history has got, and what it did in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Traces that were sent, a trace told in parts once for each.
    pub traces: u64,
    /// Spans that the receiver has taken.
    pub spans: u64,
    /// Spans that it refused.
    pub refused: u64,
    /// Up to which time records were read.
    pub up_to_ns: i64,
}

/// Spans of one request.
#[derive(Debug, Default)]
struct Portion {
    spans: Vec<Span>,
    traces: u64,
    bytes: usize,
    up_to_ns: i64,
}

/// Sends the traces with a span in `range`; `progress` is called after each request.
///
/// # Errors
/// When the folder cannot be read or the receiver is out for half a minute; what `progress` told is sent.
pub async fn send_history(
    exporter: &mut Exporter,
    reader: Reader,
    config: Config,
    range: TimeRange,
    mut progress: impl FnMut(Exported),
) -> Result<Exported, HistoryError> {
    let (sender, mut portions) = mpsc::channel(AHEAD);
    let most = exporter.most;
    let assembling = tokio::task::spawn_blocking(move || assemble(&reader, &config, range, most, &sender));
    let mut done = Exported::default();
    while let Some(portion) = portions.recv().await {
        deliver(exporter, &portion.spans).await?;
        done.traces += portion.traces;
        done.spans = exporter.metrics.sent_spans();
        done.refused = exporter.metrics.refused_spans();
        done.up_to_ns = portion.up_to_ns;
        progress(done);
    }
    assembling.await??;
    Ok(done)
}

async fn deliver(exporter: &mut Exporter, spans: &[Span]) -> Result<(), HistoryError> {
    let mut rest = spans;
    while !rest.is_empty() {
        match exporter.send(rest).await {
            Attempt::Done(count) => rest = rest.get(count..).unwrap_or_default(),
            Attempt::Again(pause) => {
                if let Some(reason) = exporter.out_for(GIVE_UP) {
                    return Err(HistoryError::Unavailable { url: exporter.url().to_owned(), reason });
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
    Ok(())
}

/// Blocking. Fails when nobody takes the portions any more; why, is the sender's to tell.
fn assemble(
    reader: &Reader,
    config: &Config,
    range: TimeRange,
    most: usize,
    sender: &mpsc::Sender<Portion>,
) -> Result<(), HistoryError> {
    // Late lines are waited for, so that each span is told once, as it is in the end.
    let patient = Config {
        idle: Period(config.idle.0 + config.late.0),
        max_age: Period(config.max_age.0.max(config.idle.0 + config.late.0)),
        late: Period(Duration::ZERO),
        ..config.clone()
    };
    let mut portion = Portion::default();
    traces_of::<HistoryError>(&reader.snapshot()?, &patient, range, |closed: Closed, up_to_ns| {
        portion.up_to_ns = up_to_ns;
        for trace in closed.traces {
            portion.traces += 1;
            for span in trace.spans {
                portion.bytes += size(&span);
                portion.spans.push(span);
                if portion.spans.len() >= most || portion.bytes >= MAX_BYTES {
                    let full = std::mem::replace(&mut portion, Portion { up_to_ns, ..Portion::default() });
                    sender.blocking_send(full).map_err(|_| StoreError::Closed)?;
                }
            }
        }
        Ok(())
    })?;
    if !portion.spans.is_empty() {
        sender.blocking_send(portion).map_err(|_| StoreError::Closed)?;
    }
    Ok(())
}

/// Bytes of a span's texts, about.
fn size(span: &Span) -> usize {
    let attributes = span.attributes.iter().chain(span.events.iter().flat_map(|event| &event.attributes));
    let values = attributes.map(|attribute| match &attribute.value {
        Value::Text(text) => attribute.name.len() + text.len(),
        _ => attribute.name.len() + 8,
    });
    values.sum::<usize>() + span.events.iter().map(|event| event.name.len() + 16).sum::<usize>() + 256
}
