//! Files of the data folder are harmed while it is stopped: flipped bits, overwritten and zeroed stretches, truncation,
//! deletion, in every kind of file. Afterwards either everything accepted is there, or what is missing is said:
//! by `verify`, by answers, by metrics, or by a refused start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Round;
use super::kills::BUSY_STORE;
use super::table::Row;
use crate::harness::Random;
use crate::harness::binnacle::{Server, binnacle};
use crate::harness::container::emitter;
use crate::harness::engine::{Engine, Version};
use crate::harness::http;
use crate::harness::ledger::{Expected, settle};

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn play(round: &mut Round) -> Row {
    let scratch = tempfile::tempdir().unwrap();
    let bases = make_folders(round.version, scratch.path());
    let harms = if round.is_short { 6 } else { 30 };
    let mut row = Row::with_harms(harms);
    for number in 0..harms {
        let base = &bases[round.random.below(2) as usize];
        let trial = scratch.path().join(format!("trial-{number}"));
        fs::create_dir(&trial).unwrap();
        copy(&base.data, &trial.join("data"));
        let harm = do_harm(&trial.join("data"), &mut round.random);
        let verifies_first = round.random.below(2) == 0;
        let (found, said) = look(&trial, verifies_first);
        let outcome = compare(&base.truth, &found, &said);
        row.lines += base.truth.lines.values().map(|times| *times as u64).sum::<u64>();
        if outcome.said.is_empty() {
            row.lost += outcome.missing;
            row.repeated += outcome.repeated;
            row.undetected += outcome.invented + outcome.changes.len() as u64;
        } else {
            row.reported += outcome.missing;
        }
        println!("    {harm}: {}", outcome.summary());
        fs::remove_dir_all(&trial).unwrap();
    }
    row
}

/// A data folder at rest, and what it holds.
struct Base {
    data: PathBuf,
    truth: Truth,
}

/// What a folder answers and remembers.
#[derive(Debug, PartialEq, Eq)]
struct Truth {
    /// Each record, with its time and labels, as often as it was answered.
    lines: BTreeMap<String, usize>,
    /// Rows of the catalog that say how far was read, what is missing, and what containers there were.
    rows: BTreeSet<String>,
}

/// One folder left by SIGTERM, one by `kill -9`, with a log of the catalog that is not yet written back.
fn make_folders(version: Version, scratch: &Path) -> [Base; 2] {
    let engine = Engine::start(version);
    let config = scratch.join("binnacle.yaml");
    fs::write(&config, BUSY_STORE).unwrap();
    let config = config.display().to_string();
    let arguments = ["--config", &config, "--docker-host", &engine.host()];
    let mut server = Server::new("run", scratch, &arguments);
    server.start();
    server.wait_ready();
    let containers = [
        emitter("plain", "len=150 rate=1000 lines=3000").start(&engine),
        emitter("hostile", "text=hostile len=300 rate=300 lines=900").start(&engine),
        emitter("overrun", "lines=5 sleep=1 len=200 lines=20000")
            .with("--log-driver json-file --log-opt max-size=100k --log-opt max-file=2")
            .start(&engine),
    ];
    containers.iter().for_each(|container| container.wait_exited(LIMIT));
    let expected = containers.each_ref().map(Expected::held);
    let (verdicts, _) = settle(&server, &expected, LIMIT);
    assert_eq!(verdicts.iter().map(|verdict| verdict.lost()).sum::<usize>(), 0);
    let base = |server: &mut Server, name: &str, end: fn(&mut Server)| {
        end(server);
        let data = scratch.join(name);
        copy(server.data(), &data);
        server.start();
        server.wait_ready();
        let trial = scratch.join(format!("{name}-unharmed"));
        fs::create_dir(&trial).unwrap();
        copy(&data, &trial.join("data"));
        let (truth, said) = look(&trial, true);
        assert_eq!(said, Vec::<String>::new(), "said of a folder that was not harmed");
        Base { truth, data }
    };
    let killed = base(&mut server, "killed", Server::kill);
    let ended = base(&mut server, "ended", |server| assert!(server.end("TERM").success()));
    [killed, ended]
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Harms one file of the folder, of a kind that is drawn first; says what was done.
fn do_harm(data: &Path, random: &mut Random) -> String {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let is_lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
    for path in files(data).into_iter().filter(|path| !is_lock(path)) {
        kinds.entry(kind(&path)).or_default().push(path);
    }
    let mut kinds: Vec<Vec<PathBuf>> = kinds.into_values().collect();
    let mut paths = kinds.swap_remove(random.below(kinds.len() as u64) as usize);
    let path = paths.swap_remove(random.below(paths.len() as u64) as usize);
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    let at = random.below(len.max(1));
    let what = match random.below(8) {
        0 if len > 0 => {
            file.set_len(at).unwrap();
            format!("cut to {at} of {len} bytes")
        }
        1 => {
            fs::remove_file(&path).unwrap();
            "deleted".to_owned()
        }
        2 => {
            let zeros = vec![0; 4096.min(len - at.min(len)) as usize];
            file.write_all_at(&zeros, at).unwrap();
            format!("{} zeros at {at} of {len}", zeros.len())
        }
        3 => {
            let noise: Vec<u8> = (0..64.min(len - at.min(len))).map(|_| random.below(256) as u8).collect();
            file.write_all_at(&noise, at).unwrap();
            format!("{} bytes of noise at {at} of {len}", noise.len())
        }
        _ if len > 0 => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            byte[0] ^= 1 << random.below(8);
            file.write_all_at(&byte, at).unwrap();
            format!("a bit flipped at {at} of {len}")
        }
        _ => "empty as it was".to_owned(),
    };
    format!("{}: {what}", path.strip_prefix(data).unwrap().display())
}

