//! The lines of ids that belong together.

use super::lines::{Lines, Place};
use super::{Closed, add_changes, spans_of};
use crate::assemble::traces_of;
use crate::config::Config;
use crate::line::Line;
use crate::span::{Span, TraceId};

/// Bytes of a group besides its lines, and of each of its keys in the maps, about.
const GROUP_BYTES: usize = 256;
const KEY_BYTES: usize = 64;

/// Lines of one trace, or of several that share a correlation id. Times of lines are the lines', the others the caller's.
#[derive(Debug, Default)]
pub(super) struct Group {
    lines: Vec<Place>,
    keys: Vec<TraceId>,
    /// What has been told of these lines, while that can change: from reopening to closing.
    told: Vec<Span>,
    /// Whether everything has been told: it is closed, and remembered for late lines.
    is_told: bool,
    bytes: usize,
    oldest_ns: Option<i64>,
    opened_ns: Option<i64>,
    last_seen_ns: i64,
}

impl Group {
    /// Opens it again where it is closed; whether it was.
    pub(super) fn reopen(&mut self, now_ns: i64, held: &Lines, config: &Config) -> bool {
        let was_told = self.is_told;
        self.reopen_for_merge(held, config);
        if was_told {
            self.opened_ns = Some(now_ns);
        }
        was_told
    }

    /// Keeps what has been told, to compare it with what will be.
    pub(super) fn reopen_for_merge(&mut self, held: &Lines, config: &Config) {
        if self.is_told {
            // The same lines make the same spans: what was told need not be kept while nothing changes.
            self.told = spans_of(held.at(&self.lines), config);
            self.is_told = false;
        }
    }

    /// Adds a line; how many bytes it takes.
    pub(super) fn push(&mut self, line: Line, held: &mut Lines, now_ns: i64) -> usize {
        let bytes = line.size() + size_of::<Place>();
        self.oldest_ns = Some(self.oldest_ns.map_or(line.ts_ns, |oldest| oldest.min(line.ts_ns)));
        self.opened_ns.get_or_insert(now_ns);
        self.last_seen_ns = now_ns;
        self.bytes += bytes;
        self.lines.push(held.insert(line));
        bytes
    }

    /// Adds an id; how many bytes it takes.
    pub(super) fn add_key(&mut self, key: TraceId) -> usize {
        let bytes = KEY_BYTES + if self.keys.is_empty() { GROUP_BYTES } else { 0 };
        self.keys.push(key);
        self.bytes += bytes;
        bytes
    }

    /// Takes over another group, both open.
    pub(super) fn absorb(&mut self, other: Self) {
        self.lines.extend(other.lines);
        self.keys.extend(other.keys);
        self.told.extend(other.told);
        self.bytes += other.bytes;
        self.oldest_ns = [self.oldest_ns, other.oldest_ns].into_iter().flatten().min();
        self.opened_ns = [self.opened_ns, other.opened_ns].into_iter().flatten().min();
        self.last_seen_ns = self.last_seen_ns.max(other.last_seen_ns);
    }

    /// Tells what its lines tell that has not been told.
    pub(super) fn close(&mut self, held: &Lines, config: &Config, closed: &mut Closed) {
        add_changes(&self.told, traces_of(held.at(&self.lines), config), closed);
        self.told = Vec::new();
        self.is_told = true;
        self.opened_ns = None;
    }

    pub(super) const fn is_open(&self) -> bool {
        !self.is_told
    }

    pub(super) fn lines(&self) -> &[Place] {
        &self.lines
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn keys(&self) -> &[TraceId] {
        &self.keys
    }

    pub(super) fn oldest_ns(&self) -> i64 {
        self.oldest_ns.unwrap_or(i64::MAX)
    }

    pub(super) const fn last_seen_ns(&self) -> i64 {
        self.last_seen_ns
    }

    /// When it was opened; `None` while it is closed.
    pub(super) const fn opened_ns(&self) -> Option<i64> {
        self.opened_ns
    }
}
