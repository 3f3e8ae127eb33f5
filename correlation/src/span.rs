//! A span and what belongs to it, in OpenTelemetry's terms.
//!
//! Times are nanoseconds since the Unix epoch. Names of attributes follow OpenTelemetry's semantic conventions.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A W3C trace id: 16 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TraceId(pub [u8; 16]);

/// A W3C span id: 8 bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// Reads up to 32 hexadecimal digits, shorter ones as if zeros stood before them; `None` for anything else
    /// and for zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl SpanId {
    /// Reads up to 16 hexadecimal digits, shorter ones as if zeros stood before them; `None` for anything else
    /// and for zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_hex(text).map(Self)
    }
}

impl fmt::Display for TraceId {
    /// 32 hexadecimal digits in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    /// 16 hexadecimal digits in lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    f.write_str(std::str::from_utf8(&text[..2 * bytes.len()]).unwrap_or_default())
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.is_empty() || text.len() > 2 * N {
        return None;
    }
    let value = |digit: u8| HEX_VALUES[usize::from(digit)];
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().rev().zip(text.as_bytes().rchunks(2)) {
        let (high, low) = match *pair {
            [high, low] => (value(high), value(low)),
            [low] => (0, value(low)),
            _ => return None,
        };
        if high | low == NO_DIGIT {
            return None;
        }
        *byte = high << 4 | low;
    }
    (bytes != [0; N]).then_some(bytes)
}

/// Of a byte that is no hexadecimal digit: all bits, so that they show in a pair of values.
const NO_DIGIT: u8 = 0xff;
/// The value of each byte as a hexadecimal digit.
const HEX_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Not told.
    #[default]
    Internal,
    /// Answers a request.
    Server,
    /// Asks another service.
    Client,
    /// Sends a message.
    Producer,
    /// Takes a message.
    Consumer,
}

impl Kind {
    /// `internal`, `server`, ...
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// What came of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not told.
    #[default]
    Unset,
    /// Said to have gone well.
    Ok,
    /// Failed, with the message of the line that says so.
    Error(String),
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any number.
    Float(f64),
    /// A text.
    Text(Arc<str>),
}

/// A named value of a span, of an event or of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// `http.response.status_code`
    pub name: Arc<str>,
    /// Its value.
    pub value: Value,
}

/// Who made a span: a service of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// `service.name`
    pub service: Arc<str>,
    /// The rest: `service.namespace`, `container.id`, `container.name`, `host.name`, ... by name.
    pub attributes: Vec<Attribute>,
}

/// A log line of a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it was logged.
    pub time_ns: i64,
    /// The message.
    pub name: String,
    /// `log.severity` and what else is known, by name.
    pub attributes: Vec<Attribute>,
}

/// One service's part in a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// As logged, or made from what the span is: the same lines make the same id.
    pub span_id: SpanId,
    /// `None` for the root.
    pub parent_id: Option<SpanId>,
    /// `GET /orders/{id}`
    pub name: String,
    /// Which side of a call.
    pub kind: Kind,
    /// When it began.
    pub start_ns: i64,
    /// When it ended, not before it began.
    pub end_ns: i64,
    /// What came of it.
    pub status: Status,
    /// Who made it, shared by the spans of one container.
    pub resource: Arc<Resource>,
    /// By name.
    pub attributes: Vec<Attribute>,
    /// By time.
    pub events: Vec<Event>,
}

/// The spans of one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Their common id.
    pub id: TraceId,
    /// By start, then by span id; never empty; span ids are distinct.
    pub spans: Vec<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written_as_hexadecimal_digits() {
        let id = TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
        assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(SpanId::parse("A3CE929D0E0E4736").unwrap().to_string(), "a3ce929d0e0e4736");
        assert_eq!(SpanId::parse("1f").unwrap().to_string(), "000000000000001f", "B3 drops zeros");
        for wrong in ["", "0", "0000000000000000", "a3ce929d0e0e47361", "a3ce929d0e0e473g", "ünïcode"] {
            assert_eq!(SpanId::parse(wrong), None, "{wrong}");
        }
    }
}
