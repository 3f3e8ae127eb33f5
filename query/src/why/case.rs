//! One death and the events that may explain it.

use store::lifecycle::{Action, Event};

use super::Evidence;
use crate::time;

const SECOND_NS: i64 = 1_000_000_000;

/// An event and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// Nanoseconds since the epoch.
    pub at_ns: i64,
    /// What happened.
    pub event: Event,
}

/// What the judge sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// The death: `die` or `start_failed`.
    pub(super) death: &'a Timed,
    /// Events of the same container, by time.
    pub(super) own: &'a [Timed],
    /// Events of other containers and of the daemon around the death, by time.
    pub(super) others: &'a [Timed],
}

impl<'a> Case<'a> {
    /// Events of this container's last run, up to its death.
    pub(super) fn run(&self) -> impl DoubleEndedIterator<Item = &'a Timed> + use<'a> {
        let at_ns = self.death.at_ns;
        let start_ns = self
            .own
            .iter()
            .filter(|e| e.event.action == Action::Start && e.at_ns < at_ns)
            .map(|e| e.at_ns)
            .max()
            .unwrap_or(i64::MIN);
        // The kernel and the daemon tell of the same moment on two ways; a little disorder is theirs.
        self.own.iter().filter(move |e| e.at_ns >= start_ns && e.at_ns <= at_ns + SECOND_NS / 2)
    }

    /// The last event of this action in the run.
    pub(super) fn last(&self, action: Action) -> Option<&'a Timed> {
        self.run().rfind(|e| e.event.action == action)
    }

    /// The first event of this action within so many seconds after the death, before it started again.
    pub(super) fn next(&self, action: Action, seconds: i64) -> Option<&'a Timed> {
        let (from, to) = (self.death.at_ns, self.death.at_ns + seconds * SECOND_NS);
        let after = self.own.iter().filter(|e| e.at_ns >= from && e.at_ns <= to);
        for timed in after {
            if timed.event.action == action {
                return Some(timed);
            }
            // What comes after the next death belongs to that one.
            if timed.event.action == Action::Die && timed.at_ns > from {
                return None;
            }
        }
        None
    }

    /// Others' events of this action between so many seconds before and after the death.
    pub(super) fn around(
        &self,
        action: Action,
        before: i64,
        after: i64,
    ) -> impl DoubleEndedIterator<Item = &'a Timed> + use<'a> {
        let (from, to) = (self.death.at_ns - before * SECOND_NS, self.death.at_ns + after * SECOND_NS);
        self.others.iter().filter(move |e| e.event.action == action && e.at_ns >= from && e.at_ns <= to)
    }

    pub(super) fn exit_code(&self) -> Option<i64> {
        self.death.event.exit_code
    }
}

/// What a judge of one kind of cause says.
#[derive(Clone, Debug)]
pub(super) struct Opinion {
    pub(super) cause: super::Cause,
    pub(super) blame: Option<&'static str>,
    pub(super) summary: String,
    pub(super) confidence: f64,
    pub(super) evidence: Vec<Evidence>,
}

impl Opinion {
    pub(super) fn new(cause: super::Cause, confidence: f64, summary: impl Into<String>) -> Self {
        Self { cause, blame: None, summary: summary.into(), confidence, evidence: Vec::new() }
    }

    /// Adds an observation without a time.
    pub(super) fn because(mut self, text: impl Into<String>) -> Self {
        self.evidence.push(Evidence { at: None, text: text.into() });
        self
    }

    /// Adds an event as an observation.
    pub(super) fn because_of(mut self, timed: &Timed) -> Self {
        self.evidence.push(Evidence { at: Some(time::rfc3339(timed.at_ns)), text: timed.event.msg.clone() });
        self
    }
}

/// A number of bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// A time span for people.
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}
