//! What the fields of a line tell of a span, borrowed from the line.
//!
//! What a field means depends on its name alone, and services log the same names over and over: it is found once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use store::fields::{self, Reach, Shape, Value};

use crate::duration::{self, DurationUnit};
use crate::hash::HashMap;
use crate::request::{Part, Parts, part_of};
use crate::span::Kind;

/// Objects nested deeper say nothing of the request.
const REACH: Reach = Reach { depth: 4, arrays: false };
/// Names remembered. Further ones are looked at each time they come: they are not names but data.
const MAX_NAMES: usize = 4_096;
/// Longer names are not remembered.
const MAX_NAME_BYTES: usize = 64;

/// What a field tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Message,
    Operation,
    Logger,
    Kind,
    Request(Part),
    Duration(DurationUnit),
    Nothing,
}

/// What fields mean, by their paths.
#[derive(Debug)]
pub(crate) struct Meanings {
    units: BTreeMap<String, DurationUnit>,
    known: HashMap<Box<str>, Meaning>,
}

impl Meanings {
    /// With these units of duration fields besides the usual ones.
    pub(crate) fn new(units: &BTreeMap<String, DurationUnit>) -> Self {
        Self { units: units.clone(), known: HashMap::default() }
    }

    fn of(&mut self, path: &str) -> Meaning {
        if let Some(known) = self.known.get(path) {
            return *known;
        }
        let meaning = meaning(path, &self.units);
        if self.known.len() < MAX_NAMES && path.len() <= MAX_NAME_BYTES {
            self.known.insert(path.into(), meaning);
        }
        meaning
    }
}

fn meaning(path: &str, units: &BTreeMap<String, DurationUnit>) -> Meaning {
    match path {
        "msg" | "message" | "event" | "text" | "short_message" => Meaning::Message,
        "operation"
        | "op"
        | "operation.name"
        | "operation_name"
        | "operationName"
        | "span.name"
        | "span_name"
        | "rpc.method"
        | "grpc.method"
        | "graphql.operation.name"
        | "handler"
        | "action"
        | "task"
        | "job" => Meaning::Operation,
        "logger" | "logger_name" | "loggerName" | "log.logger" | "SourceContext" | "category"
        | "component" => Meaning::Logger,
        "kind" | "span.kind" | "span_kind" | "spanKind" => Meaning::Kind,
        _ => match part_of(path) {
            Some(part) => Meaning::Request(part),
            None => duration::unit_of(path, units).map_or(Meaning::Nothing, Meaning::Duration),
        },
    }
}

/// See the module. No text is empty but a message.
#[derive(Debug, Default)]
pub(crate) struct Told<'a> {
    pub(crate) parts: Parts<'a>,
    pub(crate) operation: Option<Cow<'a, str>>,
    pub(crate) logger: Option<Cow<'a, str>>,
    pub(crate) message: Option<Cow<'a, str>>,
    pub(crate) kind: Option<Kind>,
}

impl<'a> Told<'a> {
    pub(crate) fn of(bytes: &'a [u8], shape: Shape, meanings: &mut Meanings) -> Self {
        let mut told = Self::default();
        fields::for_each_within(bytes, shape, REACH, |path, value| {
            let meaning = match (shape, path) {
                (Shape::Access, "duration") => Meaning::Duration(DurationUnit::Ms),
                _ => meanings.of(path),
            };
            told.take(meaning, value);
            ControlFlow::Continue(())
        });
        told
    }

    fn take(&mut self, meaning: Meaning, value: Value<'a>) {
        let name = || Some(value.text()).filter(|text| !text.is_empty());
        match meaning {
            Meaning::Message => {
                if matches!(value, Value::Text(_) | Value::Escaped(_)) {
                    self.message.get_or_insert_with(|| value.text());
                }
            }
            Meaning::Operation => self.operation = self.operation.take().or_else(name),
            Meaning::Logger => self.logger = self.logger.take().or_else(name),
            Meaning::Kind => self.kind = self.kind.or_else(|| kind(&value.text())),
            Meaning::Request(part) => self.parts.take_part(part, value),
            Meaning::Duration(unit) => self.parts.take_duration_in(unit, value),
            Meaning::Nothing => {}
        }
    }
}

/// The kind of a span under its OpenTelemetry name.
fn kind(name: &str) -> Option<Kind> {
    let name = name.strip_prefix("SPAN_KIND_").unwrap_or(name);
    [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer]
        .into_iter()
        .find(|kind| kind.name().eq_ignore_ascii_case(name))
}
