//! Verdicts on single replies, and what is asked for.

use super::*;

fn frame(stream: Stream, timestamp_ns: i64, payload: &str) -> Frame {
    Frame { stream, timestamp_ns, payload: Bytes::copy_from_slice(payload.as_bytes()) }
}

/// Verdicts on a reply, the cursor moving as it would.
fn judge_all(cursor: &mut Cursor, query: Query, frames: &[Frame]) -> Vec<Verdict> {
    let mut pass = Pass::new(cursor, query.tail.is_none());
    let mut verdicts = Vec::new();
    for frame in frames {
        let verdict = pass.judge(cursor, frame);
        verdicts.push(verdict);
        match verdict {
            Verdict::New | Verdict::NewAfterGap => {
                cursor.advance(frame, pass.is_past_front());
            }
            Verdict::TooShort => break,
            Verdict::Old => {}
        }
    }
    verdicts
}

const ALL: Query = Query { since_ns: None, tail: None };
const SOME: Query = Query { since_ns: None, tail: Some(16) };

fn cursor_behind(frames: &[Frame]) -> Cursor {
    let mut cursor = Cursor::default();
    judge_all(&mut cursor, ALL, frames);
    cursor
}

use Stream::{Stderr as E, Stdout as O};
use Verdict::{New, NewAfterGap, Old, TooShort};

#[test]
fn what_follows_the_message_read_last_is_new() {
    let log = [frame(O, 10, "a\n"), frame(E, 9, "b\n"), frame(O, 12, "c\n"), frame(E, 11, "d\n")];
    let mut cursor = cursor_behind(&log[..2]);
    assert_eq!(judge_all(&mut cursor, SOME, &log), [Old, Old, New, New]);
    assert_eq!(judge_all(&mut cursor, SOME, &log), [Old; 4]);
}

#[test]
fn a_reply_that_does_not_reach_back_is_asked_for_again_and_then_shows_a_gap() {
    let log = [frame(O, 10, "a\n"), frame(O, 11, "b\n"), frame(O, 12, "c\n")];
    let mut cursor = cursor_behind(&log[..1]);
    assert_eq!(judge_all(&mut cursor, SOME, &log[2..]), [TooShort]);
    assert_eq!(judge_all(&mut cursor, ALL, &log[2..]), [NewAfterGap]);
}

#[test]
fn chunks_that_are_all_alike_are_counted_from_the_first() {
    let log: Vec<Frame> = ["a\n", "xxxxxxxx", "xxxxxxxx", "xxxxxxxx", "\n"]
        .into_iter()
        .zip([1, 2, 2, 2, 2])
        .map(|(payload, ts)| frame(O, ts, payload))
        .collect();
    let mut cursor = cursor_behind(&log[..3]);
    // A reply that begins inside the line cannot tell its chunks from one another.
    assert_eq!(judge_all(&mut cursor, SOME, &log[2..]), [TooShort]);
    assert_eq!(judge_all(&mut cursor, SOME, &log), [Old, Old, Old, New, New]);
}

#[test]
fn the_rest_of_a_line_is_new_behind_the_front_though_its_beginning_is_not_shown() {
    let log = [frame(O, 10, "first"), frame(E, 11, "b\n"), frame(O, 10, "rest\n"), frame(E, 12, "c\n")];
    let mut cursor = cursor_behind(&log[..2]);
    assert_eq!(judge_all(&mut cursor, SOME, &log[1..]), [Old, New, New]);
    // While a stream catches up, what was read of the other may lie behind the message read last.
    let mut cursor = cursor_behind(&log[..2]);
    cursor.front = false;
    assert_eq!(judge_all(&mut cursor, SOME, &log[1..]), [Old, TooShort]);
}

#[test]
fn a_clock_set_back_makes_no_line_old() {
    let log = [frame(O, 100, "a\n"), frame(O, 110, "b\n"), frame(O, 50, "c\n"), frame(O, 60, "d\n")];
    let mut cursor = cursor_behind(&log[..2]);
    assert_eq!(judge_all(&mut cursor, SOME, &log[..3]), [Old, Old, New]);
    // What was logged before the step and looks newer is still old.
    assert_eq!(judge_all(&mut cursor, SOME, &log), [Old, Old, Old, New]);
    assert_eq!(judge_all(&mut cursor, SOME, &log), [Old; 4]);
}

#[test]
fn a_log_of_which_everything_looks_old_but_nothing_is_known_was_replaced() {
    let cursor = cursor_behind(&[frame(O, 100, "a\n")]);
    let mut pass = Pass::new(&cursor, true);
    assert_eq!(pass.judge(&cursor, &frame(O, 50, "z\n")), Old);
    assert_eq!(pass.end(&cursor), End::Replaced);
}

#[test]
fn a_stream_that_stayed_behind_goes_on_at_its_own_message() {
    let log = [frame(O, 10, "a\n"), frame(O, 11, "trace\n"), frame(E, 12, "b\n"), frame(O, 13, "c\n")];
    let mut cursor = cursor_behind(&log[..3]);
    cursor.out = cursor_behind(&log[..1]).out;
    cursor.out.pending = cursor_behind(&log[1..2]).out.mark;
    assert_eq!(judge_all(&mut cursor.clone(), SOME, &log), [Old, New, Old, New]);
    assert_eq!(judge_all(&mut cursor, SOME, &log[2..]), [Old, TooShort]);
}

#[test]
fn the_request_asks_for_time_and_number() {
    assert_eq!(Query::next(&Cursor::default(), None, 0, 500, true), ALL);
    let cursor = cursor_behind(&[frame(O, 100 * SECOND, "a\n")]);
    let query = |open_ns, now_s: i64, new| Query::next(&cursor, open_ns, now_s * SECOND, new, true);
    assert_eq!(query(None, 101, 0), Query { since_ns: Some(98 * SECOND), tail: Some(16) });
    assert_eq!(query(None, 101, 100), Query { since_ns: Some(98 * SECOND), tail: Some(141) });
    assert_eq!(query(Some(7 * SECOND), 101, 0).since_ns, Some(5 * SECOND), "an unfinished line");
    assert_eq!(query(None, 50, 0).since_ns, Some(48 * SECOND), "a clock set back");
    assert_eq!(query(None, 101, u64::MAX).tail, None);
    assert_eq!(Query::next(&cursor, None, 101 * SECOND, 0, false).tail, None, "Podman");
    let widened = std::iter::successors(Some(SOME), |q| q.tail.map(|_| q.wider())).last();
    assert_eq!(widened, Some(ALL));
}

#[test]
fn a_compressed_log_is_asked_by_time_only_where_a_short_reply_is_noticed() {
    let query = Query { since_ns: Some(5), tail: Some(16) };
    assert_eq!(query.for_compressed(), query);
    assert_eq!(query.wider_for_compressed(), Query { since_ns: None, tail: Some(128) });
    assert_eq!(Query { since_ns: Some(5), tail: None }.for_compressed(), ALL);
}
