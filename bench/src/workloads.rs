//! The table of workloads: what is asked of each data set, and what it may take in the short form.
//!
//! Ids are those of the project's benchmark plan. W1 (taking lines in) is measured of every set; W2 to W4 (steady load,
//! time to visible, tails), W12 (queries beside ingest) and W13 (crashes) have programs of their own: docs/benchmarks.md.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::SEED;
use crate::question::{Answer, Question};
use crate::services::Services;
use crate::sets::Set;

/// A question, and how much it may take.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// `W5` and so on.
    pub(crate) id: &'static str,
    pub(crate) question: Question,
    /// The short form fails when a question takes more than this times the CPU of its yardstick, in the development
    /// profile. It is about four times what was measured when it was set: noise stays below it, a query that reads
    /// everything where it read little does not.
    pub(crate) most: f64,
}

/// What taking the lines of a set in may cost in the short form, in the development profile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IngestBound {
    /// Times the CPU of `zstd -3`.
    pub(crate) cpu: f64,
    /// Bytes on disk for a byte of the file, a quarter more than when it was set: it does not depend on the machine.
    pub(crate) disk: f64,
}

/// The bounds of W1.
pub(crate) const fn ingest_bound(set: Set) -> IngestBound {
    match set {
        Set::Plain => IngestBound { cpu: 80.0, disk: 0.28 },
        Set::Services => IngestBound { cpu: 60.0, disk: 0.24 },
        Set::Streams(_) => IngestBound { cpu: 200.0, disk: 2.0 },
        Set::Hostile => IngestBound { cpu: 100.0, disk: 1.1 },
    }
}

/// What is asked of a set, whose lines are in `file`.
pub(crate) fn workloads(set: Set, file: &Path) -> Result<Vec<Workload>> {
    match set {
        Set::Plain => Ok(of_plain()),
        Set::Services => of_services(file),
        Set::Streams(_) => of_streams(file),
        Set::Hostile => Ok(of_hostile()),
    }
}

fn workload(id: &'static str, most: f64, question: Question) -> Workload {
    Workload { id, question, most }
}

/// Lines with a text.
fn lines(name: &str, text: &str) -> Question {
    Question {
        name: name.to_owned(),
        logql: format!("{{host=\"bench\"}} |= `{text}`"),
        pipeline: ripgrep(&format!("-F '{text}'")),
        answer: Answer::Lines,
    }
}

/// The number of lines that a filter leaves, in the words of both.
fn count(name: &str, filter: &str, ripgrep_arguments: &str) -> Question {
    Question {
        name: name.to_owned(),
        logql: format!("sum(count_over_time({{host=\"bench\"}} {filter} [2h]))"),
        pipeline: ripgrep(&format!("-c {ripgrep_arguments}")),
        answer: Answer::Count,
    }
}

/// Nothing found is no failure; bytes that are no text are read too.
fn ripgrep(arguments: &str) -> String {
    format!("rg --no-config --text {arguments} $FILE || [ $? = 1 ]")
}

/// A metric query, named by itself.
fn metric(logql: &str, pipeline: &str, answer: Answer) -> Question {
    // A pipe within code within a table.
    let name = format!("`{}`", logql.replace('|', "\\|"));
    Question { name, logql: logql.to_owned(), pipeline: pipeline.to_owned(), answer }
}

/// How often each value of a field stands in the file.
fn frequencies(field: &str) -> String {
    format!("jq -r {field} $FILE | sort | uniq -c")
}

fn top_ten(field: &str) -> String {
    format!("{} | sort -rn | head", frequencies(field))
}

fn of_plain() -> Vec<Workload> {
    vec![
        workload("W6", 3.0, count("a word of one source in ten", "|= `replica`", "-F replica")),
        workload("W6", 2.0, count("a word of no line", "|= `nonesuch`", "-F nonesuch")),
        workload(
            "W7",
            8.0,
            count("regex with literals", "|~ `Task .* succeeded in 1[0-9]`", "'Task .* succeeded in 1[0-9]'"),
        ),
        workload("W7", 30.0, count("anchored regex", r"|~ `^I[0-9]{4} `", r"'^I[0-9]{4} '")),
    ]
}

