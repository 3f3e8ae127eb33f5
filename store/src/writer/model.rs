//! The store against a plain model: lists of operations, with ends of the process at any step, after which
//! every acknowledged record is there exactly once, in order, and the cursor says what is there.

use proptest::prelude::*;

use super::lifecycle::Step;
use super::tests::{lines, lines_with, record};
use super::*;
use crate::config::{Limit, Period};
use crate::{Prune, Text};

const WINDOW_NS: i64 = 60_000_000_000;
const SOURCE: &str = "test";

#[derive(Clone, Debug)]
enum Op {
    /// Records of (stream, window before the newest, second within it).
    Append(Vec<(u8, u8, u8)>),
    Flush,
    /// The same records as for an append, straight into parts.
    Load(Vec<(u8, u8, u8)>),
    /// Everything older than this many windows goes.
    Expire(u8),
    /// The process ends cleanly and starts again.
    Reopen,
    /// The process ends at a step of the operation; the log of the catalog may have a torn tail.
    Crash(Step, Box<Self>, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Committed),
        Just(Step::PartsWritten),
        Just(Step::PartsInstalled),
        Just(Step::RowsDeleted),
        Just(Step::BeforeIndex),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let records = || prop::collection::vec((0..3_u8, 0..3_u8, 0..4_u8), 0..6);
    let (append, load) = (records().prop_map(Op::Append), records().prop_map(Op::Load));
    let simple =
        prop_oneof![6 => append, 2 => load, 6 => Just(Op::Flush), 1 => (0..4_u8).prop_map(Op::Expire)];
    prop_oneof![
        12 => simple.clone(),
        1 => Just(Op::Reopen),
        3 => (step(), simple, any::<bool>()).prop_map(|(step, op, torn)| Op::Crash(step, Box::new(op), torn)),
    ]
}

struct Run {
    dir: tempfile::TempDir,
    writer: Option<Writer>,
    /// A reader as another process has it, open all the time.
    follower: Option<Reader>,
    /// Start of the newest window.
    newest_ns: i64,
    /// (stream, time, line), in the order of arrival.
    model: Vec<(String, i64, String)>,
    /// Number of the last append that counts.
    appended: u64,
    next: u64,
}

impl Run {
    fn new() -> Self {
        let now_ns = jiff::Timestamp::now().as_nanosecond() as i64;
        let newest_ns = now_ns - now_ns % WINDOW_NS - WINDOW_NS;
        let dir = tempfile::tempdir().unwrap();
        let mut run =
            Self { dir, writer: None, follower: None, newest_ns, model: Vec::new(), appended: 0, next: 0 };
        run.open();
        run.follower = Some(Reader::open(run.dir.path()).unwrap());
        run
    }

    fn open(&mut self) {
        let config =
            Config { window: Period(std::time::Duration::from_nanos(WINDOW_NS as u64)), ..Config::default() };
        let writer = Writer::open(self.dir.path(), &config, &prometheus::Registry::new()).unwrap();
        self.writer = Some(writer);
    }

    fn writer(&self) -> &Writer {
        self.writer.as_ref().unwrap()
    }

    fn apply(&mut self, op: &Op) -> Result<(), StoreError> {
        match op {
            Op::Append(records) => self.append(records),
            Op::Load(records) => self.load(records),
            Op::Flush => self.writer().flush_blocking(),
            Op::Expire(windows) => self.expire(*windows),
            Op::Reopen => {
                self.writer = None;
                self.open();
                Ok(())
            }
            Op::Crash(step, op, torn) => {
                self.crash(*step, op, *torn);
                Ok(())
            }
        }
    }

    /// The records as the model and as the store have them.
    fn records(&mut self, records: &[(u8, u8, u8)]) -> (Vec<(String, i64, String)>, Vec<Record>) {
        self.next += 1;
        let mut rows = Vec::new();
        for (i, (stream, window, second)) in records.iter().enumerate() {
            let ns = self.newest_ns - i64::from(*window) * WINDOW_NS + i64::from(*second) * 1_000_000_000;
            rows.push((stream.to_string(), ns, format!("{}/{i}", self.next)));
        }
        let records = rows.iter().map(|(stream, ns, line)| record(stream, *ns, line)).collect();
        (rows, records)
    }

