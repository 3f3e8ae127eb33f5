//! A record found, as every answer shows it: in process, over HTTP and on the command line alike.
//!
//! As JSON: `{"timestamp":"<RFC 3339, ns>","line":"…","labels":{…},"metadata":{…}}`. Bytes of a line that
//! are not UTF-8 become U+FFFD; the line itself then follows in `line_base64`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use store::{Labels, Level, Origin, Record};

use crate::time;

/// Name under which a record's level stands among its metadata.
pub const LEVEL: &str = "level";

/// One record found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// When it was logged, in nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// Bytes as logged.
    pub line: Vec<u8>,
    /// Labels of its stream.
    pub labels: Arc<Labels>,
    /// Its level and its pairs, by name; of equal names the sender's.
    pub metadata: Vec<(String, String)>,
}

impl Hit {
    /// The hit for a record that has just been committed.
    #[must_use]
    pub fn of_record(record: &Record) -> Self {
        let pairs = record.pairs.iter().map(|p| (p.origin, p.name.as_ref(), p.value.as_ref()));
        Self {
            timestamp_ns: record.timestamp_ns,
            line: record.line.to_vec(),
            labels: Arc::clone(&record.labels),
            metadata: metadata(record.level, pairs),
        }
    }

    /// The metadata value of `name`.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Bytes the hit occupies in memory, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let metadata: usize = self.metadata.iter().map(|(n, v)| n.len() + v.len() + 48).sum();
        self.line.len() + metadata + 128
    }
}

/// Level and pairs as an answer shows them: sorted, each name once.
pub(crate) fn metadata<'a>(
    level: Level,
    pairs: impl Iterator<Item = (Origin, &'a str, &'a str)>,
) -> Vec<(String, String)> {
    let mut all: Vec<(&str, Origin, &str)> =
        pairs.map(|(origin, name, value)| (name, origin, value)).collect();
    if let Some(name) = level.name() {
        all.push((LEVEL, Origin::Derived, name));
    }
    all.sort_by_key(|(name, origin, _)| (*name, *origin));
    all.dedup_by_key(|(name, ..)| *name);
    all.into_iter().map(|(name, _, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Name-value pairs in the order given, as a JSON object.
struct Object<'a>(&'a [(String, String)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Labels as a JSON object.
pub(crate) struct LabelMap<'a>(pub(crate) &'a Labels);

impl Serialize for LabelMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

impl Serialize for Hit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8_lossy(&self.line);
        let original = matches!(text, std::borrow::Cow::Owned(_)).then(|| STANDARD.encode(&self.line));
        let mut object = serializer.serialize_struct("Hit", 4 + usize::from(original.is_some()))?;
        object.serialize_field("timestamp", &time::rfc3339(self.timestamp_ns))?;
        object.serialize_field("line", &text)?;
        if let Some(original) = original {
            object.serialize_field("line_base64", &original)?;
        }
        object.serialize_field("labels", &LabelMap(&self.labels))?;
        object.serialize_field("metadata", &Object(&self.metadata))?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for Hit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Written {
            timestamp: String,
            line: String,
            line_base64: Option<String>,
            labels: std::collections::BTreeMap<String, String>,
            #[serde(default)]
            metadata: std::collections::BTreeMap<String, String>,
        }
        let written = Written::deserialize(deserializer)?;
        let line = match written.line_base64 {
            Some(original) => STANDARD.decode(original).map_err(D::Error::custom)?,
            None => written.line.into_bytes(),
        };
        Ok(Self {
            timestamp_ns: time::parse(&written.timestamp, 0).map_err(D::Error::custom)?,
            line,
            labels: Arc::new(Labels::new(written.labels)),
            metadata: written.metadata.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(line: &[u8]) -> Hit {
        Hit {
            timestamp_ns: 1_700_000_000_000_000_001,
            line: line.to_vec(),
            labels: Arc::new(Labels::new([("service_name", "checkout")])),
            metadata: metadata(Level::Error, [(Origin::Derived, "trace_id", "4bf9")].into_iter()),
        }
    }

    #[test]
    fn a_hit_is_written_as_the_contract_says() {
        let json = serde_json::to_string(&hit(b"paid \"all\"")).unwrap();
        assert_eq!(
            json,
            r#"{"timestamp":"2023-11-14T22:13:20.000000001Z","line":"paid \"all\"","labels":{"service_name":"checkout"},"metadata":{"level":"error","trace_id":"4bf9"}}"#
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_survive() {
        let original = hit(b"caf\xe9");
        let json = serde_json::to_string(&original).unwrap();
        assert!(json.contains("\"line\":\"caf\u{fffd}\",\"line_base64\":\"Y2Fm6Q==\""), "{json}");
        assert_eq!(serde_json::from_str::<Hit>(&json).unwrap(), original);
    }

    #[test]
    fn of_equal_names_the_senders_value_is_shown() {
        let pairs = [
            (Origin::Derived, "level", "x"),
            (Origin::Given, "trace_id", "b"),
            (Origin::Derived, "trace_id", "a"),
        ];
        let shown = metadata(Level::Unset, pairs.into_iter());
        assert_eq!(shown, [("level".to_owned(), "x".to_owned()), ("trace_id".to_owned(), "b".to_owned())]);
    }
}
