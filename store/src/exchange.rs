//! Records as lines of JSON: what `binnacle export` writes and `binnacle ingest` reads back.
//!
//! The invariant: what is read is what was written, in every byte. One record a line, each line complete in itself,
//! so that an export may be cut, filtered and joined with ordinary tools:
//! `{"binnacle_record":1,"timestamp":"<RFC 3339, ns>","labels":{…},"line":"…","level":"info","given":{…},"derived":{…}}`
//!
//! Bytes of a line that are not UTF-8 are U+FFFD in `line`; the line itself then stands in `line_base64`. `level`
//! is left out when nobody looked for one. `given` and `derived` are the record's pairs by [`Origin`]; empty ones
//! are left out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize};

use crate::{Labels, Level, Origin, Pair, Record};

/// How every line of an export begins; tells an export from a log.
pub const MARK: &[u8] = br#"{"binnacle_record":"#;
/// The only version there is.
const VERSION: u8 = 1;
static TIMES: DateTimePrinter = DateTimePrinter::new().precision(Some(9));

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// It has another shape.
    #[error("no record of an export: {0}")]
    Shape(#[from] serde_json::Error),
    /// A newer binnacle wrote it.
    #[error("a record of version {0}, which a newer binnacle reads")]
    Version(u8),
    /// A value has the right type and means nothing.
    #[error("no record of an export: `{field}`: {reason}")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    binnacle_record: u8,
    timestamp: String,
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    line: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    level: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    given: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    derived: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

/// The record as a line of JSON, without a line end.
///
/// # Errors
/// Never for a record of a store.
pub fn to_line(record: &Record) -> Result<Vec<u8>, ExchangeError> {
    let time = Timestamp::from_nanosecond(i128::from(record.timestamp_ns))
        .map_err(|error| wrong("timestamp", &error))?;
    let text = String::from_utf8_lossy(&record.line);
    let line_base64 = matches!(text, Cow::Owned(_)).then(|| STANDARD.encode(&record.line));
    let pairs_of = |origin| {
        let pairs = record.pairs.iter().filter(|pair| pair.origin == origin);
        pairs.map(|pair| (Cow::from(pair.name.as_ref()), Cow::from(pair.value.as_ref()))).collect()
    };
    Ok(serde_json::to_vec(&Line {
        binnacle_record: VERSION,
        timestamp: TIMES.timestamp_to_string(&time),
        labels: record.labels.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        line: text,
        line_base64,
        level: record.level.name().map(Cow::from),
        given: pairs_of(Origin::Given),
        derived: pairs_of(Origin::Derived),
    })?)
}

/// The record of a line that [`to_line`] wrote; its pairs are sorted.
///
/// # Errors
/// When the line is none of these.
pub fn of_line(line: &[u8]) -> Result<Record, ExchangeError> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    if line.binnacle_record != VERSION {
        return Err(ExchangeError::Version(line.binnacle_record));
    }
    let time: Timestamp = line.timestamp.parse().map_err(|error: jiff::Error| wrong("timestamp", &error))?;
    let timestamp_ns = i64::try_from(time.as_nanosecond()).map_err(|error| wrong("timestamp", &error))?;
    let level = match &line.level {
        None => Level::Unset,
        Some(name) => Level::ALL
            .into_iter()
            .find(|level| level.name() == Some(name))
            .ok_or_else(|| wrong("level", &format!("`{name}` is none")))?,
    };
    let bytes = match line.line_base64 {
        Some(original) => STANDARD.decode(original).map_err(|error| wrong("line_base64", &error))?,
        None => line.line.into_owned().into_bytes(),
    };
    let given = line.given.into_iter().map(|pair| (Origin::Given, pair));
    let derived = line.derived.into_iter().map(|pair| (Origin::Derived, pair));
    let pairs = given
        .chain(derived)
        .map(|(origin, (name, value))| Pair { origin, name: name.into(), value: value.into() })
        .collect();
    Ok(Record { timestamp_ns, labels: Arc::new(Labels::new(line.labels)), line: bytes.into(), level, pairs })
}

fn wrong(field: &'static str, reason: &dyn std::fmt::Display) -> ExchangeError {
    ExchangeError::Value { field, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = Record> {
        let name = prop_oneof!["[a-z_]{1,4}", Just("level".to_owned()), any::<String>()];
        let origin = prop_oneof![Just(Origin::Given), Just(Origin::Derived)];
        let pair = (origin, name, any::<String>()).prop_map(|(origin, name, value)| Pair {
            origin,
            name: name.into(),
            value: value.into(),
        });
        let line = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            any::<String>().prop_map(String::into_bytes),
            Just(b"\xef\xbf\xbd \x00\x1b[31m\r\n\t\"\\".to_vec()),
            Just(MARK.to_vec()),
        ];
        let labels = prop::collection::vec(("[a-z]{1,3}", any::<String>()), 0..3);
        (any::<i64>(), line, 0..Level::COUNT, prop::collection::vec(pair, 0..5), labels).prop_map(
            |(timestamp_ns, line, level, mut pairs, labels)| {
                pairs.sort();
                pairs.dedup_by(|b, a| (a.origin, &a.name) == (b.origin, &b.name));
                let labels = Arc::new(Labels::new(labels));
                Record { timestamp_ns, labels, line: line.into(), level: Level::ALL[level], pairs }
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_written(record in record()) {
            let line = to_line(&record).unwrap();
            prop_assert!(line.starts_with(MARK));
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(of_line(&line).unwrap(), record);
        }

        #[test]
        fn a_changed_line_is_an_error_or_another_record_and_no_panic(
            record in record(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut line = to_line(&record).unwrap();
            let at = at.index(line.len());
            line[at] = byte;
            let (Ok(_) | Err(_)) = of_line(&line);
            prop_assert!(of_line(&line[..at]).is_err());
        }
    }

    #[test]
    fn the_form_is_as_documented() {
        let record = Record {
            timestamp_ns: 1_700_000_000_000_000_001,
            labels: Arc::new(Labels::new([("service_name", "pay")])),
            line: b"caf\xe9"[..].into(),
            level: Level::Error,
            pairs: vec![Pair { origin: Origin::Derived, name: "trace_id".into(), value: "4bf9".into() }],
        };
        assert_eq!(
            String::from_utf8(to_line(&record).unwrap()).unwrap(),
            "{\"binnacle_record\":1,\"timestamp\":\"2023-11-14T22:13:20.000000001Z\",\"labels\":{\"service_name\":\"pay\"},\
             \"line\":\"caf\u{fffd}\",\"line_base64\":\"Y2Fm6Q==\",\"level\":\"error\",\"derived\":{\"trace_id\":\"4bf9\"}}"
        );
    }

    #[test]
    fn what_is_no_record_is_named() {
        let line = |rest: &str| {
            format!(
                r#"{{"binnacle_record":1,"timestamp":"2023-11-14T22:13:20Z","labels":{{}},"line":"a"{rest}}}"#
            )
        };
        assert!(of_line(line("").as_bytes()).is_ok());
        for (line, expected) in [
            (line("").replace(":1,", ":2,"), "a record of version 2, which a newer binnacle reads"),
            (line(r#","level":"eror""#), "no record of an export: `level`: `eror` is none"),
            (line(r#","levle":"error""#), "unknown field `levle`"),
            (line(r#","line_base64":"?""#), "`line_base64`: Invalid symbol"),
            (line("").replace("2023-11-14T22:13:20Z", "9000-01-01T00:00:00Z"), "`timestamp`: out of range"),
            (String::new(), "EOF"),
        ] {
            let error = of_line(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} / {expected}");
        }
    }
}
