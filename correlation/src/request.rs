//! An HTTP request as a log line tells of it: method, path, status and duration.
//!
//! Read from access logs, from JSON and logfmt fields under their usual names, and from a quoted request in
//! a plain line (`"GET /cart HTTP/1.1" 200`). A line counts when it has a method, a path and a status.

mod parts;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use memchr::memmem::Finder;
pub(crate) use parts::{Part, Parts, known_method, part_of};
use store::fields::{self, Reach, Shape};

use crate::duration::DurationUnit;

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
        let text; // what a plain line quotes is borrowed from it
        let mut parts = Parts::default();
        fields::for_each_within(line, shape, REACH, |path, value| {
            if !parts.take(path, value) {
                parts.take_duration(path, value, shape, &self.units);
            }
            ControlFlow::Continue(())
        });
        if shape == Shape::Plain && parts.method.is_none() {
            text = String::from_utf8_lossy(line);
            parts.take_quoted(&text);
        }
        let is_template = parts.template.is_some();
        Some(Request {
            method: parts.method?,
            path: parts.template.or(parts.path)?.into_owned(),
            is_template,
            status: parts.status?,
            duration_s: parts.duration_s,
        })
    }
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
