//! Spans of Binnacle's own work: a layer of `tracing` that hands finished ones to the exporter.
//!
//! Only spans whose target is [`store::WORK`] count: rounds of collection, building of blocks, queries. Nothing
//! that sends spans has that target, so sending never makes more of them. They are not kept on disk: what the
//! receiver does not take at once is dropped and counted.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use correlation::{Attribute, Kind, Resource, Span, SpanId, Status, TraceId, Value};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use xxhash_rust::xxh3::xxh3_128;

/// Finished spans that wait to be sent, which happens every second; more are dropped and counted.
const WAITING: usize = 1024;

/// Takes in finished spans.
#[derive(Debug)]
pub struct Recorder {
    sender: mpsc::Sender<Span>,
    resource: Arc<Resource>,
    dropped: Arc<AtomicU64>,
    /// Tells the ids of this process from those of others, and its own from each other.
    begun_ns: i64,
    next: AtomicU64,
}

/// Finished spans on their way to the exporter.
#[derive(Debug)]
pub struct OwnSpans {
    spans: mpsc::Receiver<Span>,
    dropped: Arc<AtomicU64>,
}

/// A recorder and where its spans come out.
#[must_use]
pub fn own_spans() -> (Recorder, OwnSpans) {
    let (sender, spans) = mpsc::channel(WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let text = |name: &str, value: &str| Attribute { name: name.into(), value: Value::Text(value.into()) };
    let resource = Resource {
        service: "binnacle".into(),
        attributes: vec![text("service.version", env!("CARGO_PKG_VERSION"))],
    };
    let recorder = Recorder {
        sender,
        resource: Arc::new(resource),
        dropped: Arc::clone(&dropped),
        begun_ns: now_ns(),
        next: AtomicU64::new(0),
    };
    (recorder, OwnSpans { spans, dropped })
}

impl OwnSpans {
    /// Those that are finished, at most `most`, and how many found no room.
    pub(super) fn take(&mut self, most: usize) -> (Vec<Span>, u64) {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Ok(span) = self.spans.try_recv()
        {
            taken.push(span);
        }
        (taken, self.dropped.swap(0, Ordering::Relaxed))
    }
}

/// A span that is not finished.
struct Started {
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: Option<SpanId>,
    start_ns: i64,
    fields: Fields,
}

impl Recorder {
    fn id(&self) -> [u8; 16] {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut seed = [0; 20];
        seed[..8].copy_from_slice(&self.begun_ns.to_le_bytes());
        seed[8..16].copy_from_slice(&number.to_le_bytes());
        seed[16..].copy_from_slice(&std::process::id().to_le_bytes());
        xxh3_128(&seed).max(1).to_be_bytes()
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let parent = span.parent();
        let parent = parent.as_ref().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Started>().map(|started| (started.trace_id, started.span_id))
        });
        let own = self.id();
        let mut span_id = [0; 8];
        span_id.copy_from_slice(&own[8..]);
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(Started {
            trace_id: parent.map_or(TraceId(own), |(trace_id, _)| trace_id),
            span_id: SpanId(span_id),
            parent_id: parent.map(|(_, span_id)| span_id),
            start_ns: now_ns(),
            fields,
        });
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(started) = span.extensions_mut().get_mut::<Started>() {
            values.record(&mut started.fields);
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(started) = span.extensions_mut().remove::<Started>() else { return };
        let finished = Span {
            trace_id: started.trace_id,
            span_id: started.span_id,
            parent_id: started.parent_id,
            name: span.name().to_owned(),
            kind: if span.name() == "query" { Kind::Server } else { Kind::Internal },
            end_ns: now_ns().max(started.start_ns),
            start_ns: started.start_ns,
            status: Status::Unset,
            resource: Arc::clone(&self.resource),
            attributes: started.fields.0,
            events: Vec::new(),
        };
        if self.sender.try_send(finished).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The fields of a span as attributes.
#[derive(Default)]
struct Fields(Vec<Attribute>);

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.0.push(Attribute { name: field.name().into(), value });
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::Int(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::Text(value.into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, Value::Text(format!("{value:?}").into()));
    }
}

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn only_spans_of_the_work_come_out_with_their_parents_and_fields() {
        let (recorder, mut own) = own_spans();
        let layer = recorder.with_filter(filter_fn(|metadata| metadata.target() == store::WORK));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let round = tracing::info_span!(target: store::WORK, "round", containers = 3_u64);
            let _in_round = round.enter();
            let _sending = tracing::info_span!("sending").entered();
            drop(tracing::info_span!(target: store::WORK, "part", kind = "json"));
        });
        let (spans, dropped) = own.take(10);
        assert_eq!((spans.len(), dropped), (2, 0), "{spans:?}");
        let (part, round) = (&spans[0], &spans[1]);
        assert_eq!((part.name.as_str(), part.trace_id), ("part", round.trace_id));
        assert_eq!((part.parent_id, round.parent_id), (Some(round.span_id), None));
        assert_eq!(round.attributes, [Attribute { name: "containers".into(), value: Value::Int(3) }]);
    }

    #[test]
    fn what_nobody_takes_is_bounded_and_counted() {
        let (recorder, mut own) = own_spans();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(recorder), || {
            for _ in 0..WAITING + 5 {
                drop(tracing::info_span!(target: store::WORK, "round"));
            }
        });
        let (spans, dropped) = own.take(usize::MAX);
        assert_eq!((spans.len(), dropped), (WAITING, 5));
    }
}
