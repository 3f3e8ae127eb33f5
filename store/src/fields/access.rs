//! Access logs of web servers, read left to right.
//!
//! Known: `host user user [time] "request" status bytes ["referer" "agent"] ...` (common and combined format, with or
//! without a virtual host in front, Traefik's tail) and Envoy's `[time] "request" status flags ...`.

use std::ops::ControlFlow;

use super::Value;

/// The time of a line in common log format stands within this many bytes (an IPv6 address, a host, a user).
const MAX_PREFIX_BYTES: usize = 512;

/// Whether the line has a bracketed time followed by a quoted request.
pub(super) fn starts(line: &[u8]) -> bool {
    time(line).is_some()
}

/// Bounds of the bracketed time.
fn time(line: &[u8]) -> Option<(usize, usize)> {
    let open = memchr::memchr(b'[', &line[..line.len().min(MAX_PREFIX_BYTES)])?;
    let length = memchr::memchr(b']', line[open..].get(..40).unwrap_or(&line[open..]))?;
    let time = &line[open + 1..open + length];
    let common = time.get(2) == Some(&b'/') && time.get(6) == Some(&b'/') && time.get(11) == Some(&b':');
    let envoy = open == 0 && time.get(4) == Some(&b'-') && time.get(10) == Some(&b'T');
    let request = line[open + length..].starts_with(b"] \"");
    ((common || envoy) && request).then_some((open + 1, open + length))
}

/// Visits the fields that are there; `-` stands for none.
pub(super) fn walk<'a, F>(line: &'a [u8], visit: &mut F) -> ControlFlow<()>
where
    F: FnMut(&str, Value<'a>) -> ControlFlow<()>,
{
    let line = line.trim_ascii_start();
    let Some((time_start, time_end)) = time(line) else { return ControlFlow::Continue(()) };
    let mut give = |name: &str, value: &'a [u8]| match value {
        b"" | b"-" => ControlFlow::Continue(()),
        value => visit(name, Value::Text(value)),
    };
    client(&line[..time_start - 1], &mut give)?;
    give("time", &line[time_start..time_end])?;

    let mut words = Words { rest: &line[time_end + 1..] };
    let mut request = Words { rest: words.next().unwrap_or_default() };
    for name in ["method", "path", "protocol"] {
        give(name, request.next().unwrap_or_default())?;
    }
    give("status", words.next().unwrap_or_default())?;
    let tail: &[&str] = if time_start == 1 { &ENVOY_TAIL } else { &COMBINED_TAIL };
    for name in tail {
        let Some(word) = words.next() else { break };
        give(name, word)?;
    }
    ControlFlow::Continue(())
}

/// `[virtual host] address identity user`; Envoy writes nothing before the time.
fn client<'a>(prefix: &'a [u8], give: &mut impl FnMut(&str, &'a [u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    let mut words = Words { rest: prefix };
    let mut last_four: [&'a [u8]; 4] = [b""; 4];
    while let Some(word) = words.next() {
        last_four.rotate_left(1);
        last_four[3] = word;
    }
    let names = ["virtual_host", "remote_addr", "", "remote_user"];
    for (name, word) in names.into_iter().zip(last_four) {
        if !name.is_empty() {
            give(name, word)?;
        }
    }
    ControlFlow::Continue(())
}

const COMBINED_TAIL: [&str; 7] =
    ["bytes", "referer", "user_agent", "request_count", "router", "upstream", "duration"];
const ENVOY_TAIL: [&str; 10] = [
    "flags",
    "bytes_received",
    "bytes",
    "duration",
    "upstream_duration",
    "forwarded_for",
    "user_agent",
    "request_id",
    "authority",
    "upstream",
];

/// Words between blanks; a quoted one is taken whole.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let (word, after) = match rest.strip_prefix(b"\"") {
            Some(inner) => {
                let end = closing_quote(inner);
                (&inner[..end], inner.get(end + 1..).unwrap_or_default())
            }
            None => rest.split_at(memchr::memchr(b' ', rest).unwrap_or(rest.len())),
        };
        self.rest = after;
        Some(word)
    }
}

/// Where the quote closes; a backslash protects the next byte.
fn closing_quote(inner: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = inner.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if inner[at] == b'"' {
            return at;
        }
        at += 2;
    }
    inner.len()
}
