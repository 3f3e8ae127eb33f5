//! An HTTP request as a log line tells of it: method, path, status and duration.
//!
//! Read from access logs, from JSON and logfmt fields under their usual names, and from a quoted request in
//! a plain line (`"GET /cart HTTP/1.1" 200`). A line counts when it has a method, a path and a status.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use memchr::memmem::Finder;
use store::fields::{self, Reach, Shape, Value};

use crate::duration::{self, DurationUnit};

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `GET`, or [`OTHER`].
    pub method: &'static str,
    /// Path or URL as logged.
    pub path: String,
    /// Whether the path is a route's template already.
    pub is_template: bool,
    /// 100 to 599.
    pub status: u16,
    /// How long it took, where the line tells.
    pub duration_s: Option<f64>,
}

impl Request {
    /// `2xx`
    #[must_use]
    pub const fn status_class(&self) -> &'static str {
        match self.status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        }
    }
}

const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
/// Stands for methods that HTTP does not define: methods must not make series without end.
pub const OTHER: &str = "OTHER";
/// Objects nested deeper hold no request.
const REACH: Reach = Reach { depth: 4, arrays: false };
/// Lines longer than this are not access logs; they are not worth the scan.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Finds requests.
#[derive(Debug)]
pub struct Requests {
    units: BTreeMap<String, DurationUnit>,
    method: Finder<'static>,
    protocol: Finder<'static>,
}

/// What fields tell of a request, before it is known whether they make one.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) method: Option<&'static str>,
    pub(crate) path: Option<String>,
    pub(crate) template: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) duration_s: Option<f64>,
}

// === impl Requests ===

impl Requests {
    /// A finder that knows these units of duration fields besides the usual ones.
    #[must_use]
    pub fn new(units: &BTreeMap<String, DurationUnit>) -> Self {
        Self { units: units.clone(), method: Finder::new("ethod"), protocol: Finder::new("HTTP/") }
    }

    /// The request of a line, if it tells of one.
    #[must_use]
    pub fn read(&self, line: &[u8]) -> Option<Request> {
        // Whatever tells of a request names its method or its protocol.
        if line.len() > MAX_LINE_BYTES
            || (self.protocol.find(line).is_none() && self.method.find(line).is_none())
        {
            return None;
        }
        let shape = Shape::detect(line);
        let mut parts = Parts::default();
        fields::for_each_within(line, shape, REACH, |path, value| {
            if !parts.take(path, value) {
                parts.take_duration(path, value, shape, &self.units);
            }
            ControlFlow::Continue(())
        });
        if shape == Shape::Plain && parts.method.is_none() {
            parts.take_quoted(&String::from_utf8_lossy(line));
        }
        let is_template = parts.template.is_some();
        Some(Request {
            method: parts.method?,
            path: parts.template.or(parts.path)?,
            is_template,
            status: parts.status?,
            duration_s: parts.duration_s,
        })
    }
}

// === impl Parts ===

impl Parts {
    /// Takes a field that tells of a request's method, path or status; `false` for other fields.
    pub(crate) fn take(&mut self, path: &str, value: Value<'_>) -> bool {
        let Some(kind) = kind_of(path) else { return false };
        match kind {
            Kind::Method => {
                self.method = self.method.or_else(|| Some(method(&value.text())));
            }
            Kind::Path => {
                self.path.get_or_insert_with(|| value.text().into_owned());
            }
            Kind::Template => {
                self.template.get_or_insert_with(|| value.text().into_owned());
            }
            Kind::Status => self.status = self.status.or_else(|| status(&value.text())),
            Kind::RequestLine => self.take_request_line(&value.text()),
        }
        true
    }

    /// Takes a field that tells how long something took; `false` for other fields.
    pub(crate) fn take_duration(
        &mut self,
        path: &str,
        value: Value<'_>,
        shape: Shape,
        units: &BTreeMap<String, DurationUnit>,
    ) -> bool {
        let unit = match (shape, path) {
            (Shape::Access, "duration") => Some(DurationUnit::Ms),
            _ => duration::unit_of(path, units),
        };
        let Some(unit) = unit else { return false };
        if self.duration_s.is_none() && value != Value::Null {
            self.duration_s = duration::seconds(&value.text(), unit);
        }
        true
    }

