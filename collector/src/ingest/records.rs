//! An export (`store::exchange`) back into a store: records as they were, nothing parsed, nothing added.

use std::io::{Cursor, Read};

use store::exchange::{self, MARK};
use store::{Batch, Record, Writer};

use super::lines::{Line, Lines};
use super::{BATCH_BYTES, BATCH_LINES, Clock, IngestError, Progress, SHORT_READ_BYTES, Summary};

/// Longest line of an export. The longest record line is `ingest.max_line_bytes` on the host that wrote it, and
/// JSON makes six bytes of a control character.
const MAX_LINE_BYTES: usize = 256 << 20;

/// What the lines of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Log lines.
    Lines,
    /// Records that `binnacle export` wrote.
    Records,
}

impl Form {
    /// Whether the input begins like an export, and the whole input again. Reads no more than it takes to tell.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn detect(mut input: impl Read) -> std::io::Result<(Self, impl Read)> {
        let mut begin = Vec::with_capacity(MARK.len());
        let mut byte = [0];
        while begin.len() < MARK.len() && MARK.starts_with(&begin) {
            match input.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => begin.push(byte[0]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let form = if begin == MARK { Self::Records } else { Self::Lines };
        Ok((form, Cursor::new(begin).chain(input)))
    }
}

/// Stores the records of an export through `writer`; `progress` is called after each batch. Blocks: call it off
/// the async runtime.
///
/// # Errors
/// When the input cannot be read, a line of it is no record, or the store fails; what `progress` reported is
/// stored.
pub fn records_into_store(
    input: impl Read,
    writer: &Writer,
    mut progress: impl FnMut(Progress),
) -> Result<Summary, IngestError> {
    let clock = Clock::start();
    let mut lines = Lines::new(input, MAX_LINE_BYTES);
    let mut summary = Summary::default();
    let mut read = Vec::new();
    let mut number = 0;
    let mut ended = false;
    while !ended {
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut wrong = None;
        while records.len() < BATCH_LINES && bytes < BATCH_BYTES && wrong.is_none() {
            let Some(length) = lines.read(&mut read)? else {
                ended = true;
                break;
            };
            bytes += length;
            for line in read.drain(..) {
                number += 1;
                match record(&line) {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => {}
                    Err(reason) => {
                        wrong = Some(IngestError::NoRecord { line: number, reason });
                        break;
                    }
                }
            }
            // As for log lines: a pipe that rests has its records stored.
            if length < SHORT_READ_BYTES && !records.is_empty() {
                break;
            }
        }
        summary.bytes += bytes as u64;
        summary.lines += records.len() as u64;
        if !records.is_empty() {
            writer.append_blocking(Batch { records, ..Batch::default() })?;
            progress(Progress { lines: summary.lines, bytes: summary.bytes });
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
    }
    super::settle(writer, summary.bytes);
    Ok(clock.end(summary))
}

/// How the last line of `GET /api/v1/export` begins.
const SUMMARY: &[u8] = br#"{"summary":"#;

/// `None` for a line that holds no record and need not.
fn record(line: &Line) -> Result<Option<Record>, String> {
    if let Some(length) = line.truncated_from {
        return Err(format!("it has {length} bytes, and no record has more than {MAX_LINE_BYTES}"));
    }
    if line.bytes.is_empty() || line.bytes.starts_with(SUMMARY) {
        return Ok(None);
    }
    exchange::of_line(&line.bytes).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    fn stored(input: &str) -> (Result<Summary, IngestError>, u64) {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(dir.path(), &store::Config::default(), &Registry::new()).unwrap();
        let outcome = records_into_store(input.as_bytes(), &writer, |_| {});
        let stats = store::Reader::open(dir.path()).unwrap().stats().unwrap();
        (outcome, stats.records)
    }

    const RECORD: &str =
        r#"{"binnacle_record":1,"timestamp":"2023-11-14T22:13:20Z","labels":{"app":"a"},"line":"paid"}"#;

    #[test]
    fn records_before_a_wrong_line_are_stored_and_the_line_is_named() {
        let (outcome, stored) = stored(&format!("{RECORD}\n\n{RECORD}\r\nnot a record\n{RECORD}\n"));
        let error = outcome.unwrap_err().to_string();
        assert!(error.starts_with("line 4 of the input: no record of an export: "), "{error}");
        assert_eq!(stored, 2);
    }

    #[test]
    fn the_form_is_told_by_the_first_line_and_nothing_is_swallowed() {
        for (input, expected) in [
            ("", Form::Lines),
            ("a\n", Form::Lines),
            ("{\"binnacle\":1}\n", Form::Lines),
            ("{\"binnacle_record", Form::Lines),
            (RECORD, Form::Records),
        ] {
            let (form, mut rest) = Form::detect(input.as_bytes()).unwrap();
            let mut whole = String::new();
            rest.read_to_string(&mut whole).unwrap();
            assert_eq!((form, whole.as_str()), (expected, input));
        }
    }
}
