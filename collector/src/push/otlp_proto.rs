//! OTLP's `ExportLogsServiceRequest` in protobuf; field numbers as in `opentelemetry/proto/logs/v1/logs.proto`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::Value as Json;

use super::error::PushError;
use super::otlp::{self, Attributes, LogRecord, hex, path};
use super::records::Request;
use super::wire::{MAX_DEPTH, Value, fields, text};

pub(super) fn decode(body: &Bytes, request: &mut Request<'_>) -> Result<(), PushError> {
    let mut message = fields(body);
    while let Some((number, value)) = message.next()? {
        if let (1, Value::Bytes(resource_logs)) = (number, value) {
            decode_resource_logs(body, resource_logs, request)?;
        }
    }
    Ok(())
}

fn decode_resource_logs(body: &Bytes, bytes: &[u8], request: &mut Request<'_>) -> Result<(), PushError> {
    let mut attributes = Attributes::new();
    let mut message = fields(bytes);
    while let Some((number, value)) = message.next()? {
        if let (1, Value::Bytes(resource)) = (number, value) {
            decode_attributes(resource, 1, request, &mut attributes)?;
        }
    }
    let shared = otlp::start_resource(attributes, request);
    let mut message = fields(bytes);
    while let Some((number, value)) = message.next()? {
        if let (2, Value::Bytes(scope_logs)) = (number, value) {
            decode_scope_logs(body, scope_logs, &shared, request)?;
        }
    }
    Ok(())
}

fn decode_scope_logs(
    body: &Bytes,
    bytes: &[u8],
    resource: &Attributes,
    request: &mut Request<'_>,
) -> Result<(), PushError> {
    let (mut name, mut version, mut attributes) = (String::new(), String::new(), Attributes::new());
    let mut message = fields(bytes);
    while let Some((number, value)) = message.next()? {
        let (1, Value::Bytes(scope)) = (number, value) else { continue };
        let mut parts = fields(scope);
        while let Some((number, value)) = parts.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => name = text(bytes, "a scope's name")?.to_owned(),
                (2, Value::Bytes(bytes)) => version = text(bytes, "a scope's version")?.to_owned(),
                _ => {}
            }
        }
        decode_attributes(scope, 3, request, &mut attributes)?;
    }
    let shared = otlp::scope_attributes(resource, name, version, attributes);
    let mut message = fields(bytes);
    while let Some((number, value)) = message.next()? {
        if let (2, Value::Bytes(record)) = (number, value) {
            let record = decode_record(body, record, request)?;
            otlp::add(record, &shared, request)?;
        }
    }
    Ok(())
}

fn decode_record(body: &Bytes, bytes: &[u8], request: &Request<'_>) -> Result<LogRecord, PushError> {
    let mut record = LogRecord::default();
    let mut message = fields(bytes);
    while let Some((number, value)) = message.next()? {
        match (number, value) {
            (1, Value::Fixed64(ns)) => record.time_ns = ns,
            (11, Value::Fixed64(ns)) => record.observed_time_ns = ns,
            (2, Value::Varint(number)) => record.severity_number = u32::try_from(number).unwrap_or(0),
            (3, Value::Bytes(bytes)) => record.severity_text = text(bytes, "a severity")?.to_owned(),
            (5, Value::Bytes(value)) => record.body = decode_body(body, value)?,
            (8, Value::Fixed32(flags)) => record.flags = flags,
            (9, Value::Bytes(id)) => record.trace_id = decode_id(id, 16),
            (10, Value::Bytes(id)) => record.span_id = decode_id(id, 8),
            (12, Value::Bytes(bytes)) => record.event_name = text(bytes, "an event's name")?.to_owned(),
            _ => {}
        }
    }
    decode_attributes(bytes, 6, request, &mut record.attributes)?;
    Ok(record)
}

/// Ids of a wrong length or all zero mean "no id".
fn decode_id(id: &[u8], length: usize) -> String {
    if id.len() != length || id.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    hex(id)
}

/// The line: text as it is, anything else as JSON.
fn decode_body(body: &Bytes, value: &[u8]) -> Result<Bytes, PushError> {
    let mut message = fields(value);
    if let Some((1 | 7, Value::Bytes(bytes))) = message.next()?
        && message.next()?.is_none()
    {
        return Ok(body.slice_ref(bytes));
    }
    Ok(match decode_value(value, 0)? {
        Json::Null => Bytes::new(),
        Json::String(text) => text.into(),
        other => other.to_string().into(),
    })
}

