use bytes::Bytes;

use super::*;

fn frame(stream: Stream, timestamp_ns: i64, payload: &'static str) -> Frame {
    Frame { stream, timestamp_ns, payload: Bytes::from_static(payload.as_bytes()) }
}

fn out(ns: i64, payload: &'static str) -> Frame {
    frame(Stream::Stdout, ns, payload)
}

fn err(ns: i64, payload: &'static str) -> Frame {
    frame(Stream::Stderr, ns, payload)
}

fn latest(ns: i64, records: u64, lines: u64) -> Option<Latest> {
    Some(Latest { ns, records, lines })
}

fn find(log: &[Frame], latest: [Option<Latest>; 2]) -> Cursor {
    let mut search = Search::new(latest, 4, false);
    log.iter().for_each(|frame| search.pass(frame));
    search.end()
}

/// A cursor that has read these messages.
fn behind(frames: &[Frame]) -> Cursor {
    let mut cursor = Cursor::default();
    for frame in frames {
        cursor.advance(frame, true);
    }
    cursor
}

#[test]
fn the_place_is_that_of_a_reader_who_never_lost_it() {
    let log = [out(1, "a\n"), err(2, "b\n"), out(3, "c\n"), out(3, "c\n"), err(4, "d\n"), out(5, "e\n")];
    assert_eq!(find(&log, [latest(3, 2, 2), latest(4, 1, 1)]), behind(&log[..5]));
    assert_eq!(find(&log, [latest(5, 1, 1), latest(4, 1, 1)]), behind(&log));
    assert_eq!(find(&log, [None, None]), Cursor::default());
    // Of two lines with one time only the first is stored.
    assert_eq!(find(&log, [latest(3, 1, 1), latest(2, 1, 1)]), behind(&log[..3]));
}

#[test]
fn chunks_and_the_lines_of_a_stack_trace_are_passed_whole() {
    let log =
        [out(1, "long"), out(1, "er l"), out(1, "in\n"), out(2, "Tra\n"), out(3, "  a\n"), out(4, "b\n")];
    assert_eq!(find(&log, [latest(1, 1, 1), None]), behind(&log[..3]));
    assert_eq!(find(&log, [latest(2, 1, 2), None]), behind(&log[..5]));
    // A line whose end never came.
    let log = [out(1, "long"), out(2, "a\n")];
    assert_eq!(find(&log, [latest(1, 1, 1), None]), behind(&log[..1]));
    assert_eq!(find(&log[..1], [latest(1, 1, 1), None]), behind(&log[..1]));
}

#[test]
fn a_stream_that_stayed_behind_goes_on_at_its_next_message() {
    let log = [out(1, "a\n"), err(2, "b\n"), err(3, "c\n"), out(4, "d\n")];
    let cursor = find(&log, [latest(4, 1, 1), latest(2, 1, 1)]);
    assert_eq!((cursor.last, cursor.front), (Some(Stream::Stdout), true));
    assert_eq!(cursor.out, behind(&log).out);
    assert_eq!(cursor.err.mark, behind(&log[..2]).err.mark);
    assert_eq!(cursor.err.pending, behind(&log[..3]).err.mark);
    // Nothing of it is stored.
    let cursor = find(&log, [latest(4, 1, 1), None]);
    assert_eq!((cursor.err.mark, cursor.err.pending), (None, behind(&log[..2]).err.mark));
}

#[test]
fn what_was_rotated_away_is_not_taken_for_what_came_after_it() {
    let log = [out(5, "e\n"), out(6, "f\n")];
    let cursor = find(&log, [latest(3, 1, 4), None]);
    assert_eq!((cursor.out.mark.map(|mark| mark.ts), cursor.out.pending), (Some(3), None));
    assert_eq!((cursor.last, cursor.front), (Some(Stream::Stdout), false));
    // Of three records with one time the log has the last.
    assert_eq!(find(&log, [latest(5, 3, 3), None]), behind(&log[..1]));
}
