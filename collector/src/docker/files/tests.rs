//! The reader against a driver that writes and rotates as Docker's does, at any moment between two reads.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::super::frames::{Frame, Stream};
use super::*;

/// 2026-01-01T00:00:00Z
const START_NS: i64 = 1_767_225_600_000_000_000;

/// Writes the log of one container.
struct Driver {
    folder: tempfile::TempDir,
    max_bytes: u64,
    max_files: usize,
    compresses: bool,
    file: File,
    bytes: u64,
    /// Messages of each generation that still exists, oldest first.
    kept: VecDeque<Vec<Frame>>,
    written: Vec<Frame>,
}

impl Driver {
    fn new(max_bytes: u64, max_files: usize, compresses: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("a-json.log")).unwrap();
        let kept = VecDeque::from([Vec::new()]);
        Self { folder, max_bytes, max_files, compresses, file, bytes: 0, kept, written: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a-json.log")
    }

    fn generation(&self, number: usize) -> PathBuf {
        let ending = if self.compresses { ".gz" } else { "" };
        self.folder.path().join(format!("a-json.log.{number}{ending}"))
    }

    fn write(&mut self, stream: Stream, text: &str) {
        let number = self.written.len();
        let timestamp_ns = START_NS + i64::try_from(number).unwrap() * 1_000;
        let time = jiff::Timestamp::from_nanosecond(timestamp_ns.into()).unwrap();
        let payload = format!("{number} {text}\n");
        let record = serde_json::json!({ "log": payload, "stream": stream.name(), "time": time.to_string() });
        let line = format!("{record}\n");
        // Docker's records begin with their text; so do these, by the order of the alphabet.
        assert!(line.starts_with(r#"{"log":"#));
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.max_bytes {
            self.rotate();
        }
        self.file.write_all(line.as_bytes()).unwrap();
        self.bytes += line.len() as u64;
        let frame = Frame { stream, timestamp_ns, payload: payload.into() };
        self.kept.back_mut().unwrap().push(frame.clone());
        self.written.push(frame);
    }

    fn rotate(&mut self) {
        for number in (1..self.max_files - 1).rev() {
            drop(std::fs::rename(self.generation(number), self.generation(number + 1)));
        }
        let (newest, first) = (self.path(), self.folder.path().join("a-json.log.1"));
        std::fs::rename(&newest, &first).unwrap();
        if self.compresses {
            let mut packed = GzEncoder::new(File::create(self.generation(1)).unwrap(), Compression::fast());
            packed.write_all(&std::fs::read(&first).unwrap()).unwrap();
            packed.finish().unwrap();
            std::fs::remove_file(&first).unwrap();
        }
        self.file = File::create(&newest).unwrap();
        self.bytes = 0;
        self.kept.push_back(Vec::new());
        if self.kept.len() > self.max_files {
            self.kept.pop_front();
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).unwrap();
    }
}

/// All that a reader gives, and the place behind it.
fn read(mut reader: Reader) -> (Vec<Item>, Option<Place>) {
    let mut items = Vec::new();
    while let Some(next) = reader.next().unwrap() {
        items.extend(next);
    }
    (items, reader.into_place())
}

fn messages(items: Vec<Item>) -> Vec<Frame> {
    items
        .into_iter()
        .map(|item| match item {
            Item::Message(frame) => frame,
            Item::Damage => panic!("nothing is damaged"),
        })
        .collect()
}

/// The whole log, and the place behind it.
fn read_whole(driver: &Driver) -> (Vec<Frame>, Place) {
    let reader = Reader::from_end(&driver.path(), None).unwrap();
    assert!(reader.is_whole);
    let (items, place) = read(reader);
    (messages(items), place.unwrap())
}

fn texts(items: &[Item]) -> Vec<&str> {
    items
        .iter()
        .map(|item| match item {
            Item::Message(frame) => std::str::from_utf8(&frame.payload).unwrap(),
            Item::Damage => "damage",
        })
        .collect()
}

#[derive(Clone, Debug)]
enum Step {
    Write(bool, usize),
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (any::<bool>(), prop_oneof![4 => 0..60usize, 1 => 300..900usize]);
    let step = prop_oneof![8 => write.prop_map(|(err, len)| Step::Write(err, len)), 2 => Just(Step::Read)];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_place_goes_on_exactly_behind_what_was_read_or_says_that_it_cannot(
        (steps, max_files, compresses) in (steps(), 2..5usize, any::<bool>()),
    ) {
        let mut driver = Driver::new(2_000, max_files, compresses);
        let (_, mut place) = read_whole(&driver);
        let mut read_so_far = 0;
        for step in steps {
            match step {
                Step::Write(err, length) => {
                    driver.write(Stream::ALL[usize::from(err)], &"\"x\u{1}é".repeat(length / 4));
                }
                Step::Read => {
                    let (items, next) = read(Reader::behind(&driver.path(), place).unwrap());
                    let items = messages(items);
                    // Whatever becomes of the place, what it gave is what was written next.
                    prop_assert_eq!(&items[..], &driver.written[read_so_far..read_so_far + items.len()]);
                    read_so_far += items.len();
                    let held: usize = driver.kept.iter().map(Vec::len).sum();
                    match next {
                        Some(next) => {
                            prop_assert_eq!(read_so_far, driver.written.len());
                            place = next;
                        }
                        None => {
                            // Only where its file is gone from the folder.
                            prop_assert!(read_so_far <= driver.written.len() - held);
                            let (whole, next) = read_whole(&driver);
                            prop_assert_eq!(&whole[..], &driver.written[driver.written.len() - held..]);
                            (place, read_so_far) = (next, driver.written.len());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_log_is_whole_messages(
        (steps, max_files, compresses) in (steps(), 2..5usize, any::<bool>()),
        back in 1..12_000u64,
    ) {
        let mut driver = Driver::new(2_000, max_files, compresses);
        for step in steps {
            if let Step::Write(err, length) = step {
                driver.write(Stream::ALL[usize::from(err)], &"y".repeat(length));
            }
        }
        let reader = Reader::from_end(&driver.path(), Some(back)).unwrap();
        let is_whole = reader.is_whole;
        let (items, place) = read(reader);
        let items = messages(items);
        prop_assert!(place.is_some());
        prop_assert!(driver.written.ends_with(&items));
        let held: usize = driver.kept.iter().map(Vec::len).sum();
        prop_assert_eq!(is_whole, is_whole && items.len() == held);
    }
}

#[test]
fn a_record_still_being_written_is_waited_for() {
    let mut driver = Driver::new(1 << 20, 2, false);
    driver.write(Stream::Stdout, "whole");
    driver.append(br#"{"log":"half"#);
    let (items, place) = read(Reader::from_end(&driver.path(), None).unwrap());
    assert_eq!(texts(&items), ["0 whole\n"]);
    driver.append(b" and half\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n");
    let (items, _) = read(Reader::behind(&driver.path(), place.unwrap()).unwrap());
    assert_eq!(texts(&items), ["half and half\n"]);
}

#[test]
fn a_record_torn_by_a_kill_is_damage_and_the_one_behind_it_is_read() {
    let mut driver = Driver::new(1 << 20, 2, false);
    driver.write(Stream::Stdout, "before");
    driver.append(br#"{"log":"torn"#);
    driver.write(Stream::Stdout, "after");
    let (items, _) = read(Reader::from_end(&driver.path(), None).unwrap());
    assert_eq!(texts(&items), ["0 before\n", "damage", "1 after\n"]);
}

#[test]
fn half_a_record_at_the_end_of_a_rotated_file_is_damage() {
    let mut driver = Driver::new(1 << 20, 3, false);
    driver.write(Stream::Stdout, "before");
    let (_, place) = read_whole(&driver);
    driver.append(br#"{"log":"torn"#);
    driver.rotate();
    driver.write(Stream::Stdout, "after");
    let (items, _) = read(Reader::behind(&driver.path(), place).unwrap());
    assert_eq!(texts(&items), ["damage", "1 after\n"]);
}

#[test]
fn a_file_cut_and_written_anew_is_not_taken_for_the_one_that_was_read() {
    let mut driver = Driver::new(1 << 20, 1, false);
    driver.write(Stream::Stdout, "the same");
    let (_, place) = read_whole(&driver);
    let reopened = OpenOptions::new().write(true).truncate(true).open(driver.path()).unwrap();
    driver.file = reopened;
    // As long as what stood there, and more.
    driver.write(Stream::Stdout, "the same");
    driver.write(Stream::Stdout, "the same");
    let error = Reader::behind(&driver.path(), place).unwrap().next().unwrap_err();
    assert!(matches!(error, FilesError::Changed { .. }) && error.is_passing());
}

#[test]
fn a_removed_log_is_read_to_its_end_through_the_open_file() {
    let mut driver = Driver::new(1 << 20, 2, false);
    driver.write(Stream::Stdout, "seen");
    let (_, place) = read_whole(&driver);
    driver.write(Stream::Stdout, "last words");
    std::fs::remove_file(driver.path()).unwrap();
    let (items, _) = read(Reader::behind(&driver.path(), place).unwrap());
    assert_eq!(texts(&items), ["1 last words\n"]);
    assert!(Reader::from_end(&driver.path(), None).unwrap_err().is_missing());
}

#[test]
fn a_log_of_another_form_is_left_to_the_api() {
    let mut driver = Driver::new(1 << 20, 2, false);
    driver.append(b"2026-01-01T00:00:00.000000001Z stdout F of podman\n");
    let error = Reader::from_end(&driver.path(), None).unwrap_err();
    assert!(matches!(error, FilesError::Format { .. }) && !error.is_passing());
}

#[test]
fn an_endless_line_takes_bounded_memory_and_is_damage() {
    let mut driver = Driver::new(1 << 30, 2, false);
    for _ in 0..3 {
        driver.append(&vec![b'x'; 1 << 20]);
    }
    driver.append(b"\n");
    driver.write(Stream::Stdout, "after");
    let mut reader = Reader::from_end(&driver.path(), None);
    assert!(reader.is_err(), "not a log of records");
    let mut driver = Driver::new(1 << 30, 2, false);
    driver.write(Stream::Stdout, "before");
    driver.append(&vec![b'x'; 3 << 20]);
    driver.append(b"\n");
    driver.write(Stream::Stdout, "after");
    reader = Reader::from_end(&driver.path(), None);
    let (items, _) = read(reader.unwrap());
    let texts = texts(&items);
    assert_eq!((texts[0], texts.last()), ("0 before\n", Some(&"1 after\n")));
    assert!(texts[1..texts.len() - 1].iter().all(|text| *text == "damage"));
}

#[test]
fn only_logs_of_json_files_have_files_and_their_folder_may_be_elsewhere() {
    let container = |driver: &str, log_path: &str| Description {
        id: "abc".into(),
        driver: driver.into(),
        log_path: log_path.into(),
        ..Description::default()
    };
    let path = |container, folder| LogFiles::of(&container, folder).map(|files| files.path);
    let told = "/var/lib/docker/containers/abc/abc-json.log";
    assert_eq!(path(container("json-file", told), ""), Some(told.into()));
    assert_eq!(path(container("json-file", told), "/logs"), Some("/logs/abc/abc-json.log".into()));
    assert_eq!(path(container("json-file", ""), "/logs"), None);
    assert_eq!(path(container("local", told), ""), None);
}