    /// `GET /cart HTTP/1.1`
    fn take_request_line(&mut self, text: &str) {
        let mut words = text.split(' ');
        let (Some(verb), Some(path), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return;
        };
        if protocol.starts_with("HTTP/") && self.method.is_none() {
            self.method = Some(method(verb));
            self.path = Some(path.to_owned());
        }
    }

    /// `... "GET /cart HTTP/1.1" 200 ...`, as uvicorn, gunicorn and werkzeug write it.
    pub(crate) fn take_quoted(&mut self, line: &str) {
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Method,
    Path,
    Template,
    Status,
    RequestLine,
}

/// What a field of this path means. Case, `_` and `-` make no difference.
fn kind_of(path: &str) -> Option<Kind> {
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
        | b"request.method" => Kind::Method,
        b"path" | b"uri" | b"url" | b"target" | b"requesturi" | b"requestpath" | b"httppath"
        | b"http.path" | b"http.target" | b"http.url" | b"url.path" | b"url.original" | b"req.url"
        | b"req.path" | b"request.path" | b"request.uri" | b"request.url" => Kind::Path,
        b"route" | b"http.route" | b"req.route" | b"httproute" => Kind::Template,
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
        | b"downstreamstatus" => Kind::Status,
        b"request" | b"requestline" => Kind::RequestLine,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(&'static str, String, &'static str, Option<f64>)> {
        let request = Requests::new(&BTreeMap::new()).read(line.as_bytes())?;
        let class = request.status_class();
        Some((request.method, request.path, class, request.duration_s.map(|d| (d * 1e6).round() / 1e6)))
    }

    #[test]
    fn requests_are_read_in_the_shapes_they_are_logged_in() {
        for (line, expected) in [
            (
                r#"10.0.0.1 - - [20/Nov/2026:10:00:00 +0000] "GET /cart?x=1 HTTP/1.1" 200 512 "-" "curl/8""#,
                ("GET", "/cart?x=1", "2xx", None),
            ),
            (
                r#"10.0.0.1 - - [20/Nov/2026:10:00:00 +0000] "POST /pay HTTP/2.0" 502 5 "-" "-" 17 "pay@docker" "http://10.0.0.2:80" 31ms"#,
                ("POST", "/pay", "5xx", Some(0.031)),
            ),
            (
                r#"{"level":"info","method":"post","path":"/orders/17","status":201,"duration_ms":12.5}"#,
                ("POST", "/orders/17", "2xx", Some(0.0125)),
            ),
            (
                r#"{"req":{"method":"GET","url":"/a"},"res":{"statusCode":404},"responseTime":3,"msg":"request completed"}"#,
                ("GET", "/a", "4xx", Some(0.003)),
            ),
            (
                r#"{"request":"GET /x HTTP/1.1","status":"304","request_time":"0.004"}"#,
                ("GET", "/x", "3xx", Some(0.004)),
            ),
            (
                r#"{"http.request.method":"PATCH","url.path":"/y","http.route":"/{name}","http.response.status_code":500}"#,
                ("PATCH", "/{name}", "5xx", None),
            ),
            (
                r#"level=info msg="request served" method=GET path=/z status=200 duration=1.5ms"#,
                ("GET", "/z", "2xx", Some(0.0015)),
            ),
            (
                r#"INFO:     127.0.0.1:5000 - "BREW /pot HTTP/1.1" 418 I'm a teapot"#,
                ("OTHER", "/pot", "4xx", None),
            ),
        ] {
            let (method, path, class, duration) = expected;
            assert_eq!(read(line), Some((method, path.to_owned(), class, duration)), "{line}");
        }
    }

    #[test]
    fn lines_that_tell_of_no_whole_request_are_none() {
        for line in [
            "",
            "starting HTTP/1.1 server",
            r#"the "method" failed"#,
            r#"{"method":"GET","path":"/x"}"#,
            r#"{"method":"GET","path":"/x","status":"ok"}"#,
            r#"{"method":"GET","path":"/x","status":99999}"#,
            r#"{"method":"GET","status":200}"#,
            r#"say "GET /x"#,
            r#"{"method":"#,
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn broken_bytes_are_no_panic() {
        let requests = Requests::new(&BTreeMap::new());
        let line = b"\xff\xfe \"GET /\xc3 HTTP/1.1\" 200 \"\xff";
        assert!(requests.read(line).is_some_and(|r| r.method == "GET"));
    }
}
