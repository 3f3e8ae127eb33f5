//! Questions asked of a server over HTTP and of a pipeline of ripgrep or jq over the raw file, which must give the same
//! answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::server::{Server, load};
use crate::sets::Set;
use crate::workloads::{Workload, workloads};

/// All lines of all sets lie within these two hours.
const START: &str = "2026-11-20T08:59:00Z";
const END: &str = "2026-11-20T10:59:00Z";
/// Lines that a question may find.
const MOST_LINES: u32 = 5000;
/// A question is asked again until it has used so much CPU, to be told in hundredths of a second ...
const ENOUGH_CPU_SECONDS: f64 = 0.5;
/// ... but not more often, and at least three times, unless it has used so much.
const MOST_RUNS: usize = 100;
const PLENTY_CPU_SECONDS: f64 = 5.0;

/// A question in both languages.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) logql: String,
    /// For `sh`; `$FILE` is the raw file.
    pub(crate) pipeline: String,
    pub(crate) answer: Answer,
}

/// What an answer holds, to compare the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The lines themselves, no more than [`MOST_LINES`].
    Lines,
    /// So many of the newest lines.
    Newest(u32),
    /// One number.
    Count,
    /// `VALUE NAME`, one a line, by the value of a label.
    Values(&'static str),
    /// The same of each minute; the minutes are added up.
    Minutes(&'static str),
    /// As `Values`, but of equal values any may be given: names are not compared.
    Top(&'static str),
}

/// What a question took on one side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Of the fastest run, in milliseconds.
    pub(crate) best_ms: f64,
    pub(crate) median_ms: f64,
    /// CPU seconds, on average.
    pub(crate) cpu: f64,
}

/// What a question took on both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    pub(crate) rows: usize,
    pub(crate) ours: Used,
    pub(crate) pipeline: Used,
}

/// Asks both, several times. Fails where their answers differ.
pub(crate) fn compare(server: &Server, file: &Path, question: &Question) -> Result<Compared> {
    let (ours, ours_used) = measure(|| server.cpu_seconds(), || ask(server, question))?;
    let children = || Ok(process::cpu_seconds()?.1);
    let (theirs, pipeline) = measure(children, || pipe(file, question))?;
    let told = |values: &Values| format!("{:?}", values.iter().take(5).collect::<Vec<_>>());
    ensure!(
        agree(&ours, &theirs, question.answer),
        "{}: {} is not {}",
        question.name,
        told(&ours),
        told(&theirs)
    );
    Ok(Compared { rows: ours.len(), ours: ours_used, pipeline })
}

/// Prints a table of the questions of D2.
pub(crate) fn table(binary: &Path, file: &Path, data: &Path) -> Result<()> {
    load(binary, file, data)?;
    let server = Server::start(binary, "serve", data)?;
    println!("| question | binnacle, wall / CPU | pipeline, wall / CPU | faster by CPU |");
    println!("|---|---|---|---|");
    for Workload { question, .. } in workloads(Set::Services, file)? {
        let Compared { ours, pipeline, .. } = compare(&server, file, &question)?;
        println!(
            "| {} | {:.0} ms / {:.3} s | {:.0} ms / {:.3} s | {:.1} times |",
            question.name,
            ours.best_ms,
            ours.cpu,
            pipeline.best_ms,
            pipeline.cpu,
            pipeline.cpu / ours.cpu
        );
    }
    Ok(())
}

/// Names and values; lines and how often they were found.
type Values = BTreeMap<String, f64>;

fn ask(server: &Server, question: &Question) -> Result<Values> {
    let limit = match question.answer {
        Answer::Newest(limit) => limit,
        _ => MOST_LINES,
    }
    .to_string();
    let (path, params) = match question.answer {
        Answer::Lines | Answer::Newest(_) => {
            ("/loki/api/v1/query_range", vec![("start", START), ("end", END), ("limit", limit.as_str())])
        }
        Answer::Minutes(_) => {
            ("/loki/api/v1/query_range", vec![("start", START), ("end", END), ("step", "60")])
        }
        _ => ("/loki/api/v1/query", vec![("time", END)]),
    };
    let params: Vec<_> = params.into_iter().chain([("query", question.logql.as_str())]).collect();
    let answer = server.ask(path, &params)?;
    let result = answer["data"]["result"].as_array().context("no result")?;
    let mut values = Values::new();
    for series in result {
        let name = match question.answer {
            Answer::Values(label) | Answer::Minutes(label) | Answer::Top(label) => {
                series["metric"][label].as_str().context("a series without its label")?
            }
            _ => "",
        };
        let pairs = series["values"].as_array().map_or(std::slice::from_ref(&series["value"]), Vec::as_slice);
        for pair in pairs {
            let text = pair[1].as_str().context("a series without value")?;
            if matches!(question.answer, Answer::Lines | Answer::Newest(_)) {
                *values.entry(text.to_owned()).or_default() += 1.0;
            } else {
                *values.entry(name.to_owned()).or_default() += text.parse::<f64>()?;
            }
        }
    }
    Ok(values)
}

fn pipe(file: &Path, question: &Question) -> Result<Values> {
    let output =
        Command::new("sh").args(["-c", &question.pipeline]).env("FILE", file).env("LC_ALL", "C").output()?;
    ensure!(output.status.success(), "`{}` failed: needs ripgrep, jq", question.pipeline);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut values = Values::new();
    for line in text.lines() {
        match question.answer {
            Answer::Lines | Answer::Newest(_) => *values.entry(line.to_owned()).or_default() += 1.0,
            Answer::Count => {
                values.insert(String::new(), line.trim().parse()?);
            }
            Answer::Values(_) | Answer::Minutes(_) | Answer::Top(_) => {
                let (value, name) =
                    line.trim().split_once(' ').with_context(|| format!("no value: {line}"))?;
                values.insert(name.to_owned(), value.parse()?);
            }
        }
    }
    // ripgrep counts nothing where it finds nothing; LogQL gives no series.
    values.retain(|_, value| *value != 0.0);
    Ok(values)
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

/// Runs `work` some times and gives its last answer.
fn measure<T>(cpu: impl Fn() -> Result<f64>, work: impl Fn() -> Result<T>) -> Result<(T, Used)> {
    let before = cpu()?;
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        let answer = work()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let used = cpu()? - before;
        let runs = times.len();
        if runs == MOST_RUNS || used > PLENTY_CPU_SECONDS || (runs >= 3 && used > ENOUGH_CPU_SECONDS) {
            times.sort_by(f64::total_cmp);
            let used = Used { best_ms: times[0], median_ms: times[runs / 2], cpu: used / runs as f64 };
            return Ok((answer, used));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_differ_do_not_agree() {
        let values = |pairs: &[(&str, f64)]| -> Values {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let (a, b) = (values(&[("x", 1.0), ("y", 2.0)]), values(&[("x", 1.0), ("z", 2.0)]));
        assert!(agree(&a, &a, Answer::Lines));
        assert!(!agree(&a, &b, Answer::Lines));
        assert!(agree(&a, &b, Answer::Top("path")));
        assert!(!agree(&a, &values(&[("x", 1.0)]), Answer::Top("path")));
        assert!(!agree(&a, &values(&[("x", 1.0), ("y", 2.1)]), Answer::Values("level")));
    }
}
