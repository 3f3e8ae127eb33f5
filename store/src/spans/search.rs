//! Finding traces: group after group, the newest first, until no older one can hold a newer span than those found.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::encode::{has_tags, operation_hash, service_hash, tag_hash};
use super::groups;
use super::set::{self, COLUMNS, CONTENT, Head, Set};
use super::{TraceQuery, damaged};

/// Ids of the traces that `query` wants, by their latest fitting span, the newest first.
pub(super) fn find_traces(connection: &Connection, query: &TraceQuery) -> rusqlite::Result<Vec<[u8; 16]>> {
    let mut search = Search::new(connection, query)?;
    if search.operations.as_ref().is_some_and(HashSet::is_empty) || query.limit == 0 {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT id, max_ns FROM span_groups
         WHERE max_ns >= ?1 AND min_ns < ?2 AND max_duration_ns >= ?3 ORDER BY max_ns DESC",
    )?;
    let (range, longest) = (query.range, query.min_duration_ns.unwrap_or(i64::MIN));
    let mut rows = statement.query(params![range.start_ns, range.end_ns, longest])?;
    while let Some(row) = rows.next()? {
        let (group, newest_ns): (u64, i64) = (row.get(0)?, row.get(1)?);
        if search.bound_ns.is_some_and(|bound_ns| newest_ns <= bound_ns) {
            break;
        }
        if groups::may_hold(connection, group, &search.hashes)? {
            search.look_into(connection, group)?;
        }
    }
    Ok(search.finish())
}

struct Search<'a> {
    query: &'a TraceQuery,
    /// Of what a fitting span is found by.
    hashes: Vec<u32>,
    /// Operations that fit; `None` when all do.
    operations: Option<HashSet<i64>>,
    /// Start of the latest fitting span of each trace found.
    found: HashMap<[u8; 16], i64>,
    /// When as many are found as are wanted: the start that a further one must be later than.
    bound_ns: Option<i64>,
}

impl<'a> Search<'a> {
    fn new(connection: &Connection, query: &'a TraceQuery) -> rusqlite::Result<Self> {
        let mut hashes: Vec<u32> = query.tags.iter().map(|(name, value)| tag_hash(name, value)).collect();
        hashes.extend(query.service.as_deref().map(service_hash));
        hashes.extend(query.operation.as_deref().map(operation_hash));
        let operations = match (&query.service, &query.operation) {
            (None, None) => None,
            (service, operation) => Some(
                connection
                    .prepare_cached(
                        "SELECT o.id FROM span_operations o JOIN span_services v ON v.id = o.service
                         WHERE (?1 IS NULL OR v.name = ?1) AND (?2 IS NULL OR o.name = ?2)",
                    )?
                    .query_map(params![service, operation], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?,
            ),
        };
        Ok(Self { query, hashes, operations, found: HashMap::new(), bound_ns: None })
    }

    /// Takes in the fitting spans of a group.
    fn look_into(&mut self, connection: &Connection, group: u64) -> rusqlite::Result<()> {
        let numbers = groups::numbers(group);
        let sql = format!("SELECT {COLUMNS} FROM span_sets WHERE seq >= ?1 AND seq < ?2");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![numbers.start, numbers.end])?;
        while let Some(row) = rows.next()? {
            let Some(set) = Set::of(row)? else {
                damaged(row.get(0)?);
                continue;
            };
            let known_ns = self.found.get(&set.trace_id).copied();
            let mut fitting: Vec<usize> = (0..set.heads.len()).collect();
            fitting.retain(|place| set.heads.get(*place).is_some_and(|head| self.fits(head, known_ns)));
            if fitting.is_empty() {
                continue;
            }
            if !self.query.tags.is_empty() {
                retain_tagged(&mut fitting, &set, row.get_ref(CONTENT)?.as_blob()?, self.query);
            }
            let starts = fitting.iter().filter_map(|place| set.heads.get(*place)).map(|head| head.start_ns);
            if let Some(latest_ns) = starts.max() {
                self.found.insert(set.trace_id, latest_ns);
            }
        }
        self.keep_newest();
        Ok(())
    }

    /// Whether a span fits as far as its head tells, and would be news.
    fn fits(&self, head: &Head, known_ns: Option<i64>) -> bool {
        let query = self.query;
        let duration_ns = head.end_ns.saturating_sub(head.start_ns);
        query.range.contains(head.start_ns)
            && known_ns.max(self.bound_ns).is_none_or(|known_ns| head.start_ns > known_ns)
            && self.operations.as_ref().is_none_or(|fitting| fitting.contains(&head.operation))
            && query.min_duration_ns.is_none_or(|min| duration_ns >= min)
            && query.max_duration_ns.is_none_or(|max| duration_ns <= max)
    }

    /// Forgets all but as many as are wanted.
    fn keep_newest(&mut self) {
        if self.found.len() < self.query.limit {
            return;
        }
        let mut starts: Vec<i64> = self.found.values().copied().collect();
        let place = self.query.limit - 1;
        let (_, bound_ns, _) = starts.select_nth_unstable_by(place, |a, b| b.cmp(a));
        let bound_ns = *bound_ns;
        self.found.retain(|_, start_ns| *start_ns >= bound_ns);
        self.bound_ns = Some(bound_ns);
    }

    fn finish(self) -> Vec<[u8; 16]> {
        let mut found: Vec<([u8; 16], i64)> = self.found.into_iter().collect();
        found.sort_unstable_by_key(|(trace_id, start_ns)| (std::cmp::Reverse(*start_ns), *trace_id));
        found.into_iter().take(self.query.limit).map(|(trace_id, _)| trace_id).collect()
    }
}

/// Keeps the places of those spans that have the tags; hashes of others may be the same.
fn retain_tagged(places: &mut Vec<usize>, set: &Set, content: &[u8], query: &TraceQuery) {
    let content = set::unpack(content);
    let Some(pieces) = content.as_deref().and_then(|content| set.pieces(content)) else {
        damaged(set.seq);
        places.clear();
        return;
    };
    let pieces: Vec<&[u8]> = pieces.map(|(_, piece)| piece).collect();
    places.retain(|place| pieces.get(*place).is_some_and(|piece| has_tags(piece, &query.tags)));
}
