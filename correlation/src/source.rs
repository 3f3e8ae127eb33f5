//! Who wrote a line: a service of one container, as an OpenTelemetry resource shared by its lines.

use std::sync::Arc;

use store::record::attribute;
use store::{Labels, Record};
use xxhash_rust::xxh3::Xxh3;

use crate::hash::HashMap;
use crate::span::{Attribute, Resource, Value};

/// Resources remembered, about 500 bytes each. When there are more, all are forgotten and made again on demand.
const MAX_SOURCES: usize = 4_096;
/// What OpenTelemetry calls a service without a name.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Who wrote a line.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The same for the same service and container, always.
    pub(crate) key: u64,
    pub(crate) resource: Arc<Resource>,
}

/// Resources made so far.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    made: HashMap<u64, Arc<Resource>>,
    /// The last source of each set of labels, by its address, which the map keeps from being given to another.
    by_labels: HashMap<usize, Known>,
}

#[derive(Debug)]
struct Known {
    labels: Arc<Labels>,
    container_id: Box<str>,
    /// `None` for events of containers: they share the store with lines, but nobody logged them.
    source: Option<Source>,
}

impl Sources {
    /// Who wrote a record of the container `id`; `None` when nobody did.
    pub(crate) fn of(&mut self, record: &Record, id: &str) -> Option<Source> {
        let address = Arc::as_ptr(&record.labels).addr();
        if let Some(known) = self.by_labels.get(&address)
            && Arc::ptr_eq(&known.labels, &record.labels)
            && *known.container_id == *id
        {
            return known.source.clone();
        }
        let is_event = record.labels.get("stream") == Some(store::lifecycle::STREAM);
        let source = (!is_event).then(|| self.make(record, id));
        if self.by_labels.len() >= MAX_SOURCES {
            self.by_labels.clear();
        }
        let known =
            Known { labels: Arc::clone(&record.labels), container_id: id.into(), source: source.clone() };
        self.by_labels.insert(address, known);
        source
    }

    fn make(&mut self, record: &Record, id: &str) -> Source {
        let label = |name| record.labels.get(name).unwrap_or_default();
        let (host, namespace) = (label("host"), label("compose_project"));
        let (service, container) = (label("service_name"), label("container"));
        let mut hasher = Xxh3::new();
        for part in [host, namespace, service, container, id] {
            hasher.update(part.as_bytes());
            hasher.update(&[0xff]); // in no UTF-8 text, so that ("a", "b") is not ("ab", "")
        }
        let key = hasher.digest();
        if let Some(resource) = self.made.get(&key) {
            return Source { key, resource: Arc::clone(resource) };
        }
        let image = record.pair(attribute::IMAGE).unwrap_or_default();
        let attributes = [
            ("container.id", id),
            ("container.image.name", image),
            ("container.name", container),
            ("host.name", host),
            ("service.namespace", namespace),
        ];
        let attribute = |(name, value): (&str, &str)| Attribute {
            name: Arc::from(name),
            value: Value::Text(Arc::from(value)),
        };
        let service =
            [service, container].into_iter().find(|name| !name.is_empty()).unwrap_or(UNKNOWN_SERVICE);
        let resource = Arc::new(Resource {
            service: Arc::from(service),
            attributes: attributes.into_iter().filter(|(_, v)| !v.is_empty()).map(attribute).collect(),
        });
        if self.made.len() >= MAX_SOURCES {
            self.made.clear();
        }
        self.made.insert(key, Arc::clone(&resource));
        Source { key, resource }
    }
}