fn of_services(file: &Path) -> Result<Vec<Workload>> {
    let trace_id = from_the_middle(file)?.next().context("too few lines")??;
    let trace_id = trace_id["trace_id"].as_str().context("no trace id")?;
    let pattern = r#""status":50[0-9],"path":"/api/v2/or[a-z]+/ter"#;
    Ok(vec![
        workload("W5", 35.0, lines("trace id", trace_id)),
        workload("W5", 1.5, lines("trace id of no line", &"0123456789abcdef".repeat(2))),
        workload("W6", 12.0, lines("rare phrase with a number", &phrase_in_the_middle(file)?)),
        workload("W6", 10.0, lines("rare phrase of frequent words", &Services::new(SEED).rare_phrase())),
        workload("W6", 80.0, lines("phrase that seven blocks in ten hold", "stapro reterre acout")),
        workload("W6", 30.0, lines("a whole message", &whole_message(file)?)),
        workload("W6", 15.0, count("frequent text", "|= `\"status\":500`", "-F '\"status\":500'")),
        workload("W6", 140.0, count("negation", "!= `\"status\":200`", "-v -F '\"status\":200'")),
        workload(
            "W7",
            15.0,
            Question {
                logql: format!("{{host=\"bench\"}} |~ `{pattern}`"),
                pipeline: ripgrep(&format!("'{pattern}'")),
                ..lines("regex with literals", "")
            },
        ),
        workload("W7", 40.0, count("regex without literals", "|~ `[a-f]{9}[0-9]{4}`", "'[a-f]{9}[0-9]{4}'")),
        workload(
            "W8",
            0.1,
            metric(
                "sum by (detected_level) (count_over_time({host=\"bench\"}[1h]))",
                &frequencies(".level"),
                Answer::Values("detected_level"),
            ),
        ),
        workload(
            "W8",
            0.1,
            metric(
                "sum by (detected_level) (count_over_time({host=\"bench\"}[1m]))",
                &frequencies(".level"),
                Answer::Minutes("detected_level"),
            ),
        ),
        workload(
            "W8",
            1.5,
            metric(
                "sum by (level) (count_over_time({host=\"bench\"} | json level=\"level\" [1h]))",
                &frequencies(".level"),
                Answer::Values("level"),
            ),
        ),
        workload(
            "W8",
            3.0,
            metric(
                "sum by (detected_level) (count_over_time({host=\"bench\"} |= `\"status\":500` [1h]))",
                "rg --no-config -F '\"status\":500' $FILE | jq -r .level | sort | uniq -c",
                Answer::Values("detected_level"),
            ),
        ),
        workload(
            "W9",
            3.0,
            metric(
                "topk(10, sum by (path) (count_over_time({host=\"bench\"} | json [1h])))",
                &top_ten(".path"),
                Answer::Top("path"),
            ),
        ),
        workload(
            "W9",
            2.5,
            metric(
                "topk(10, sum by (user_id) (count_over_time({host=\"bench\"} | json [1h])))",
                &top_ten(".user_id"),
                Answer::Top("user_id"),
            ),
        ),
        workload(
            "W9",
            1.5,
            metric(
                "topk(10, sum by (status) (count_over_time({host=\"bench\"} | json [1h])))",
                &top_ten(".status"),
                Answer::Top("status"),
            ),
        ),
        workload("W10", 1.5, quantile()),
        workload("W11", 10.0, newest("service_name=\"gateway\"", "\"service\":\"gateway\"")),
    ])
}

fn of_streams(file: &Path) -> Result<Vec<Workload>> {
    let line = from_the_middle(file)?.next().context("too few lines")??;
    let request_id = line["request_id"].as_str().context("no request id")?;
    Ok(vec![
        workload("W5", 80.0, lines("request id", request_id)),
        workload(
            "W15",
            1.5,
            metric(
                "sum by (service_name) (count_over_time({host=\"bench\"}[1h]))",
                &frequencies(".service"),
                Answer::Values("service_name"),
            ),
        ),
        workload("W15", 10.0, quantile()),
        workload("W11", 8.0, newest("service_name=\"gateway\"", "\"service\":\"gateway\"")),
    ])
}

fn of_hostile() -> Vec<Workload> {
    vec![
        workload("W6", 12.0, count("text between colours", "|= `done in`", "-F 'done in'")),
        workload("W6", 2.0, count("text without spaces", "|= `東京都`", "-F 東京都")),
        workload("W6", 2.0, count("beside bytes that are no UTF-8", "|= ` row 77`", "-F ' row 77'")),
        workload("W7", 6.0, count("anchored regex", r"|~ `^\tat org[.]example`", r"'^\tat org[.]example'")),
    ]
}

fn quantile() -> Question {
    metric(
        "quantile_over_time(0.99, {host=\"bench\"} | json | unwrap latency_ms [1h]) by (service_name)",
        r#"jq -r '"\(.service) \(.latency_ms)"' $FILE | sort -k1,1 -k2,2n | awk '
            function tell() { if (n) { r = 0.99 * (n - 1); l = int(r); u = l + 1 < n ? l + 1 : l
              printf "%.6f %s\n", v[l] + (v[u] - v[l]) * (r - l), s } n = 0 }
            $1 != s { tell(); s = $1 } { v[n++] = $2 } END { tell() }'"#,
        Answer::Values("service_name"),
    )
}

fn newest(selector: &str, text: &str) -> Question {
    Question {
        name: format!("newest 100 lines of `{selector}`"),
        logql: format!("{{{selector}}}"),
        pipeline: format!("rg --no-config -F '{text}' $FILE | tail -n 100"),
        answer: Answer::Newest(100),
    }
}

/// The lines from the middle of the file on.
fn from_the_middle(file: &Path) -> Result<impl Iterator<Item = Result<Value>>> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(file.metadata()?.len() / 2))?;
    let lines = BufReader::new(file).lines().skip(1); // the first is a piece of one
    Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
}

/// A message of words alone, and not of a frequent template.
fn whole_message(file: &Path) -> Result<String> {
    let mut messages = Vec::new();
    for line in from_the_middle(file)?.take(10_000) {
        let line = line?;
        let message = line["message"].as_str().context("no message")?;
        if message.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b' ') {
            messages.push(message.to_owned());
        }
    }
    let once = messages.iter().find(|message| messages.iter().filter(|other| other == message).count() == 1);
    once.cloned().context("no message of words alone is rare")
}

/// A word, a number larger than those in paths, and a word, as they follow each other in a message.
fn phrase_in_the_middle(file: &Path) -> Result<String> {
    for line in from_the_middle(file)? {
        let line = line?;
        let words: Vec<&str> = line["message"].as_str().context("no message")?.split(' ').collect();
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase());
        let is_large = |text: &str| text.parse().is_ok_and(|number: u32| number > 60_000);
        let found = words.windows(3).find(|w| is_word(w[0]) && is_large(w[1]) && is_word(w[2]));
        if let Some(found) = found {
            return Ok(found.join(" "));
        }
    }
    bail!("no message has a large number")
}
