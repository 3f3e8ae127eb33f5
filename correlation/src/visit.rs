//! Lines of one service in one trace, without span ids, told apart into visits.
//!
//! A visit begins with a line that says so, or with its first line; it ends with the line that answers it, or
//! with its last line. Lines that say neither belong to the visit they stand in, else to the one before them, unless
//! a long pause lies between. Every line is in exactly one visit.

use crate::line::{Line, Mark};

/// How far the start that a duration tells may be from the line that says so: different clocks read, rounding.
const START_SLACK_NS: i64 = 20_000_000;
/// Two lines of one logger and one framework say the same within this time.
const REPEAT_NS: i64 = 1_000_000;
const REPEATED_START_NS: i64 = 20_000_000;

/// Lines of a visit, by time.
type Visit<'a> = Vec<&'a Line>;

/// The visits that `lines`, which are by time, tell of, by their first lines.
pub(crate) fn split<'a>(lines: &[&'a Line], gap_ns: i64) -> Vec<Visit<'a>> {
    let mut splitter = Splitter { gap_ns, closed: Vec::new(), open: Vec::new(), loose: Vec::new() };
    for line in lines {
        splitter.take(line);
    }
    splitter.finish()
}

/// From when to when a visit or a span lasted, by its lines. A line that marks the start counts more than a
/// duration, and the duration of the answer more than those of what was done for it.
pub(crate) fn extent(lines: &[&Line]) -> (i64, i64) {
    let has_start = lines.iter().any(|line| line.mark == Mark::Start);
    let is_timed_answer = |line: &Line| line.mark == Mark::Answer && line.duration_ns.is_some();
    let has_timed_answer = lines.iter().any(|line| is_timed_answer(line));
    let began = |line: &Line| match (has_start, has_timed_answer) {
        (true, _) => line.ts_ns,
        (false, true) if !is_timed_answer(line) => line.ts_ns,
        _ => line.began_ns(),
    };
    let start_ns = lines.iter().map(|line| began(line)).min().unwrap_or(0);
    let end_ns = lines.iter().map(|line| line.ts_ns).max().unwrap_or(0);
    (start_ns, end_ns)
}

struct Splitter<'a> {
    gap_ns: i64,
    closed: Vec<Visit<'a>>,
    /// Begun by a line that says so and not answered yet, outermost first.
    open: Vec<Visit<'a>>,
    /// Lines since, while nothing is open.
    loose: Visit<'a>,
}

impl<'a> Splitter<'a> {
    fn take(&mut self, line: &'a Line) {
        if line.mark == Mark::Start {
            self.flush();
            self.open.push(vec![line]);
            return;
        }
        if let Some(place) = self.answered_by(line) {
            let mut visit = self.open.remove(place);
            visit.push(line);
            self.closed.push(visit);
            return;
        }
        if line.mark == Mark::Answer {
            self.answer(line);
            return;
        }
        if let Some(visit) = self.open.last_mut() {
            visit.push(line);
            return;
        }
        if self.loose.last().is_some_and(|last| line.ts_ns.saturating_sub(last.ts_ns) > self.gap_ns) {
            self.flush();
        }
        self.loose.push(line);
    }