/// Parts, the catalog's three files, an index's description and its other files are kinds of their own.
fn kind(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("blk") => "part".to_owned(),
        Some("term" | "idx" | "pos" | "fast" | "fieldnorm" | "store" | "del") => "index".to_owned(),
        _ => name,
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// What a harmed folder came to.
struct Outcome {
    missing: u64,
    repeated: u64,
    /// Records that are not as they were, beyond those that are missing.
    invented: u64,
    /// Rows of the catalog that are other than before.
    changes: Vec<String>,
    /// What anything said of damage; empty when nothing did.
    said: String,
}

impl Outcome {
    fn summary(&self) -> String {
        let Self { missing, repeated, invented, changes, said } = self;
        let said: String = said.chars().take(160).collect();
        format!("{missing} missing, {repeated} repeated, {invented} other, rows {changes:?}; said: {said}")
    }
}

/// Starts a server on the folder and asks for everything; before that, or afterwards, the folder is verified. Returns
/// also what was said of damage.
fn look(trial: &Path, verifies_first: bool) -> (Truth, Vec<String>) {
    let mut said = Vec::new();
    if verifies_first {
        verify(trial, &mut said);
    }
    let mut server = Server::new("run", trial, &["--docker-host", "none"]);
    server.start();
    let mut found = Truth { lines: BTreeMap::new(), rows: BTreeSet::new() };
    if is_up(&server) {
        found.lines = lines(&server, &mut said);
        let answer = server.get("/api/v1/search?query=*&limit=1&since=1d").json();
        for damage in answer["completeness"]["damaged"].as_array().into_iter().flatten() {
            said.push(format!("answer: {damage}"));
        }
        if server.metric("binnacle_store_damaged_total", "") > 0.0 {
            said.push("metric".to_owned());
        }
        server.kill();
        match rows(server.data()) {
            Ok(rows) => found.rows = rows,
            Err(error) => said.push(format!("SQLite: {error}")),
        }
    } else {
        said.push(format!("no start: {}", server.log().lines().last().unwrap_or_default()));
    }
    if !verifies_first {
        verify(trial, &mut said);
    }
    (found, said)
}

fn verify(trial: &Path, said: &mut Vec<String>) {
    let verified = binnacle().args(["verify", "--data"]).arg(trial.join("data")).output().unwrap();
    if !verified.status.success() {
        said.push(format!("verify: {}{}", first_line(&verified.stdout), first_line(&verified.stderr)));
    }
}

fn compare(truth: &Truth, found: &Truth, said: &[String]) -> Outcome {
    let (mut missing, mut repeated, mut invented) = (0, 0, 0);
    for (line, times) in &truth.lines {
        let found = found.lines.get(line).copied().unwrap_or(0);
        missing += times.saturating_sub(found) as u64;
        repeated += found.saturating_sub(*times) as u64;
    }
    for (line, times) in &found.lines {
        if !truth.lines.contains_key(line) {
            invented += *times as u64;
        }
    }
    let changes = truth.rows.symmetric_difference(&found.rows).cloned().collect();
    Outcome { missing, repeated, invented, changes, said: said.join("; ") }
}

fn first_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).lines().next().unwrap_or_default().to_owned()
}

/// Whether the server is ready; `false` when it has ended instead.
fn is_up(server: &Server) -> bool {
    let deadline = Instant::now() + LIMIT;
    loop {
        if http::get(server.address(), "/ready").is_ok_and(|answer| answer.status == 200) {
            return true;
        }
        let state = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap_or_default();
        if state.contains(") Z ") || state.is_empty() {
            return false;
        }
        assert!(Instant::now() < deadline, "neither ready nor ended\n{}", server.log_tail());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every record as answered to a query for all, and, for the sake of the word index, to one for words. What the client
/// says goes to `said`.
fn lines(server: &Server, said: &mut Vec<String>) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for query in ["*", "plain", "hostile", "overrun"] {
        let output = server.client(&["export", "--since", "1d", query]);
        if !matches!(output.status.code(), Some(0 | 1)) {
            said.push(format!("export: {}", first_line(&output.stderr)));
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            *lines.entry(format!("{query} {line}")).or_insert(0) += 1;
        }
    }
    lines
}

/// What the catalog remembers of containers and their logs.
fn rows(data: &Path) -> rusqlite::Result<BTreeSet<String>> {
    let catalog = rusqlite::Connection::open(data.join("catalog.db"))?;
    let mut found = BTreeSet::new();
    for query in [
        "SELECT concat_ws(' ', 'cursor', source, CAST(position AS TEXT), covered_ns) FROM cursors WHERE source LIKE 'docker/%'",
        "SELECT concat_ws(' ', 'gap', source, name, from_ns, to_ns, lines, reason) FROM gaps WHERE source LIKE 'docker/%'",
        "SELECT concat_ws(' ', 'container', id, name, image, service, project, state, created_ns, started_ns, finished_ns, exit_code, source) FROM containers",
        "SELECT concat_ws(' ', 'stream', id, CAST(labels AS TEXT)) FROM streams",
    ] {
        let mut statement = catalog.prepare(query)?;
        for row in statement.query_map([], |row| row.get::<_, String>(0))? {
            found.insert(row?);
        }
    }
    Ok(found)
}
