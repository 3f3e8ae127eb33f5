//! Loki's `PushRequest` in protobuf.
//!
//! ```text
//! PushRequest { repeated Stream streams = 1 }
//! Stream      { string labels = 1; repeated Entry entries = 2 }
//! Entry       { Timestamp timestamp = 1; string line = 2; repeated Pair structured_metadata = 3 }
//! Timestamp   { int64 seconds = 1; int32 nanos = 2 }
//! Pair        { string name = 1; string value = 2 }
//! ```

use bytes::Bytes;

use super::error::PushError;
use super::records::{Entry, Request};
use super::selector;
use super::wire::{Value, fields, text};

pub(super) fn decode(body: &Bytes, request: &mut Request<'_>) -> Result<(), PushError> {
    let mut message = fields(body);
    while let Some((number, value)) = message.next()? {
        if let (1, Value::Bytes(stream)) = (number, value) {
            decode_stream(body, stream, request)?;
        }
    }
    Ok(())
}

fn decode_stream(body: &Bytes, stream: &[u8], request: &mut Request<'_>) -> Result<(), PushError> {
    // Labels may, by the wire format, stand behind the entries: they are looked for first.
    let mut labels = "";
    let mut message = fields(stream);
    while let Some((number, value)) = message.next()? {
        if let (1, Value::Bytes(bytes)) = (number, value) {
            labels = text(bytes, "the labels of a stream")?;
        }
    }
    match selector::parse(labels) {
        Ok(labels) => request.start_stream(labels),
        Err(e) => {
            let shown: String = labels.chars().take(256).collect();
            request.refuse_stream(format!("error parsing labels '{shown}' with error: {e}"));
        }
    }
    let mut message = fields(stream);
    while let Some((number, value)) = message.next()? {
        if let (2, Value::Bytes(entry)) = (number, value) {
            request.entry(decode_entry(body, entry)?)?;
        }
    }
    Ok(())
}

fn decode_entry(body: &Bytes, entry: &[u8]) -> Result<Entry, PushError> {
    let (mut timestamp_ns, mut line, mut metadata) = (0, Bytes::new(), Vec::new());
    let mut message = fields(entry);
    while let Some((number, value)) = message.next()? {
        match (number, value) {
            (1, Value::Bytes(timestamp)) => timestamp_ns = decode_timestamp(timestamp)?,
            (2, Value::Bytes(bytes)) => line = body.slice_ref(bytes),
            (3, Value::Bytes(pair)) => metadata.push(decode_pair(pair)?),
            _ => {}
        }
    }
    Ok(Entry { timestamp_ns, line, metadata, level: None })
}

fn decode_timestamp(timestamp: &[u8]) -> Result<i64, PushError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    let mut message = fields(timestamp);
    while let Some((number, value)) = message.next()? {
        match (number, value) {
            (1, Value::Varint(number)) => seconds = number.cast_signed(),
            (2, Value::Varint(number)) => nanos = number.cast_signed(),
            _ => {}
        }
    }
    seconds
        .checked_mul(1_000_000_000)
        .and_then(|ns| ns.checked_add(nanos))
        .ok_or_else(|| PushError::Bad(format!("the time `{seconds}` s is out of range")))
}

fn decode_pair(pair: &[u8]) -> Result<(String, String), PushError> {
    let (mut name, mut content) = (String::new(), String::new());
    let mut message = fields(pair);
    while let Some((number, value)) = message.next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => name = text(bytes, "a name of structured metadata")?.to_owned(),
            (2, Value::Bytes(bytes)) => content = String::from_utf8_lossy(bytes).into_owned(),
            _ => {}
        }
    }
    Ok((name, content))
}
