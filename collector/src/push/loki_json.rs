//! Loki's push request in JSON: `{"streams":[{"stream":{"app":"a"},"values":[["<ns>","<line>",{"k":"v"}]]}]}`.
//!
//! Lines go to the request one by one as they are parsed, so that its limits hold while it is read.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::PushError;
use super::records::{Entry, Request};

pub(super) fn decode(body: &Bytes, request: &mut Request<'_>) -> Result<(), PushError> {
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Push { body, request, refused: &mut refused }.deserialize(&mut deserializer);
    if let Some(error) = refused {
        return Err(error);
    }
    read.and_then(|()| deserializer.end())
        .map_err(|e| PushError::Bad(format!("the body is no push request: {e}")))
}

/// Decodes one layer of the request. What the request refuses is kept apart: serde knows only texts.
struct Push<'r, 'b, 'a> {
    body: &'b Bytes,
    request: &'r mut Request<'a>,
    refused: &'r mut Option<PushError>,
}

impl<'de> DeserializeSeed<'de> for Push<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Push<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `streams`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if key == "streams" {
                map.next_value_seed(Streams(Push {
                    body: self.body,
                    request: self.request,
                    refused: self.refused,
                }))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Streams<'r, 'b, 'a>(Push<'r, 'b, 'a>);

impl<'de> DeserializeSeed<'de> for Streams<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Streams<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of streams")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Push { body, request, refused } = self.0;
        while let Some(stream) = seq.next_element::<&RawValue>()? {
            if let Err(error) = decode_stream(body, stream, request) {
                *refused = Some(error);
                return Err(de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// The members of a stream may stand in any order, its labels after its lines: they are cut out first.
#[derive(serde::Deserialize)]
struct Stream<'a> {
    #[serde(borrow)]
    stream: &'a RawValue,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
}

fn decode_stream(body: &Bytes, stream: &RawValue, request: &mut Request<'_>) -> Result<(), PushError> {
    let wrong = |e: serde_json::Error| PushError::Bad(format!("the body is no push request: {e}"));
    let stream: Stream<'_> = serde_json::from_str(stream.get()).map_err(wrong)?;
    let labels = serde_json::from_str::<Pairs>(stream.stream.get()).map_err(wrong)?;
    request.start_stream(labels.0);
    let Some(values) = stream.values else { return Ok(()) };
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_str(values.get());
    let read = Values { body, request, refused: &mut refused }.deserialize(&mut deserializer);
    match refused {
        Some(error) => Err(error),
        None => read.map_err(wrong),
    }
}

struct Values<'r, 'b, 'a> {
    body: &'b Bytes,
    request: &'r mut Request<'a>,
    refused: &'r mut Option<PushError>,
}

impl<'de> DeserializeSeed<'de> for Values<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Values<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a list of [\"<nanoseconds>\", \"<line>\"] or [\"<nanoseconds>\", \"<line>\", {metadata}]",
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(entry) = seq.next_element_seed(OneEntry(self.body))? {
            if let Err(error) = self.request.entry(entry) {
                *self.refused = Some(error);
                return Err(de::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

struct OneEntry<'b>(&'b Bytes);

impl<'de> DeserializeSeed<'de> for OneEntry<'_> {
    type Value = Entry;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OneEntry<'_> {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[\"<nanoseconds>\", \"<line>\"] or [\"<nanoseconds>\", \"<line>\", {metadata}]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entry, A::Error> {
        let time: Text<'_> = seq.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let timestamp_ns = time.0.parse().map_err(|_| {
            de::Error::custom(format_args!(
                "`{}` is no time in nanoseconds",
                time.0.chars().take(64).collect::<String>()
            ))
        })?;
        let line = seq.next_element_seed(Line(self.0))?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
        let metadata = seq.next_element::<Pairs>()?.unwrap_or_default().0;
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(de::Error::invalid_length(4, &self));
        }
        Ok(Entry { timestamp_ns, line, metadata, level: None })
    }
}

/// A string, borrowed from the body where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A string as a line. Without escapes it is a part of the body. Half of a surrogate pair, which JSON can write
/// and text cannot hold (Python's clients send such for bytes that are no text), becomes U+FFFD.
struct Line<'b>(&'b Bytes);

impl<'de> DeserializeSeed<'de> for Line<'_> {
    type Value = Bytes;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Bytes, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for Line<'_> {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: de::Error>(self, line: &'de [u8]) -> Result<Bytes, E> {
        Ok(self.0.slice_ref(line))
    }

    fn visit_bytes<E: de::Error>(self, line: &[u8]) -> Result<Bytes, E> {
        let mut line = line.to_vec();
        // A surrogate takes three bytes, as U+FFFD does.
        for at in 0..line.len().saturating_sub(2) {
            if line[at] == 0xed && line[at + 1] >= 0xa0 {
                line[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
            }
        }
        Ok(line.into())
    }
}

/// An object of strings, with names that stand twice.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> de::Deserialize<'de> for Pairs {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose values are strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