    /// Which open visit ends with this line.
    fn answered_by(&self, line: &Line) -> Option<usize> {
        if line.duration_ns.is_some() {
            let off = |visit: &Visit<'_>| {
                visit.first().map_or(i64::MAX, |first| first.ts_ns.abs_diff(line.began_ns()).cast_signed())
            };
            let nearest = (0..self.open.len()).min_by_key(|i| off(&self.open[*i]))?;
            return (off(&self.open[nearest]) <= START_SLACK_NS).then_some(nearest);
        }
        if line.mark == Mark::None {
            return None;
        }
        let same = |visit: &Visit<'_>| visit.first().is_some_and(|first| is_same_request(first, line));
        self.open.iter().rposition(same).or(self.open.len().checked_sub(1))
    }

    /// A request whose start no line marks.
    fn answer(&mut self, line: &'a Line) {
        if let Some(last) =
            self.closed.last_mut().filter(|last| self.loose.is_empty() && is_repeated(last, line))
        {
            last.push(line);
            return;
        }
        let mut visit = std::mem::take(&mut self.loose);
        if line.duration_ns.is_some() {
            let began = line.began_ns().saturating_sub(START_SLACK_NS);
            let own = visit.partition_point(|loose| loose.ts_ns < began);
            self.loose = visit.drain(..own).collect();
            self.flush();
        }
        visit.push(line);
        self.closed.push(visit);
    }

    /// Finds a visit for the loose lines.
    fn flush(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        let (Some(first), Some(before)) = (loose.first(), self.closed.last_mut()) else {
            return self.close_loose(loose);
        };
        let end_ns = before.last().map_or(i64::MIN, |last| last.ts_ns);
        if first.began_ns().saturating_sub(end_ns) > self.gap_ns
            || loose.iter().all(|line| line.duration_ns.is_some())
        {
            return self.close_loose(loose);
        }
        before.extend(loose);
    }

    fn close_loose(&mut self, loose: Visit<'a>) {
        // A service that logs one line a call, with its duration, was visited as often as there are times apart.
        let each_timed = loose.iter().all(|line| line.duration_ns.is_some());
        let mut visits: Vec<(i64, Visit<'a>)> = Vec::new();
        for line in loose {
            let (mut start_ns, mut lines) = (line.began_ns(), vec![line]);
            while let Some((earlier_ns, earlier)) = visits.pop() {
                let end_ns = earlier.last().map_or(i64::MIN, |last| last.ts_ns);
                if each_timed && start_ns >= end_ns {
                    visits.push((earlier_ns, earlier));
                    break;
                }
                start_ns = start_ns.min(earlier_ns);
                lines.splice(0..0, earlier);
            }
            visits.push((start_ns, lines));
        }
        self.closed.extend(visits.into_iter().map(|(_, lines)| lines));
    }

    fn finish(mut self) -> Vec<Visit<'a>> {
        self.flush();
        for visit in std::mem::take(&mut self.open).into_iter().rev() {
            // A framework and its application may both say that a request has come in; one answer ends it.
            match self.closed.iter_mut().find(|closed| is_start_repeated(&visit, closed)) {
                Some(closed) => {
                    closed.splice(0..0, visit);
                }
                None => self.closed.push(visit),
            }
        }
        for visit in &mut self.closed {
            visit.sort_by_key(|line| (line.ts_ns, line.order));
        }
        self.closed.sort_by_key(|visit| visit.first().map(|first| (first.ts_ns, first.order)));
        self.closed
    }
}

fn is_same_request(a: &Line, b: &Line) -> bool {
    let methods = (a.http.map(|http| http.method), b.http.map(|http| http.method));
    matches!(methods, (Some(a_method), Some(b_method)) if a_method == b_method)
        && a.words.path() == b.words.path()
}

/// Whether `line` answers once more what `visit` was.
fn is_repeated(visit: &[&Line], line: &Line) -> bool {
    let end_ns = visit.last().map_or(i64::MIN, |last| last.ts_ns);
    let shared = end_ns.saturating_sub(line.began_ns());
    let overlaps = match line.duration_ns {
        Some(duration) if duration > 0 => shared >= duration / 2,
        _ => -shared <= REPEAT_NS,
    };
    overlaps && visit.iter().any(|earlier| is_same_request(earlier, line))
}

