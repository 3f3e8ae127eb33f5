//! The shop's lines in the order of their times, each with the truth behind it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::lines;
use super::random::Random;
use super::shop::{self, Call, Request, Service};

/// Mean time between customers: seven a second make some twenty-five lines a second.
const BETWEEN_REQUESTS_NS: f64 = 0.14e9;
/// Mean time between lines that nobody asked for.
const BETWEEN_NOISE_NS: f64 = 0.5e9;

/// One line of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoLine {
    /// When it is written, nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// By whom.
    pub service: Service,
    /// Whether to stderr.
    pub stderr: bool,
    /// What.
    pub line: String,
    /// The call it tells of; `None` for background noise.
    pub call: Option<CallRef>,
}

/// A call of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRef {
    /// The whole request.
    pub request: Arc<Request>,
    /// Place of the call in it.
    pub index: usize,
}

impl CallRef {
    /// The call.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.request.calls[self.index]
    }
}

/// Endless traffic from a point in time on; the same for the same seed and start.
#[derive(Clone, Debug)]
pub struct Traffic {
    random: Random,
    next_request_ns: i64,
    next_noise_ns: i64,
    /// Lines of requests that have begun, ordered by time, then by the order of writing.
    waiting: BinaryHeap<Reverse<Waiting>>,
    written: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    order: (i64, u64),
    line: DemoLine,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Traffic {
    /// Traffic that begins at `start_ns`.
    #[must_use]
    pub fn new(seed: u64, start_ns: i64) -> Self {
        Self {
            random: Random::new(seed),
            next_request_ns: start_ns,
            next_noise_ns: start_ns,
            waiting: BinaryHeap::new(),
            written: 0,
        }
    }

    /// When the next line is written.
    pub fn next_ns(&mut self) -> i64 {
        self.fill();
        self.waiting.peek().map_or(i64::MAX, |Reverse(next)| next.order.0)
    }

    /// Lets customers come until no later one could write an earlier line than the first that waits.
    fn fill(&mut self) {
        loop {
            let first = self.waiting.peek().map_or(i64::MAX, |Reverse(next)| next.order.0);
            if first <= self.next_request_ns.min(self.next_noise_ns) {
                return;
            }
            if self.next_request_ns <= self.next_noise_ns {
                self.customer();
            } else {
                self.noise();
            }
        }
    }

    fn customer(&mut self) {
        let request = Arc::new(shop::request(&mut self.random, self.next_request_ns));
        for (index, call) in request.calls.iter().enumerate() {
            for (timestamp_ns, stderr, line) in lines::of_call(&request, call, &mut self.random) {
                let call_ref = CallRef { request: Arc::clone(&request), index };
                let service = call.service;
                self.wait(DemoLine { timestamp_ns, service, stderr, line, call: Some(call_ref) });
            }
        }
        self.next_request_ns += self.random.exponential(BETWEEN_REQUESTS_NS) as i64 + 1;
    }

    fn noise(&mut self) {
        let timestamp_ns = self.next_noise_ns;
        let (service, line) = lines::noise(&mut self.random, timestamp_ns);
        self.wait(DemoLine { timestamp_ns, service, stderr: false, line, call: None });
        self.next_noise_ns += self.random.exponential(BETWEEN_NOISE_NS) as i64 + 1;
    }

    fn wait(&mut self, line: DemoLine) {
        self.written += 1;
        self.waiting.push(Reverse(Waiting { order: (line.timestamp_ns, self.written), line }));
    }
}

impl Iterator for Traffic {
    type Item = DemoLine;

    fn next(&mut self) -> Option<DemoLine> {
        self.fill();
        self.waiting.pop().map(|Reverse(next)| next.line)
    }
}
