//! Pages join without a repeat or a skip, whatever their size, equal times included, and while records arrive.

use proptest::prelude::*;
use store::{Record, TimeRange};

use super::model::{batches, in_order};
use super::{Data, context, is_wanted, request};
use crate::exec::cursor::Cursor;
use crate::exec::page::{PageRequest, page};
use crate::exec::search::Search;
use crate::exec::select::{Hits, Order};
use crate::plan::StreamFilters;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn pages_join_while_records_arrive(
        batches in batches(),
        late in batches(),
        sizes in prop::collection::vec(1..7_usize, 1..4),
        forward in any::<bool>(),
        query in prop::sample::select(&["*", "pay*", "service:a", "NOT payment", "{service_name=`a`} |= `pay`"][..]),
    ) {
        let order = if forward { Order::Forward } else { Order::Backward };
        let data = Data::of(batches.clone());
        let mut late = late.into_iter();
        let mut all = batches;
        let mut given: Vec<(i64, Vec<u8>)> = Vec::new();
        let mut before: Vec<Record> = in_order(&all);
        let mut cursor: Option<Cursor> = None;
        for turn in 0..1_000 {
            let context = context();
            let mut request = request(query, TimeRange::ALL, order);
            request.cursor = cursor.map(|c| Cursor::decode(&c.encode()).unwrap());
            let mut search = Search::begin(&data.reader(), request, &context).unwrap();
            let hits = search.next_page(sizes[turn % sizes.len()], &context).unwrap();
            given.extend(hits.into_iter().map(|hit| (hit.timestamp_ns, hit.line)));
            cursor = search.cursor(&context).unwrap();
            if cursor.is_none() {
                break;
            }
            if let Some(batch) = late.next() {
                data.append(batch.clone());
                all.push(batch);
            }
        }
        prop_assert_eq!(cursor, None, "paging does not end");
        // What was there at the start is given exactly once and in order; late records may or may not be.
        let mut wanted_record = is_wanted(query);
        before.retain(&mut wanted_record);
        if !forward {
            before.reverse();
        }
        let mut rest = given.iter();
        for r in &before {
            let wanted = (r.timestamp_ns, r.line.to_vec());
            prop_assert!(rest.any(|hit| *hit == wanted), "skipped {:?} in {:?}", wanted, given);
        }
        let possible = in_order(&all).into_iter().filter(|r| wanted_record(r)).count();
        prop_assert!(given.len() <= possible, "repeated");
        let times: Vec<i64> = given.iter().map(|(ts, _)| if forward { *ts } else { -ts }).collect();
        prop_assert!(times.is_sorted());
    }

    #[test]
    fn a_page_full_by_bytes_is_a_prefix_and_the_next_goes_on(batches in batches(), max_bytes in 1..2_000_usize) {
        let data = Data::of(batches.clone());
        let snapshot = data.reader().snapshot().unwrap();
        let filters = StreamFilters::of(&crate::Filter::All, &snapshot, TimeRange::ALL);
        let candidates = filters.plan(TimeRange::ALL).candidates(&snapshot).unwrap();
        let mut given = Vec::new();
        let mut after = None;
        loop {
            let request = PageRequest { order: Order::Backward, range: TimeRange::ALL, limit: 50, max_bytes, after };
            let found = page(&candidates.blocks, &Hits { filters: &filters }, &request, &context()).unwrap();
            let bytes: usize = found.rows.iter().map(|(_, hit)| hit.size()).sum();
            prop_assert!(bytes <= max_bytes || found.rows.len() == 1);
            after = found.rows.last().map(|(key, _)| *key);
            given.extend(found.rows.into_iter().map(|(_, hit)| hit.line));
            if !found.more {
                break;
            }
        }
        let mut expected: Vec<Vec<u8>> = in_order(&batches).into_iter().map(|r| r.line.to_vec()).collect();
        expected.reverse();
        prop_assert_eq!(given, expected);
    }
}
