//! Whether it has died like this before, and whether it dies in a loop.

use serde::{Deserialize, Serialize};

use super::Cause;
use super::case::span;
use crate::time;

/// Deaths within this time make a loop, from the third on.
const LOOP_NS: i64 = 600 * 1_000_000_000;
const LOOP_DEATHS: usize = 3;

/// An earlier or later death, as far as the pattern needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    pub(super) at_ns: i64,
    pub(super) cause: Cause,
    pub(super) exit_code: Option<i64>,
}

/// Deaths of the same container or service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Deaths before this one that are stored.
    pub earlier_deaths: usize,
    /// Of these, those of the same cause and exit code.
    pub same: usize,
    /// First of the same, RFC 3339.
    pub first_same: Option<String>,
    /// Whether it died at least three times within ten minutes up to this death.
    pub restart_loop: bool,
    /// The pattern in a sentence.
    pub summary: String,
}

/// The pattern that `past`, by time, makes for the death at its place `index`; `None` for a first death.
pub(super) fn pattern(past: &[Past], index: usize) -> Option<Pattern> {
    let this = past.get(index)?;
    let earlier = past.get(..index)?;
    if earlier.is_empty() {
        return None;
    }
    let is_same = |p: &&Past| p.cause == this.cause && p.exit_code == this.exit_code;
    let same: Vec<&Past> = earlier.iter().filter(is_same).collect();
    let lately: Vec<&Past> = earlier.iter().filter(|p| this.at_ns - p.at_ns <= LOOP_NS).collect();
    let restart_loop = lately.len() + 1 >= LOOP_DEATHS;
    let summary = if restart_loop {
        let first_ns = lately.first().map_or(this.at_ns, |p| p.at_ns);
        let ms = u64::try_from((this.at_ns - first_ns) / 1_000_000).unwrap_or(0);
        let alike = if lately.iter().all(is_same) { ", each in the same way" } else { "" };
        format!("restart loop: {} deaths within {}{alike}", lately.len() + 1, span(ms))
    } else {
        format!("{} of {} earlier deaths were of the same kind", same.len(), earlier.len())
    };
    Some(Pattern {
        earlier_deaths: earlier.len(),
        same: same.len(),
        first_same: same.first().map(|p| time::rfc3339(p.at_ns)),
        restart_loop,
        summary,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(seconds: &[i64]) -> Vec<Past> {
        let of = |s: &i64| Past { at_ns: s * 1_000_000_000, cause: Cause::Crash, exit_code: Some(3) };
        seconds.iter().map(of).collect()
    }

    #[test]
    fn three_deaths_in_ten_minutes_are_a_loop() {
        let deaths = past(&[0, 400, 700, 710, 730]);
        assert_eq!(pattern(&deaths, 0), None);
        assert!(!pattern(&deaths, 2).unwrap().restart_loop, "400 and 700 are two");
        let found = pattern(&deaths, 4).unwrap();
        assert!(found.restart_loop);
        assert_eq!((found.earlier_deaths, found.same), (4, 4));
        assert_eq!(found.summary, "restart loop: 4 deaths within 5 min 30 s, each in the same way");
    }

    #[test]
    fn only_the_same_cause_and_code_are_the_same() {
        let mut deaths = past(&[0, 10_000, 20_000]);
        deaths[0].exit_code = Some(1);
        let found = pattern(&deaths, 2).unwrap();
        assert_eq!((found.earlier_deaths, found.same, found.restart_loop), (2, 1, false));
    }
}
