//! Who wrote a line: a service of one container, as an OpenTelemetry resource shared by its lines.

use std::collections::HashMap;
use std::sync::Arc;

use store::Record;
use store::record::attribute;
use xxhash_rust::xxh3::Xxh3;

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
pub(crate) struct Sources(HashMap<u64, Arc<Resource>>);

impl Sources {
    /// Who wrote a record.
    pub(crate) fn of(&mut self, record: &Record) -> Source {
        let label = |name| record.labels.get(name).unwrap_or_default();
        let (host, namespace) = (label("host"), label("compose_project"));
        let (service, container) = (label("service_name"), label("container"));
        let id = record.pair(attribute::CONTAINER_ID).unwrap_or_default();
        let mut hasher = Xxh3::new();
        for part in [host, namespace, service, container, id] {
            hasher.update(part.as_bytes());
            hasher.update(&[0xff]); // in no UTF-8 text, so that ("a", "b") is not ("ab", "")
        }
        let key = hasher.digest();
        if let Some(resource) = self.0.get(&key) {
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
        if self.0.len() >= MAX_SOURCES {
            self.0.clear();
        }
        self.0.insert(key, Arc::clone(&resource));
        Source { key, resource }
    }
}
