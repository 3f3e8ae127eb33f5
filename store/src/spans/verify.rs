//! Reading all spans, and what is derived from them: groups, the hashes spans are found by, the numbers of operations.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::SpanPage;
use super::encode;
use super::groups::{self, Filter};
use super::operations::Names;
use super::set::{COLUMNS, Set};

/// What the sets of a group come to.
#[derive(Debug, Default)]
struct Sum {
    spans: i64,
    bytes: i64,
    min_ns: Option<i64>,
    max_ns: i64,
    max_duration_ns: i64,
    hashes: Vec<u32>,
    /// One of its sets cannot be read: what it has is not known.
    unknown: bool,
}

/// What is damaged, in words.
pub(crate) fn damage(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut damage = Vec::new();
    let mut groups: BTreeMap<u64, Sum> = BTreeMap::new();
    let mut operations: HashMap<i64, i64> = HashMap::new();
    let (mut damaged, mut names, mut end_seq) = (0, Names::default(), 0);
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM span_sets ORDER BY seq"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get(0)?;
        let group = groups.entry(groups::of(seq)).or_default();
        let Some(set) = Set::of(row)? else {
            group.unknown = true;
            damaged += row.get::<_, u64>(1)?.saturating_sub(seq).max(1);
            continue;
        };
        if set.seq < end_seq {
            damage.push(format!("numbers of spans {seq} and after"));
        }
        end_seq = set.end_seq;
        let mut page = SpanPage { up_to: seq.saturating_sub(1), ..SpanPage::default() };
        page.take(connection, &mut names, row, None)?;
        damaged += page.damaged;
        for stored in &page.spans {
            let tags = stored.span.tags.iter().map(|(name, value)| (&**name, &**value));
            group.hashes.extend(encode::hashes(&stored.span, tags));
        }
        for head in &set.heads {
            *operations.entry(head.operation).or_default() += 1;
            group.min_ns = Some(group.min_ns.map_or(head.start_ns, |min_ns| min_ns.min(head.start_ns)));
            group.max_ns = group.max_ns.max(head.start_ns);
            group.max_duration_ns = group.max_duration_ns.max(head.end_ns.saturating_sub(head.start_ns));
        }
        group.spans += set.heads.len() as i64;
        group.bytes += set.bytes.cast_signed();
    }
    if damaged > 0 {
        damage.push(format!("{damaged} spans"));
    }
    let last: u64 =
        connection.query_row("SELECT value FROM settings WHERE name = 'span_seq'", [], |row| row.get(0))?;
    if last + 1 < end_seq {
        damage.push("the number of the last span".to_owned());
    }
    check_groups(connection, &mut groups, &mut damage)?;
    if groups.values().all(|group| !group.unknown) {
        check_operations(connection, &operations, &mut damage)?;
    }
    Ok(damage)
}

/// A group may say too much of where its spans lie, and never too little; it counts them.
fn check_groups(
    connection: &Connection,
    groups: &mut BTreeMap<u64, Sum>,
    damage: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT id, min_ns, max_ns, max_duration_ns, spans, bytes FROM span_groups")?;
    let mut rows = statement.query([])?;
    let mut known = 0;
    while let Some(row) = rows.next()? {
        let id: u64 = row.get(0)?;
        let Some(sum) = groups.get_mut(&id) else {
            damage.push(format!("group {id} of spans has none"));
            continue;
        };
        known += 1;
        if sum.unknown {
            continue;
        }
        let counts = (row.get(1)?, row.get(4)?, row.get(5)?) == (sum.min_ns, sum.spans, sum.bytes);
        let bounds = row.get::<_, i64>(2)? >= sum.max_ns && row.get::<_, i64>(3)? >= sum.max_duration_ns;
        if !counts || !bounds {
            damage.push(format!("group {id} of spans"));
        }
        let holds_all = match groups::read(connection, id)? {
            Some(Filter::Hashes(bytes)) => sum.hashes.iter().all(|hash| groups::contains(&bytes, *hash)),
            Some(Filter::Damaged) | None => false,
        };
        if !holds_all {
            damage.push(format!("hashes of group {id} of spans"));
        }
    }
    if known < groups.len() {
        damage.push("a group of spans is missing".to_owned());
    }
    Ok(())
}

fn check_operations(
    connection: &Connection,
    operations: &HashMap<i64, i64>,
    damage: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT id, spans FROM span_operations")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, spans): (i64, i64) = (row.get(0)?, row.get(1)?);
        if operations.get(&id).copied().unwrap_or(0) != spans {
            damage.push(format!("number of spans of operation {id}"));
        }
    }
    Ok(())
}
