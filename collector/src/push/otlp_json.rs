//! OTLP's `ExportLogsServiceRequest` in JSON: names in camel case, 64-bit numbers as text, ids in hexadecimal.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::error::PushError;
use super::otlp::{self, Attributes, LogRecord, path};
use super::records::Request;
use super::wire::MAX_DEPTH;

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Export<'a> {
    #[serde(borrow)]
    resource_logs: Vec<ResourceLogs<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ResourceLogs<'a> {
    resource: Resource,
    #[serde(borrow)]
    scope_logs: Vec<ScopeLogs<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ScopeLogs<'a> {
    scope: Scope,
    /// Decoded one by one, so that the limits hold before memory is taken.
    #[serde(borrow)]
    log_records: Vec<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Scope {
    name: String,
    version: String,
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct JsonRecord {
    time_unix_nano: Number,
    observed_time_unix_nano: Number,
    severity_number: Number,
    severity_text: String,
    body: Json,
    attributes: Vec<KeyValue>,
    flags: Number,
    trace_id: String,
    span_id: String,
    event_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct KeyValue {
    key: String,
    value: Json,
}

/// An unsigned number, written as one or as text.
#[derive(Default)]
struct Number(u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Json::deserialize(deserializer)?;
        let number = match &value {
            Json::Null => Some(0),
            Json::Number(number) => number.as_u64(),
            Json::String(text) => text.parse().ok(),
            _ => None,
        };
        number
            .map(Number)
            .ok_or_else(|| serde::de::Error::custom(format_args!("`{value}` is no unsigned number")))
    }
}

pub(super) fn decode(body: &Bytes, request: &mut Request<'_>) -> Result<(), PushError> {
    let wrong = |e: serde_json::Error| PushError::Bad(format!("the body is no logs export: {e}"));
    let export: Export<'_> = serde_json::from_slice(body).map_err(wrong)?;
    for resource_logs in export.resource_logs {
        let attributes = flatten(resource_logs.resource.attributes, request)?;
        let resource = otlp::start_resource(attributes, request);
        for scope_logs in resource_logs.scope_logs {
            let Scope { name, version, attributes } = scope_logs.scope;
            let shared = otlp::scope_attributes(&resource, name, version, flatten(attributes, request)?);
            for record in scope_logs.log_records {
                let record = serde_json::from_str(record.get()).map_err(wrong)?;
                otlp::add(log_record(record, request)?, &shared, request)?;
            }
        }
    }
    Ok(())
}

fn log_record(record: JsonRecord, request: &Request<'_>) -> Result<LogRecord, PushError> {
    let body = match plain(record.body, 0)? {
        Json::Null => Bytes::new(),
        Json::String(text) => text.into(),
        other => other.to_string().into(),
    };
    Ok(LogRecord {
        time_ns: record.time_unix_nano.0,
        observed_time_ns: record.observed_time_unix_nano.0,
        severity_number: u32::try_from(record.severity_number.0).unwrap_or(0),
        severity_text: record.severity_text,
        body,
        attributes: flatten(record.attributes, request)?,
        flags: u32::try_from(record.flags.0).unwrap_or(0),
        trace_id: id(record.trace_id, 32),
        span_id: id(record.span_id, 16),
        event_name: record.event_name,
    })
}

/// Ids of a wrong length, of other characters or all zero mean "no id".
fn id(mut text: String, length: usize) -> String {
    let valid = text.len() == length
        && text.bytes().all(|b| b.is_ascii_hexdigit())
        && text.bytes().any(|b| b != b'0');
    if !valid {
        return String::new();
    }
    text.make_ascii_lowercase();
    text
}

fn flatten(attributes: Vec<KeyValue>, request: &Request<'_>) -> Result<Attributes, PushError> {
    let mut out = Attributes::new();
    for attribute in attributes {
        flatten_value(attribute.key, plain(attribute.value, 0)?, request, &mut out)?;
    }
    Ok(out)
}

fn flatten_value(
    name: String,
    value: Json,
    request: &Request<'_>,
    out: &mut Attributes,
) -> Result<(), PushError> {
    request.check_attribute(out.len(), &name)?;
    match value {
        Json::Null => {}
        Json::Object(members) => {
            for (member, value) in members {
                flatten_value(path(&name, &member), value, request, out)?;
            }
        }
        Json::String(text) => out.push((name, text)),
        other => out.push((name, other.to_string())),
    }
    Ok(())
}

/// An `AnyValue` (`{"stringValue":"x"}`) as the JSON it stands for.
fn plain(value: Json, depth: usize) -> Result<Json, PushError> {
    let Json::Object(members) = value else { return Ok(Json::Null) };
    if depth > MAX_DEPTH {
        return Err(PushError::Bad(format!("values nested deeper than {MAX_DEPTH}")));
    }
    let Some((kind, value)) = members.into_iter().next() else { return Ok(Json::Null) };
    Ok(match kind.as_str() {
        "stringValue" | "boolValue" | "doubleValue" | "bytesValue" => value,
        "intValue" => match value.as_str().and_then(|text| text.parse::<i64>().ok()) {
            Some(number) => number.into(),
            None => value,
        },
        "arrayValue" => {
            let mut items = Vec::new();
            for item in values_of(value) {
                items.push(plain(item, depth + 1)?);
            }
            items.into()
        }
        "kvlistValue" => {
            let mut members = serde_json::Map::new();
            for mut pair in values_of(value) {
                let name = pair.get("key").and_then(Json::as_str).unwrap_or_default().to_owned();
                let value = pair.get_mut("value").map(Json::take).unwrap_or_default();
                members.insert(name, plain(value, depth + 1)?);
            }
            members.into()
        }
        _ => Json::Null,
    })
}

/// The items of `{"values":[...]}`.
fn values_of(mut value: Json) -> Vec<Json> {
    match value.get_mut("values").map(Json::take) {
        Some(Json::Array(items)) => items,
        _ => Vec::new(),
    }
}
