//! What the fields of a line tell of a span, borrowed from the line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use store::fields::{self, Reach, Shape, Value};

use crate::duration::DurationUnit;
use crate::request::Parts;
use crate::span::Kind;

/// Objects nested deeper say nothing of the request.
const REACH: Reach = Reach { depth: 4, arrays: false };

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
    pub(crate) fn of(bytes: &'a [u8], shape: Shape, units: &BTreeMap<String, DurationUnit>) -> Self {
        let mut told = Self::default();
        fields::for_each_within(bytes, shape, REACH, |path, value| {
            told.take(path, value, shape, units);
            ControlFlow::Continue(())
        });
        told
    }

    fn take(&mut self, path: &str, value: Value<'a>, shape: Shape, units: &BTreeMap<String, DurationUnit>) {
        let name = || Some(value.text()).filter(|text| !text.is_empty());
        match path {
            "msg" | "message" | "event" | "text" | "short_message"
                if matches!(value, Value::Text(_) | Value::Escaped(_)) =>
            {
                self.message.get_or_insert_with(|| value.text());
            }
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
            | "job" => {
                self.operation = self.operation.take().or_else(name);
            }
            "logger" | "logger_name" | "loggerName" | "log.logger" | "SourceContext" | "category"
            | "component" => {
                self.logger = self.logger.take().or_else(name);
            }
            "kind" | "span.kind" | "span_kind" | "spanKind" => {
                self.kind = self.kind.or_else(|| kind(&value.text()));
            }
            _ => {
                if !self.parts.take(path, value) {
                    self.parts.take_duration(path, value, shape, units);
                }
            }
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
