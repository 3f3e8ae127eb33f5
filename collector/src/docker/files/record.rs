//! One record of a `json-file` log: `{"log":"a line\n","stream":"stdout","time":"2026-11-20T20:56:50.7Z"}`.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;

use super::super::frames::{Frame, Stream};
use super::super::timestamp;

/// How every record begins. Inside a record quotes are escaped, so it stands nowhere else.
const BEGINNING: &[u8] = b"{\"log\":\"";

/// As Docker writes it; it leaves out what is empty, and `attrs` mean nothing here.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// The message of a record, a line of the file without its line end; `None` when it is none.
pub(super) fn message(line: &[u8]) -> Option<Frame> {
    let stored: Stored<'_> = serde_json::from_slice(line).ok()?;
    let stream = match &*stored.stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    let timestamp_ns = timestamp::parse(stored.time.as_bytes())?;
    Some(Frame { stream, timestamp_ns, payload: Bytes::copy_from_slice(stored.log.as_bytes()) })
}

/// The record at the end of a damaged line. A daemon that was killed while it wrote one leaves half of it, and
/// the next daemon goes on behind that in the same line; `cut` leaves zeros there.
pub(super) fn behind_damage(line: &[u8]) -> Option<Frame> {
    let begins = memmem::rfind(line, BEGINNING).filter(|at| *at > 0)?;
    message(&line[begins..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "1970-01-01T00:00:01.5Z";

    #[test]
    fn records_are_messages() {
        let line = format!(r#"{{"log":"a \"b\"\n","stream":"stderr","attrs":{{"x":"y"}},"time":"{TIME}"}}"#);
        let frame = message(line.as_bytes()).unwrap();
        assert_eq!((frame.stream, frame.timestamp_ns), (Stream::Stderr, 1_500_000_000));
        assert_eq!(frame.payload, "a \"b\"\n");
        let empty = format!(r#"{{"stream":"stdout","time":"{TIME}"}}"#);
        assert_eq!(message(empty.as_bytes()).unwrap().payload, "");
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for line in [
            "",
            "{}",
            "null",
            "\u{0}",
            r#"{"log":"a\n","stream":"stdout","time":"soon"}"#,
            r#"{"log":"a\n","stream":"stdin","time":"1970-01-01T00:00:01Z"}"#,
            r#"{"log":"a\n","stream":"stdout"#,
            "2026-11-20T20:56:50.7Z stdout F of podman",
        ] {
            assert_eq!(message(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn behind_half_a_record_stands_a_whole_one() {
        let whole = format!(r#"{{"log":"{{\"log\":\"x\"}}\n","stream":"stdout","time":"{TIME}"}}"#);
        for half in [r#"{"log":"torn"#, "{\"lo", "\0\0\0"] {
            let line = format!("{half}{whole}");
            assert_eq!(message(line.as_bytes()), None);
            assert_eq!(behind_damage(line.as_bytes()).unwrap().payload, "{\"log\":\"x\"}\n");
        }
        assert_eq!(behind_damage(whole.as_bytes()), None, "not the text of a message");
        assert_eq!(behind_damage(br#"{"log":"a{"log":"b"#), None);
    }
}
