//! What a push over HTTP may bring: the config section `ingest.push`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::config::{ByteSize, Period};

/// What a push may bring, the config section `ingest.push`: a request over a limit is refused whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PushConfig {
    /// Largest body of a request, as sent.
    pub max_body_bytes: ByteSize,
    /// Largest body of a request, decompressed.
    pub max_decoded_bytes: ByteSize,
    /// Most lines in one request.
    pub max_entries: usize,
    /// Most different hours of log time that the lines of one request lie in: the lines of each are stored in a file of
    /// their own, so that a request spread over a century would make a million of them.
    pub max_hours: usize,
    /// Most requests that are decoded at once; further ones wait up to five seconds, then are answered 429 and tried
    /// again by their senders. The bodies of all requests on their way may take as much memory as that many of
    /// `max_body_bytes`.
    pub max_concurrent: usize,
    /// Most labels of one stream.
    pub max_labels: usize,
    /// Longest name of a label, in bytes.
    pub max_label_name_bytes: usize,
    /// Longest value of a label, in bytes.
    pub max_label_value_bytes: usize,
    /// Most pairs of structured metadata (or OTLP attributes) of one line.
    pub max_metadata_pairs: usize,
    /// Largest structured metadata of one line, names and values together.
    pub max_metadata_bytes: ByteSize,
    /// Lines older than this are refused; unset takes any age.
    pub max_age: Option<Period>,
    /// Lines further in the future than this are refused; unset takes any time.
    pub max_future: Option<Period>,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: ByteSize(16 << 20),
            max_decoded_bytes: ByteSize(64 << 20),
            max_entries: 200_000,
            max_hours: 1024,
            max_concurrent: 4,
            max_labels: 30,
            max_label_name_bytes: 1024,
            max_label_value_bytes: 2048,
            max_metadata_pairs: 128,
            max_metadata_bytes: ByteSize(64 << 10),
            max_age: None,
            max_future: None,
        }
    }
}

/// A body is held in memory as sent and as decoded, once for each of `max_concurrent` requests.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 1024..=(1 << 30);

impl PushConfig {
    /// What is wrong with the section: (path within the section, message) for each mistake.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (key, size) in
            [("max_body_bytes", self.max_body_bytes), ("max_decoded_bytes", self.max_decoded_bytes)]
        {
            if !BODY_BYTES.contains(&size.0) {
                let (low, high) = (ByteSize(*BODY_BYTES.start()), ByteSize(*BODY_BYTES.end()));
                wrong.push((key.to_owned(), format!("`{size}` is not between {low} and {high}")));
            }
        }
        for (key, number) in [
            ("max_entries", self.max_entries),
            ("max_hours", self.max_hours),
            ("max_concurrent", self.max_concurrent),
            ("max_labels", self.max_labels),
            ("max_label_name_bytes", self.max_label_name_bytes),
            ("max_label_value_bytes", self.max_label_value_bytes),
        ] {
            if number == 0 {
                wrong.push((key.to_owned(), "`0` would refuse every push; write 1 or more".to_owned()));
            }
        }
        wrong
    }
}
