//! A record reduced to what spans are made of: ids, source, level, request, words. Bounded in size.

use std::borrow::Cow;

use store::fields::Shape;
use store::{Level, Record};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::Config;
use crate::key::{self, Ids, Keys};
use crate::request::Parts;
use crate::source::{Source, Sources};
use crate::span::{Kind, SpanId};
use crate::text;
use crate::told::{Meanings, Told};
use crate::words::{Texts, Words};

/// Fields are read in the first so many bytes of a line.
const MAX_READ_BYTES: usize = 16 << 10;
/// Longest first line of a message that is kept.
const MAX_MESSAGE_BYTES: usize = 512;
/// Longest rest of a message of many lines (a stack trace) that is kept.
const MAX_REST_BYTES: usize = 4 << 10;
/// Longest path, operation or logger that is kept.
const MAX_NAME_BYTES: usize = 200;
/// A longer duration is not the time of a request.
const MAX_DURATION_S: f64 = 3_600.0;

/// What a line says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) method: &'static str,
    /// Whether the path of the line is a route's template as logged.
    pub(crate) is_template: bool,
    pub(crate) status: Option<u16>,
}

/// Whether a line stands at the beginning or the end of a visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    #[default]
    None,
    /// A request has come in.
    Start,
    /// It has been answered, in words only.
    End,
    /// It has been answered: method, path and status.
    Answer,
}

/// A line of a trace.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) ts_ns: i64,
    /// Orders lines of one time in a way that does not depend on how they arrived.
    pub(crate) order: u64,
    pub(crate) keys: Keys,
    pub(crate) source: Source,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) level: Level,
    pub(crate) mark: Mark,
    /// As logged; else client where the words say so.
    pub(crate) kind: Option<Kind>,
    pub(crate) duration_ns: Option<i64>,
    pub(crate) http: Option<Http>,
    pub(crate) words: Words,
}

/// Makes lines of records.
#[derive(Debug)]
pub(crate) struct LineReader {
    sources: Sources,
    meanings: Meanings,
}

impl LineReader {
    pub(crate) fn new(config: &Config) -> Self {
        Self { sources: Sources::default(), meanings: Meanings::new(&config.duration_units) }
    }

    /// The line of a record; `None` when it belongs to no trace.
    pub(crate) fn read(&mut self, record: &Record) -> Option<Line> {
        let ids = Ids::of(record);
        let (keys, logged_id) = Keys::of(&ids)?;
        let source = self.sources.of(record, ids.container.unwrap_or_default())?;
        let span_id = ids.span.map(key::span_id);
        let mut line = Line {
            ts_ns: record.timestamp_ns,
            order: xxh3_64_with_seed(&record.line, source.key),
            keys,
            source,
            span_id,
            parent_id: ids.parent.map(key::span_id).filter(|parent| Some(*parent) != span_id),
            level: record.level,
            mark: Mark::None,
            kind: None,
            duration_ns: None,
            http: None,
            words: Words::default(),
        };
        line.read(&record.line, logged_id.unwrap_or_default(), &mut self.meanings);
        Some(line)
    }
}

impl Line {
    /// Reads what the bytes tell.
    fn read(&mut self, bytes: &[u8], id: &str, meanings: &mut Meanings) {
        let shape = Shape::detect(bytes);
        let bytes = bytes.get(..MAX_READ_BYTES).unwrap_or(bytes);
        let mut told = Told::of(bytes, shape, meanings);
        let text = match told.message {
            Some(_) if shape != Shape::Plain => Cow::Borrowed(""),
            _ => String::from_utf8_lossy(bytes),
        };
        let mut message = told.message.as_deref().unwrap_or(&text);
        let mut own_logger = None;
        if shape == Shape::Plain {
            told.parts.take_quoted(&text);
            let (logger, rest) = text::plain(&text);
            message = if rest.trim().is_empty() { &text } else { rest };
            own_logger = logger;
        }
        let said = text::says(message);
        self.kind = told.kind.or((said.outgoing).then_some(Kind::Client));
        let request = http(&told.parts, message);
        self.http = request.map(|(http, _)| http);
        let is_client = matches!(self.kind, Some(Kind::Client | Kind::Producer));
        self.mark = match self.http.and_then(|http| http.status) {
            _ if is_client => Mark::None,
            Some(_) if !said.begins => Mark::Answer,
            _ if said.begins => Mark::Start,
            _ if said.ends => Mark::End,
            _ => Mark::None,
        };
        self.duration_ns = told.parts.duration_s.filter(|s| *s <= MAX_DURATION_S).map(|s| (s * 1e9) as i64);
        let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
        let name = |text| text::cut(text, MAX_NAME_BYTES);
        self.words = Words::new(&Texts {
            path: request.map_or("", |(_, path)| name(path)),
            operation: told.operation.as_deref().map_or("", name),
            logger: told.logger.as_deref().or(own_logger).map_or("", name),
            id,
            message: text::cut(first.trim_end(), MAX_MESSAGE_BYTES),
            rest: text::cut(rest, MAX_REST_BYTES),
        });
    }