/// The attributes that are the fields `wanted` of a message.
fn decode_attributes(
    message: &[u8],
    wanted: u64,
    request: &Request<'_>,
    out: &mut Attributes,
) -> Result<(), PushError> {
    let mut message = fields(message);
    while let Some((number, value)) = message.next()? {
        if number == wanted
            && let Value::Bytes(pair) = value
        {
            decode_pair("", pair, 0, request, out)?;
        }
    }
    Ok(())
}

fn decode_pair(
    parent: &str,
    pair: &[u8],
    depth: usize,
    request: &Request<'_>,
    out: &mut Attributes,
) -> Result<(), PushError> {
    let (mut name, mut value) = ("", &b""[..]);
    let mut message = fields(pair);
    while let Some(field) = message.next()? {
        match field {
            (1, Value::Bytes(bytes)) => name = text(bytes, "an attribute's name")?,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    let name = path(parent, name);
    request.check_attribute(out.len(), &name)?;
    let mut message = fields(value);
    while let Some((number, field)) = message.next()? {
        if let (6, Value::Bytes(list)) = (number, field) {
            if depth >= MAX_DEPTH {
                return Err(too_deep());
            }
            let mut pairs = fields(list);
            while let Some((number, pair)) = pairs.next()? {
                if let (1, Value::Bytes(pair)) = (number, pair) {
                    decode_pair(&name, pair, depth + 1, request, out)?;
                }
            }
            return Ok(());
        }
    }
    match decode_value(value, depth)? {
        Json::Null => {}
        Json::String(text) => out.push((name, text)),
        other => out.push((name, other.to_string())),
    }
    Ok(())
}

/// An `AnyValue` as JSON; bytes in base64, as in OTLP's JSON.
fn decode_value(value: &[u8], depth: usize) -> Result<Json, PushError> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let mut json = Json::Null;
    let mut message = fields(value);
    while let Some((number, value)) = message.next()? {
        json = match (number, value) {
            (1, Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into(),
            (2, Value::Varint(number)) => (number != 0).into(),
            (3, Value::Varint(number)) => number.cast_signed().into(),
            (4, Value::Fixed64(bits)) => f64::from_bits(bits).into(),
            (5, Value::Bytes(list)) => decode_list(list, depth)?,
            (6, Value::Bytes(list)) => decode_map(list, depth)?,
            (7, Value::Bytes(bytes)) => BASE64.encode(bytes).into(),
            _ => continue,
        };
    }
    Ok(json)
}

fn decode_list(list: &[u8], depth: usize) -> Result<Json, PushError> {
    let mut items = Vec::new();
    let mut message = fields(list);
    while let Some((number, value)) = message.next()? {
        if let (1, Value::Bytes(item)) = (number, value) {
            check_items(items.len())?;
            items.push(decode_value(item, depth + 1)?);
        }
    }
    Ok(items.into())
}

fn decode_map(list: &[u8], depth: usize) -> Result<Json, PushError> {
    let mut members = serde_json::Map::new();
    let mut message = fields(list);
    while let Some((number, value)) = message.next()? {
        let (1, Value::Bytes(pair)) = (number, value) else { continue };
        check_items(members.len())?;
        let (mut name, mut json) = (String::new(), Json::Null);
        let mut parts = fields(pair);
        while let Some(field) = parts.next()? {
            match field {
                (1, Value::Bytes(bytes)) => name = text(bytes, "an attribute's name")?.to_owned(),
                (2, Value::Bytes(value)) => json = decode_value(value, depth + 1)?,
                _ => {}
            }
        }
        members.insert(name, json);
    }
    Ok(members.into())
}

/// Most items of one list or map: two bytes of input make an item of a hundred.
const MAX_ITEMS: usize = 10_000;

fn check_items(items: usize) -> Result<(), PushError> {
    if items < MAX_ITEMS {
        return Ok(());
    }
    Err(PushError::Bad(format!("a list or map of more than {MAX_ITEMS} items")))
}

fn too_deep() -> PushError {
    PushError::Bad(format!("values nested deeper than {MAX_DEPTH}"))
}