    fn load(&mut self, records: &[(u8, u8, u8)]) -> Result<(), StoreError> {
        let (rows, records) = self.records(records);
        let mut loader = self.writer().loader();
        let result = loader.add(records).and_then(|()| loader.finish());
        if result.is_err() {
            // Stopped half way: all of it is there or nothing, and the next start says which.
            self.restart();
            if lines(&self.writer().reader()).len() == self.model.len() {
                return result;
            }
        }
        self.model.extend(rows);
        result
    }

    fn append(&mut self, records: &[(u8, u8, u8)]) -> Result<(), StoreError> {
        let (rows, records) = self.records(records);
        let number = self.next;
        let mut batch = Batch { records, ..Batch::default() };
        let position = Some(number.to_string().into_bytes());
        batch.cursors.push(CursorUpdate { source: SOURCE.to_owned(), position, covered_ns: None });
        let result = self.writer().append_blocking(batch);
        // Whether an append counts whose answer was an error is the cursor's to say, after the restart.
        if result.is_ok() || {
            self.restart();
            self.stored() == number
        } {
            self.model.extend(rows);
            self.appended = number;
        }
        result.map(drop)
    }

    /// After an end in the middle of things.
    fn restart(&mut self) {
        self.writer = None;
        self.open();
    }

    fn stored(&self) -> u64 {
        match self.writer().cursor(SOURCE).unwrap() {
            Position::Unset => 0,
            Position::At(bytes) => String::from_utf8(bytes).unwrap().parse().unwrap(),
            Position::Damaged => panic!("nobody harms it"),
        }
    }

    fn expire(&mut self, windows: u8) -> Result<(), StoreError> {
        self.writer().flush_blocking()?;
        let now_ns = jiff::Timestamp::now().as_nanosecond() as i64;
        // The middle of a window, so that the time this takes does not matter.
        let cutoff_ns = self.newest_ns - i64::from(windows) * WINDOW_NS + WINDOW_NS / 2;
        let age = Period(std::time::Duration::from_nanos((now_ns - cutoff_ns) as u64));
        self.writer()
            .set_retention(RetentionConfig { max_age: Limit(Some(age)), ..RetentionConfig::keep_all() });
        let result = self.writer().flush_blocking();
        self.writer().set_retention(RetentionConfig::keep_all());
        let first_kept_ns = cutoff_ns - WINDOW_NS / 2;
        if result.is_err() {
            // Stopped half way: then all of it is gone or nothing, and the next start says which.
            self.restart();
            if lines(&self.writer().reader()).len() == self.model.len() {
                return result;
            }
        }
        self.model.retain(|(_, ns, _)| *ns >= first_kept_ns);
        result
    }

    fn crash(&mut self, step: Step, op: &Op, torn: bool) {
        if let Some(tenure) = self.writer().inner.tenure.upgrade() {
            tenure.crash_at(Some(step));
        }
        match self.apply(op) {
            Ok(()) | Err(StoreError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
        if let Some(tenure) = self.writer().inner.tenure.upgrade() {
            tenure.crash_at(None);
            tenure.stop();
        }
        self.writer = None;
        if torn {
            let log = self.dir.path().join("catalog.db-wal");
            let mut bytes = std::fs::read(&log).unwrap_or_default();
            bytes.extend_from_slice(&[0x5a; 5000]);
            std::fs::write(&log, bytes).unwrap();
        }
        self.open();
    }

    fn check(&self) {
        let mut expected: Vec<(&str, i64, usize, &str)> = self
            .model
            .iter()
            .enumerate()
            .map(|(i, (s, ns, line))| (s.as_str(), *ns, i, line.as_str()))
            .collect();
        expected.sort_unstable();
        let expected: Vec<String> =
            expected.into_iter().map(|(stream, ns, _, line)| format!("{stream} {ns} {line}")).collect();
        assert_eq!(lines(&self.writer().reader()), expected, "in the writer's process");
        assert_eq!(lines(self.follower.as_ref().unwrap()), expected, "in another process");
        assert_eq!(self.stored(), self.appended);
        if let Some((_, _, line)) = self.model.first() {
            let needle = Prune::Text(Text::substring(line.as_bytes()));
            let reader = self.writer().reader();
            assert!(lines_with(&reader, &needle).iter().any(|found| found.ends_with(line)), "pruned away");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_record_is_there_exactly_once_and_in_order(ops in prop::collection::vec(op(), 1..40)) {
        let mut run = Run::new();
        for op in &ops {
            match run.apply(op) {
                Ok(()) | Err(StoreError::Closed) => {}
                Err(error) => panic!("{op:?}: {error}"),
            }
            run.check();
        }
    }
}