    /// Whether the service says here that something failed.
    pub(crate) fn is_error(&self) -> bool {
        let status = self.http.and_then(|http| http.status);
        let is_level = matches!(self.level, Level::Error | Level::Critical | Level::Fatal);
        // What another service answered is that service's failure.
        is_level || (self.kind != Some(Kind::Client) && status.is_some_and(|status| status >= 500))
    }

    /// When what the line tells of began, by its duration; its own time where it tells none.
    pub(crate) fn began_ns(&self) -> i64 {
        match self.mark {
            Mark::Start => self.ts_ns, // whatever it tells of has not happened yet
            _ => self.ts_ns.saturating_sub(self.duration_ns.unwrap_or(0)),
        }
    }

    /// Bytes it occupies, about.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.words.bytes()
    }
}

/// The request that fields tell of, else the one that the message does, and its path without query.
fn http<'a>(parts: &'a Parts<'_>, message: &'a str) -> Option<(Http, &'a str)> {
    let logged = parts.template.as_deref().or(parts.path.as_deref());
    let (method, path, is_template) = match (parts.method, logged) {
        (Some(method), Some(path)) => (method, path, parts.template.is_some()),
        _ => {
            let (method, path) = text::request_of(message)?;
            (method, path, false)
        }
    };
    Some((Http { method, is_template, status: parts.status }, crate::route::path_of(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::record;

    fn read(line: &str) -> Line {
        LineReader::new(&Config::default()).read(&record("web", 1_000, line, &[("trace_id", "1f")])).unwrap()
    }

    #[test]
    fn lines_tell_of_requests_in_every_shape() {
        let line = read(
            r#"{"msg":"request completed","method":"GET","path":"/orders/7?x=1","status":503,"duration_ms":2}"#,
        );
        let http = Http { method: "GET", is_template: false, status: Some(503) };
        assert_eq!((line.http, line.mark, line.words.path()), (Some(http), Mark::Answer, "/orders/7"));
        assert_eq!(
            (line.duration_ns, line.is_error(), line.words.message()),
            (Some(2_000_000), true, "request completed")
        );
        assert_eq!(line.began_ns(), 1_000 - 2_000_000);

        let line = read(r#"{"msg":"POST /items received","duration_ms":2}"#);
        assert_eq!((line.mark, line.began_ns()), (Mark::Start, 1_000));
        assert_eq!(line.http.unwrap().method, "POST");

        let line = read(
            "2026-11-21 10:00:00.123 INFO  [http-3] shop.Checkout - placing order 7 correlationId=x\n\tat Main",
        );
        assert_eq!(line.words.logger(), Some("shop.Checkout"));
        assert_eq!(line.words.message(), "placing order 7 correlationId=x");
        assert_eq!(line.words.rest(), Some("\tat Main"));

        let line =
            read(r#"10.0.0.1 - - [20/Nov/2026:10:00:00 +0000] "GET /cart HTTP/1.1" 200 512 "-" "curl/8""#);
        assert_eq!(line.mark, Mark::Answer);
        let line = read(r#"INFO:     127.0.0.1:5000 - "GET /pot HTTP/1.1" 418 I'm a teapot"#);
        assert_eq!(line.http.unwrap().status, Some(418));
    }

    #[test]
    fn calls_to_others_are_no_visits() {
        for line in [
            r#"{"msg":"outgoing request","method":"GET","url":"http://cart/items","status":200}"#,
            r#"{"msg":"called cart","span.kind":"CLIENT","method":"GET","url":"/items","status":200}"#,
        ] {
            let line = read(line);
            assert_eq!((line.mark, line.kind), (Mark::None, Some(Kind::Client)));
        }
    }

    #[test]
    fn nothing_grows_with_the_line() {
        let long = "x".repeat(1 << 20);
        let line =
            read(&format!(r#"{{"operation":"{long}","msg":"{long}","path":"/{long}","method":"GET"}}"#));
        assert!(line.size() < 20 << 10, "{}", line.size());
        let line = read(&format!("first\n{long}"));
        assert!(line.size() < 20 << 10, "{}", line.size());
    }
}
