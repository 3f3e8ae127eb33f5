//! What the fields of a line tell of a request, one at a time, borrowed from the line.

use std::borrow::Cow;
use std::collections::BTreeMap;

use store::fields::{Shape, Value};

use super::OTHER;
use crate::duration::{self, DurationUnit};

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];

/// What fields tell of a request, before it is known whether they make one.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) method: Option<&'static str>,
    pub(crate) path: Option<Cow<'a, str>>,
    pub(crate) template: Option<Cow<'a, str>>,
    pub(crate) status: Option<u16>,
    pub(crate) duration_s: Option<f64>,
}

impl<'a> Parts<'a> {
    /// Takes a field that tells of a request's method, path or status; `false` for other fields.
    pub(crate) fn take(&mut self, path: &str, value: Value<'a>) -> bool {
        let Some(part) = part_of(path) else { return false };
        self.take_part(part, value);
        true
    }

    /// Takes a field that is known to tell of this part.
    pub(crate) fn take_part(&mut self, part: Part, value: Value<'a>) {
        match part {
            Part::Method => {
                self.method = self.method.or_else(|| Some(method(&value.text())));
            }
            Part::Path => {
                self.path.get_or_insert_with(|| value.text());
            }
            Part::Template => {
                self.template.get_or_insert_with(|| value.text());
            }
            Part::Status => self.status = self.status.or_else(|| status(&value.text())),
            Part::RequestLine => match value.text() {
                Cow::Borrowed(text) => self.take_request_line(text),
                Cow::Owned(text) => {
                    let mut own = Parts::default();
                    own.take_request_line(&text);
                    self.method = self.method.or(own.method);
                    self.path = self.path.take().or(own.path.map(|path| Cow::Owned(path.into_owned())));
                }
            },
        }
    }

    /// Takes a field that tells how long something took; `false` for other fields.
    pub(crate) fn take_duration(
        &mut self,
        path: &str,
        value: Value<'a>,
        shape: Shape,
        units: &BTreeMap<String, DurationUnit>,
    ) -> bool {
        let unit = match (shape, path) {
            (Shape::Access, "duration") => Some(DurationUnit::Ms),
            _ => duration::unit_of(path, units),
        };
        let Some(unit) = unit else { return false };
        self.take_duration_in(unit, value);
        true
    }

    /// Takes a field that is known to be a duration, of this unit where the value names none.
    pub(crate) fn take_duration_in(&mut self, unit: DurationUnit, value: Value<'a>) {
        if self.duration_s.is_none() && value != Value::Null {
            self.duration_s = duration::seconds(&value.text(), unit);
        }
    }

    /// `GET /cart HTTP/1.1`
    fn take_request_line(&mut self, text: &'a str) {
        let mut words = text.split(' ');
        let (Some(verb), Some(path), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return;
        };
        if protocol.starts_with("HTTP/") && self.method.is_none() {
            self.method = Some(method(verb));
            self.path = Some(Cow::Borrowed(path));
        }
    }

    /// `... "GET /cart HTTP/1.1" 200 ...`, as uvicorn, gunicorn and werkzeug write it.
    pub(crate) fn take_quoted(&mut self, line: &'a str) {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once('"') {
            let Some((quoted, after)) = after.split_once('"') else { return };
            self.take_request_line(quoted);
            if self.method.is_some() {
                self.status = self.status.or_else(|| status(after.trim_start()));
                return;
            }
            rest = after;
        }
    }
}

/// What a field may tell of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Method,
    Path,
    Template,
    Status,
    RequestLine,
}

/// What a field of this path means. Case, `_` and `-` make no difference.
pub(crate) fn part_of(path: &str) -> Option<Part> {
    // Most fields are none of these: the length alone rules out the long ones.
    if path.len() > 32 {
        return None;
    }
    let mut buffer = [0_u8; 32];
    let mut length = 0;
    for byte in path.bytes().filter(|b| !matches!(b, b'_' | b'-')) {
        buffer[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    Some(match &buffer[..length] {
        b"method"
        | b"httpmethod"
        | b"http.method"
        | b"http.request.method"
        | b"requestmethod"
        | b"req.method"
        | b"request.method" => Part::Method,
        b"path" | b"uri" | b"url" | b"target" | b"requesturi" | b"requestpath" | b"httppath"
        | b"http.path" | b"http.target" | b"http.url" | b"url.path" | b"url.original" | b"req.url"
        | b"req.path" | b"request.path" | b"request.uri" | b"request.url" => Part::Path,
        b"route" | b"http.route" | b"req.route" | b"httproute" => Part::Template,
        b"status"
        | b"statuscode"
        | b"httpstatus"
        | b"http.status"
        | b"http.statuscode"
        | b"httpstatuscode"
        | b"http.response.statuscode"
        | b"res.status"
        | b"res.statuscode"
        | b"response.status"
        | b"response.statuscode"
        | b"responsestatus"
        | b"downstreamstatus" => Part::Status,
        b"request" | b"requestline" => Part::RequestLine,
        _ => return None,
    })
}

fn method(text: &str) -> &'static str {
    known_method(text).unwrap_or(OTHER)
}

/// The method that HTTP defines under this name.
pub(crate) fn known_method(text: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|method| method.eq_ignore_ascii_case(text.trim()))
}

/// `200` or `200 OK`.
fn status(text: &str) -> Option<u16> {
    let number = text.trim().split(' ').next()?.parse().ok()?;
    (100..600).contains(&number).then_some(number)
}