/// Whether `later` begins with the same start as `visit`, which nothing answers.
fn is_start_repeated(visit: &[&Line], later: &[&Line]) -> bool {
    let (Some(first), Some(last), Some(next)) = (visit.first(), visit.last(), later.first()) else {
        return false;
    };
    let soon = (0..=REPEATED_START_NS).contains(&next.ts_ns.saturating_sub(last.ts_ns));
    soon && (first.http.is_none() || next.http.is_none() || is_same_request(first, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::line::LineReader;
    use crate::tests::record;

    const MS: i64 = 1_000_000;

    /// Visits of lines given as milliseconds and text, as milliseconds from start to end.
    fn visits(lines: &[(i64, &str)]) -> Vec<(i64, i64)> {
        let mut reader = LineReader::new(&Config::default());
        let lines: Vec<Line> = lines
            .iter()
            .map(|(ms, text)| reader.read(&record("web", ms * MS, text, &[("correlation_id", "a")])).unwrap())
            .collect();
        let lines: Vec<&Line> = lines.iter().collect();
        let visits = split(&lines, 5_000 * MS);
        assert_eq!(visits.iter().map(Vec::len).sum::<usize>(), lines.len(), "every line once");
        visits.iter().map(|visit| extent(visit)).map(|(start, end)| (start / MS, end / MS)).collect()
    }

    #[test]
    fn without_marks_a_visit_is_first_to_last_line() {
        assert_eq!(visits(&[(10, "placing order"), (15, "asking bank"), (90, "order placed")]), [(10, 90)]);
        assert_eq!(visits(&[(10, "a"), (4_000, "b"), (9_100, "c")]), [(10, 4_000), (9_100, 9_100)]);
    }

    #[test]
    fn starts_and_answers_are_brackets() {
        let (start, end) = ("request received", "request completed");
        assert_eq!(
            visits(&[(10, start), (15, "x"), (20, end), (30, start), (40, end)]),
            [(10, 20), (30, 40)]
        );
        assert_eq!(
            visits(&[(10, start), (20, start), (50, "x"), (60, end), (90, end)]),
            [(10, 90), (20, 60)]
        );
        let answer = r#"{"method":"GET","path":"/a","status":200}"#;
        assert_eq!(
            visits(&[(10, "GET /a received"), (20, "GET /b received"), (30, answer)]),
            [(10, 30), (20, 20)]
        );
        assert_eq!(
            visits(&[(10, "incoming request"), (11, "GET /a received"), (30, answer)]),
            [(10, 30)],
            "said twice"
        );
        assert_eq!(visits(&[(9, "x"), (10, start), (20, end), (25, "y")]), [(9, 9), (10, 25)]);
    }

    #[test]
    fn durations_move_the_start_back_and_pair_with_starts() {
        assert_eq!(visits(&[(90, "answered took=80ms")]), [(10, 90)]);
        assert_eq!(
            visits(&[(20, "a took=5ms"), (40, "b took=5ms")]),
            [(15, 20), (35, 40)],
            "one line a call"
        );
        assert_eq!(visits(&[(20, "a took=5ms"), (40, "b took=30ms")]), [(10, 40)], "one within the other");
        assert_eq!(
            visits(&[(5, "begun"), (20, "a took=5ms"), (40, "b took=5ms")]),
            [(5, 40)],
            "steps of one"
        );
        let (start, end) = ("request received took=40ms", "order placed took=40ms");
        assert_eq!(visits(&[(10, start), (50, end), (60, start), (100, end)]), [(10, 50), (60, 100)]);
    }

    #[test]
    fn each_answer_without_a_start_is_a_visit() {
        let answer = |path: &str, ms: u32| {
            format!(r#"{{"method":"GET","path":"{path}","status":200,"duration_ms":{ms}}}"#)
        };
        assert_eq!(visits(&[(20, &answer("/a", 5)), (40, &answer("/a", 5))]), [(15, 20), (35, 40)]);
        assert_eq!(visits(&[(60, &answer("/inner", 5)), (90, &answer("/outer", 80))]), [(55, 60), (10, 90)]);
        let access = r#"10.0.0.1 - - [20/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 512 "-" "curl/8""#;
        assert_eq!(visits(&[(20, &answer("/a", 5)), (20, access)]), [(15, 20)], "logged twice");
        assert_eq!(visits(&[(16, "reading"), (20, &answer("/a", 5)), (21, "read")]), [(15, 21)]);
    }
}
