//! The fields of a log line: names and values as the line itself states them.
//!
//! One definition for everybody: the collector finds levels and ids with it, the query side answers
//! `field:value` with it. Nothing here allocates per line except for escaped or deeply nested names, every
//! scan is linear in the line, and no input panics or recurses beyond [`MAX_DEPTH`].
//!
//! Lines are taken as they are, not validated: of a broken or cut line the fields before the damage are given.

mod access;
mod json;
mod pairs;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;
use std::ops::ControlFlow;

pub use value::Value;

/// Objects and arrays nested deeper than this are passed over.
pub const MAX_DEPTH: usize = 16;

/// Objects and arrays under a longer path are passed over, so that a visitor may read the whole path of
/// every field of a hostile line.
pub const MAX_PATH_BYTES: usize = 1024;

/// How a line writes its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One JSON object: `{"level":"info"}`. Nested names are joined with `.`, array elements are `name[0]`.
    Json,
    /// `level=info msg="ready to serve"`
    Logfmt,
    /// The access log of a web server: common and combined format (Apache, nginx, Caddy 1, Traefik) and
    /// Envoy's default. Fields: `remote_addr remote_user time method path protocol status bytes referer
    /// user_agent`, Traefik and Envoy also `duration`, Envoy also `flags forwarded_for request_id authority upstream`.
    Access,
    /// Anything else; `name=value` in the text are its fields.
    Plain,
}

impl Shape {
    /// The shape of a line, judged by its beginning.
    #[must_use]
    pub fn detect(line: &[u8]) -> Self {
        let line = line.trim_ascii_start();
        if json::starts(line) {
            return Self::Json;
        }
        if pairs::starts(line) {
            return Self::Logfmt;
        }
        if access::starts(line) {
            return Self::Access;
        }
        Self::Plain
    }
}

/// How far to look into nested JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Levels of objects that are entered, the outermost included; at most [`MAX_DEPTH`].
    pub depth: usize,
    /// Whether elements of arrays are fields too.
    pub arrays: bool,
}

impl Reach {
    /// Everything.
    pub const ALL: Self = Self { depth: MAX_DEPTH, arrays: true };
}

/// Calls `visit` with the path and the value of each field in the order of the line until it breaks.
///
/// Empty objects and arrays are no fields. A name that occurs twice is given twice; by convention the first counts.
pub fn for_each<'a>(line: &'a [u8], shape: Shape, visit: impl FnMut(&str, Value<'a>) -> ControlFlow<()>) {
    for_each_within(line, shape, Reach::ALL, visit);
}

/// [`for_each`] that enters only the outer levels of nested JSON.
pub fn for_each_within<'a>(
    line: &'a [u8],
    shape: Shape,
    reach: Reach,
    mut visit: impl FnMut(&str, Value<'a>) -> ControlFlow<()>,
) {
    // Whether the visitor broke off makes no difference here: there is nothing left to do either way.
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = match shape {
        Shape::Json => json::walk(line, reach, &mut visit),
        Shape::Logfmt => pairs::logfmt(line, &mut visit),
        Shape::Access => access::walk(line, &mut visit),
        Shape::Plain => pairs::plain(line, &mut visit),
    };
}

/// Calls `visit` with `name: value` and `"name": value` wherever they stand in a text until it breaks.
///
/// Prose is full of colons: this is for visitors that know the names they look for.
pub fn for_each_colon<'a>(line: &'a [u8], mut visit: impl FnMut(&str, Value<'a>) -> ControlFlow<()>) {
    let (ControlFlow::Continue(()) | ControlFlow::Break(())) = pairs::colons(line, &mut visit);
}

/// The text of the first field with exactly this path, `user.id` or `tags[0]`; `None` where there is none.
#[must_use]
pub fn get(line: &[u8], path: &str) -> Option<String> {
    let mut found = None;
    for_each(line, Shape::detect(line), |name, value| {
        if name != path {
            return ControlFlow::Continue(());
        }
        found = Some(value.text().into_owned());
        ControlFlow::Break(())
    });
    found
}

/// Bytes as text, what is not UTF-8 as U+FFFD.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}
