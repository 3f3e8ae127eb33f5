//! What OTLP's logs mean here, whichever way they are written.
//!
//! As in Loki: a few attributes of the resource become labels, the others, those of the scope and of the record
//! become structured metadata, names with `_` for what no label name may hold.

use bytes::Bytes;
use store::record::attribute;

use super::error::PushError;
use super::records::{Entry, Request};
use crate::parse::level_of_otel_number;

/// Resource attributes that name where lines come from. Ids of instances and pods would make a stream of each
/// restart: they are metadata.
const LABELS: [&str; 16] = [
    "service.name",
    "service.namespace",
    "host.name",
    "deployment.environment",
    "deployment.environment.name",
    "container.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.container.name",
    "k8s.deployment.name",
    "k8s.daemonset.name",
    "k8s.statefulset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];
/// Names and values; nested attributes by path.
pub(super) type Attributes = Vec<(String, String)>;

/// One log record as OTLP has it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LogRecord {
    pub(super) time_ns: u64,
    pub(super) observed_time_ns: u64,
    pub(super) severity_number: u32,
    pub(super) severity_text: String,
    pub(super) body: Bytes,
    pub(super) attributes: Attributes,
    pub(super) flags: u32,
    /// In hexadecimal digits, empty for none.
    pub(super) trace_id: String,
    /// In hexadecimal digits, empty for none.
    pub(super) span_id: String,
    pub(super) event_name: String,
}

/// Starts the stream of a resource; gives back the attributes that all its lines carry.
pub(super) fn start_resource(resource: Attributes, request: &mut Request<'_>) -> Attributes {
    let (labels, metadata): (Attributes, Attributes) =
        resource.into_iter().partition(|(name, value)| LABELS.contains(&name.as_str()) && !value.is_empty());
    let mut labels: Attributes = labels.into_iter().map(|(name, value)| (label_name(&name), value)).collect();
    if !labels.iter().any(|(name, _)| name == "service_name") {
        // The protocol's own word for a resource without a name.
        labels.push(("service_name".to_owned(), "unknown_service".to_owned()));
    }
    request.start_stream(labels);
    metadata
}

/// The scope's pairs, after those of its resource.
pub(super) fn scope_attributes(
    resource: &Attributes,
    name: String,
    version: String,
    attributes: Attributes,
) -> Attributes {
    let mut all = resource.clone();
    all.push(("scope_name".to_owned(), name));
    all.push(("scope_version".to_owned(), version));
    all.extend(attributes);
    all
}

/// Hands a record over. `shared` are the pairs of its resource and scope.
pub(super) fn add(
    record: LogRecord,
    shared: &Attributes,
    request: &mut Request<'_>,
) -> Result<(), PushError> {
    let sent = [record.time_ns, record.observed_time_ns].into_iter().find(|ns| *ns > 0);
    let timestamp_ns = match sent {
        Some(ns) => match i64::try_from(ns) {
            Ok(ns) => ns,
            Err(_) => return request.refuse_entry(format!("the time `{ns}` ns is out of range")),
        },
        None => request.now_ns(),
    };
    let mut metadata = Attributes::new();
    let own = [
        (attribute::TRACE_ID.to_owned(), record.trace_id),
        (attribute::SPAN_ID.to_owned(), record.span_id),
        ("severity_text".to_owned(), record.severity_text),
        ("severity_number".to_owned(), text_unless_zero(record.severity_number)),
        ("flags".to_owned(), text_unless_zero(record.flags)),
        ("event_name".to_owned(), record.event_name),
    ];
    // The record's own pairs go before those of its surroundings.
    for (name, value) in own.into_iter().chain(record.attributes).chain(shared.iter().cloned()) {
        let name = label_name(&name);
        if !value.is_empty() && metadata.iter().all(|(earlier, _)| *earlier != name) {
            metadata.push((name, value));
        }
    }
    let level = level_of_otel_number(record.severity_number);
    request.entry(Entry { timestamp_ns, line: record.body, metadata, level })
}

fn text_unless_zero(number: u32) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

/// `service.name` as `service_name`.
fn label_name(name: &str) -> String {
    let mut label: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert(0, '_');
    }
    label
}

/// `name` under `parent`.
pub(super) fn path(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let (Ok(()) | Err(_)) = write!(out, "{byte:02x}");
        out
    })
}
