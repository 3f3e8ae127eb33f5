//! Settings of the export of traces: the config section `export`.
//!
//! They mean what OpenTelemetry's variables of the same name mean, which set them too (docs/export.md).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use store::config::Period;

/// Where traces are sent, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExportConfig {
    /// Base URL of an OTLP receiver, for example `http://127.0.0.1:4318` (HTTP) or `http://127.0.0.1:4317`
    /// (gRPC); `https` uses TLS. Over HTTP `/v1/traces` is added. Unset: nothing is sent.
    pub endpoint: Option<String>,
    /// URL that traces are sent to as it is, instead of `endpoint`.
    pub traces_endpoint: Option<String>,
    /// How they are sent: `http/protobuf` or `grpc`.
    pub protocol: Protocol,
    /// Sent with every request: a mapping, or `name=value,name=value` with the values percent-encoded. Never
    /// shown.
    pub headers: Headers,
    /// How requests are compressed: `gzip` or `none`.
    pub compression: Compression,
    /// How long a request may take before it is taken as failed and made again.
    pub timeout: Period,
    /// File (PEM) with the certificates to trust instead of the system's.
    pub certificate: Option<PathBuf>,
    /// The most spans of one request, which is also the most that a process killed while it waits for an
    /// answer sends again.
    pub batch_spans: usize,
    /// Whether spans of Binnacle's own work (rounds of collection, building of blocks, queries) are sent too.
    pub own_spans: bool,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            traces_endpoint: None,
            protocol: Protocol::default(),
            headers: Headers::default(),
            compression: Compression::default(),
            timeout: Period(Duration::from_secs(10)),
            certificate: None,
            batch_spans: 512,
            own_spans: false,
        }
    }
}

/// Shorter fails on every hiccup, longer keeps a dead connection.
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
/// More does not make requests cheaper.
const MAX_BATCH_SPANS: usize = 8192;

impl ExportConfig {
    /// Whether traces are sent at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.endpoint.is_some() || self.traces_endpoint.is_some()
    }

    /// The URL that requests go to; `None` when nothing is sent.
    pub(super) fn url(&self) -> Option<String> {
        if let Some(url) = &self.traces_endpoint {
            return Some(url.clone());
        }
        let base = self.endpoint.as_deref()?;
        Some(match self.protocol {
            Protocol::Grpc => base.to_owned(),
            Protocol::HttpProtobuf => format!("{}/v1/traces", base.trim_end_matches('/')),
        })
    }

    /// What is wrong with the section: (path within the section, message) for each mistake.
    #[must_use]
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for (key, url) in [("endpoint", &self.endpoint), ("traces_endpoint", &self.traces_endpoint)] {
            if let Some(url) = url
                && let Err(why) = check_url(url)
            {
                wrong.push((key.to_owned(), format!("`{url}` {why}")));
            }
        }
        if let Err(name) = self.headers.to_http() {
            wrong.push((
                "headers".to_owned(),
                format!("`{name}` cannot be the name of a header, or not with its value"),
            ));
        }
        if !TIMEOUT.contains(&self.timeout.0) {
            let (low, high) = (Period(*TIMEOUT.start()), Period(*TIMEOUT.end()));
            wrong.push(("timeout".to_owned(), format!("`{}` is not between {low} and {high}", self.timeout)));
        }
        if self.batch_spans == 0 || self.batch_spans > MAX_BATCH_SPANS {
            let message = format!("`{}` is not between 1 and {MAX_BATCH_SPANS}", self.batch_spans);
            wrong.push(("batch_spans".to_owned(), message));
        }
        wrong
    }
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is no URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("does not begin with `http://` or `https://`");
    }
    if uri.host().is_none_or(str::is_empty) { Err("names no host") } else { Ok(()) }
}

/// A way of speaking OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// Protobuf over HTTP.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip: spans shrink to about a tenth.
    #[default]
    Gzip,
}

/// Names and values of headers. The values are secrets: they are read, but never written.
#[derive(Clone, Default, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct Headers(BTreeMap<String, String>);

impl Headers {
    /// `name=value,name=value`, with percent-encoded values, as OpenTelemetry's variables have it.
    ///
    /// # Errors
    /// With the part that has no `=`.
    fn parse(text: &str) -> Result<Self, String> {
        let mut headers = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| "a header without `=`".to_owned())?;
            let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8_lossy();
            headers.insert(name.trim().to_owned(), value.into_owned());
        }
        Ok(Self(headers))
    }

    /// As HTTP has them.
    ///
    /// # Errors
    /// With the name of a header that HTTP cannot carry.
    pub(super) fn to_http(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let pair = |(name, value): (&String, &String)| {
            let key = name.parse::<HeaderName>().ok()?;
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((key, value))
        };
        self.0.iter().map(|header| pair(header).ok_or_else(|| header.0.clone())).collect()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.keys().map(|name| (name, "(hidden)")))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "neither a mapping of names to values nor `name=value,name=value`")]
        enum Written {
            Map(BTreeMap<String, String>),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Map(headers) => Ok(Self(headers)),
            Written::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ExportConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn urls_follow_opentelemetry() {
        let url = |text: &str| config(text).url();
        assert_eq!(url("{}"), None);
        assert_eq!(
            url(r#"{"endpoint":"http://h:4318/otlp/"}"#).as_deref(),
            Some("http://h:4318/otlp/v1/traces")
        );
        assert_eq!(
            url(r#"{"endpoint":"http://h:4317","protocol":"grpc"}"#).as_deref(),
            Some("http://h:4317")
        );
        let both = r#"{"endpoint":"http://h:4318","traces_endpoint":"https://t/mine"}"#;
        assert_eq!(url(both).as_deref(), Some("https://t/mine"));
    }

    #[test]
    fn headers_are_read_in_both_ways_and_their_values_are_never_shown() {
        for text in
            [r#""authorization=Bearer%20x, tenant=7""#, r#"{"authorization":"Bearer x","tenant":"7"}"#]
        {
            let headers: Headers = serde_json::from_str(text).unwrap();
            let sent = headers.to_http().unwrap();
            assert_eq!(sent[0].1, "Bearer x");
            assert_eq!(sent[1].0, "tenant");
            let shown = format!("{headers:?}{}", serde_json::to_string(&headers).unwrap());
            assert!(!shown.contains("Bearer"), "{shown}");
        }
        assert!(serde_json::from_str::<Headers>(r#""no equals sign""#).is_err());
    }

    #[test]
    fn mistakes_are_named_all_at_once() {
        assert_eq!(ExportConfig::default().validate(), []);
        let wrong = config(
            r#"{"endpoint":"localhost:4317","traces_endpoint":"ftp://x","headers":{"a b":"c"},"batch_spans":0,"timeout":"1ms"}"#,
        );
        let paths: Vec<String> = wrong.validate().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["endpoint", "traces_endpoint", "headers", "timeout", "batch_spans"]);
    }
}
