//! LogQL over HTTP beside ripgrep and jq pipelines over the raw file, which must give the same answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::SEED;
use crate::process;
use crate::server::{Server, load};
use crate::services::Services;

/// The made-up lines lie within this hour.
const START: &str = "2026-11-20T09:59:00Z";
const END: &str = "2026-11-20T10:59:00Z";
/// A question is asked again until it has used so much CPU, to be told in hundredths of a second ...
const ENOUGH_CPU_SECONDS: f64 = 0.5;
/// ... but not more often, and at least three times.
const MOST_RUNS: usize = 100;

/// A question in both languages.
struct Question {
    name: &'static str,
    logql: String,
    /// For `sh`; `$FILE` is the raw file.
    pipeline: String,
    answer: Answer,
}

/// What an answer holds, to compare the two.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    /// So many lines.
    Lines,
    /// `VALUE NAME`, one a line, by the value of a label.
    Values(&'static str),
    /// The same, but of equal values any may be given: names are not compared.
    Top(&'static str),
}

/// Prints the table.
pub(crate) fn run(binary: &Path, file: &Path, data: &Path) -> Result<()> {
    load(binary, file, data)?;
    let server = Server::start(binary, "serve", data)?;
    println!("| question | binnacle, wall / CPU | pipeline, wall / CPU | faster by CPU |");
    println!("|---|---|---|---|");
    for question in questions(file)? {
        let (ours, used) = measure(|| server.cpu_seconds(), || ask(&server, &question))?;
        let children = || Ok(process::cpu_seconds()?.1);
        let (theirs, pipeline_used) = measure(children, || pipe(file, &question))?;
        ensure!(agree(&ours, &theirs, question.answer), "{}: {ours:?} is not {theirs:?}", question.name);
        println!(
            "| {} | {:.0} ms / {:.3} s | {:.0} ms / {:.3} s | {:.1} times |",
            question.name,
            used.wall * 1e3,
            used.cpu,
            pipeline_used.wall * 1e3,
            pipeline_used.cpu,
            pipeline_used.cpu / used.cpu
        );
    }
    Ok(())
}

fn questions(file: &Path) -> Result<Vec<Question>> {
    let lines = "{host=\"bench\"}";
    let trace_id = trace_id_in_the_middle(file)?;
    let grep = |name, needle: &str| Question {
        name,
        logql: format!("{lines} |= `{needle}`"),
        pipeline: format!("rg --no-config -F '{needle}' $FILE"),
        answer: Answer::Lines,
    };
    let pattern = r#""status":50[0-9],"path":"/api/v2/or[a-z]+/ter"#;
    let levels = |name, logql: &str| Question {
        name,
        logql: logql.to_owned(),
        pipeline: "jq -r .level $FILE | sort | uniq -c".to_owned(),
        answer: Answer::Values(if name.contains("detected") { "detected_level" } else { "level" }),
    };
    Ok(vec![
        grep("trace id", &trace_id),
        grep("rare phrase with a number", &phrase_in_the_middle(file)?),
        grep("rare phrase (15 lines) of frequent words", &Services::new(SEED).rare_phrase()),
        grep("phrase that seven blocks in ten hold (937 lines)", "stapro reterre acout"),
        grep("a whole message", &whole_message(file)?),
        Question {
            name: "regular expression",
            logql: format!("{lines} |~ `{pattern}`"),
            pipeline: format!("rg --no-config '{pattern}' $FILE"),
            answer: Answer::Lines,
        },
        levels(
            "`sum by (detected_level) (count_over_time({host=\"bench\"}[1h]))`",
            "sum by (detected_level) (count_over_time({host=\"bench\"}[1h]))",
        ),
        levels(
            "`sum by (level) (count_over_time({host=\"bench\"} \\| json level=\"level\" [1h]))`",
            "sum by (level) (count_over_time({host=\"bench\"} | json level=\"level\" [1h]))",
        ),
        Question {
            name: "`topk(10, sum by (path) (count_over_time({host=\"bench\"} \\| json [1h])))`",
            logql: "topk(10, sum by (path) (count_over_time({host=\"bench\"} | json [1h])))".to_owned(),
            pipeline: "jq -r .path $FILE | sort | uniq -c | sort -rn | head".to_owned(),
            answer: Answer::Top("path"),
        },
        Question {
            name: "`quantile_over_time(0.99, {host=\"bench\"} \\| json \\| unwrap latency_ms [1h]) by (service_name)`",
            logql:
                "quantile_over_time(0.99, {host=\"bench\"} | json | unwrap latency_ms [1h]) by (service_name)"
                    .to_owned(),
            pipeline: r#"jq -r '"\(.service) \(.latency_ms)"' $FILE | sort -k1,1 -k2,2n | awk '
                function tell() { if (n) { r = 0.99 * (n - 1); l = int(r); u = l + 1 < n ? l + 1 : l
                  printf "%.6f %s\n", v[l] + (v[u] - v[l]) * (r - l), s } n = 0 }
                $1 != s { tell(); s = $1 } { v[n++] = $2 } END { tell() }'"#
                .to_owned(),
            answer: Answer::Values("service_name"),
        },
    ])
}

/// The lines from the middle of the file on.
fn from_the_middle(file: &Path) -> Result<impl Iterator<Item = Result<Value>>> {
    let mut file = File::open(file)?;
    file.seek(SeekFrom::Start(file.metadata()?.len() / 2))?;
    let lines = BufReader::new(file).lines().skip(1); // the first is a piece of one
    Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
}

fn trace_id_in_the_middle(file: &Path) -> Result<String> {
    let line = from_the_middle(file)?.next().context("too few lines")??;
    Ok(line["trace_id"].as_str().context("no trace id")?.to_owned())
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

/// Names and values; the number of lines is the value of "".
type Values = BTreeMap<String, f64>;

fn ask(server: &Server, question: &Question) -> Result<Values> {
    let (path, params) = match question.answer {
        Answer::Lines => {
            ("/loki/api/v1/query_range", vec![("start", START), ("end", END), ("limit", "5000")])
        }
        Answer::Values(_) | Answer::Top(_) => ("/loki/api/v1/query", vec![("time", END)]),
    };
    let params: Vec<_> = params.into_iter().chain([("query", question.logql.as_str())]).collect();
    let answer = server.ask(path, &params)?;
    let result = answer["data"]["result"].as_array().context("no result")?;
    let (Answer::Values(label) | Answer::Top(label)) = question.answer else {
        let lines = result.iter().filter_map(|stream| Some(stream["values"].as_array()?.len()));
        return Ok(Values::from([(String::new(), lines.sum::<usize>() as f64)]));
    };
    let value = |series: &Value| -> Option<(String, f64)> {
        Some((series["metric"][label].as_str()?.to_owned(), series["value"][1].as_str()?.parse().ok()?))
    };
    result.iter().map(|series| value(series).context("a series without label or value")).collect()
}

fn pipe(file: &Path, question: &Question) -> Result<Values> {
    let output =
        Command::new("sh").args(["-c", &question.pipeline]).env("FILE", file).env("LC_ALL", "C").output()?;
    ensure!(output.status.success(), "`{}` failed: needs ripgrep, jq", question.pipeline);
    let text = String::from_utf8(output.stdout)?;
    if question.answer == Answer::Lines {
        return Ok(Values::from([(String::new(), text.lines().count() as f64)]));
    }
    let row = |line: &str| -> Option<(String, f64)> {
        let (value, name) = line.trim().split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().map(|line| row(line).with_context(|| format!("no value: {line}"))).collect()
}

fn agree(ours: &Values, theirs: &Values, answer: Answer) -> bool {
    let close = |a: &f64, b: &f64| (a - b).abs() < 1e-3;
    if ours.len() != theirs.len() {
        return false;
    }
    if let Answer::Top(_) = answer {
        let sorted = |values: &Values| {
            let mut values: Vec<f64> = values.values().copied().collect();
            values.sort_by(f64::total_cmp);
            values
        };
        return sorted(ours).iter().zip(&sorted(theirs)).all(|(a, b)| close(a, b));
    }
    ours.iter().all(|(name, value)| theirs.get(name).is_some_and(|other| close(value, other)))
}

struct Used {
    /// Of the fastest run.
    wall: f64,
    /// On average.
    cpu: f64,
}

/// Runs `work` some times and gives its last answer.
fn measure<T>(cpu: impl Fn() -> Result<f64>, work: impl Fn() -> Result<T>) -> Result<(T, Used)> {
    let before = cpu()?;
    let mut wall = f64::MAX;
    for runs in 1..=MOST_RUNS {
        let start = Instant::now();
        let answer = work()?;
        wall = wall.min(start.elapsed().as_secs_f64());
        let used = cpu()? - before;
        if runs == MOST_RUNS || (runs >= 3 && used > ENOUGH_CPU_SECONDS) {
            return Ok((answer, Used { wall, cpu: used / runs as f64 }));
        }
    }
    unreachable!("BUG: no run was the last one")
}
