//! Searches over a real store against a plain model of the same records.

mod limits;
mod model;
mod paging;

use std::sync::Arc;

use store::{Batch, Labels, Level, Origin, Pair, Reader, Record, TimeRange, Writer};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::search::{Search, SearchRequest};
use super::select::Order;
use crate::{Config, Hit, search};

/// A store with records, and its folder.
pub(crate) struct Data {
    pub(crate) writer: Writer,
    _dir: tempfile::TempDir,
}

impl Data {
    pub(crate) fn of(batches: impl IntoIterator<Item = Vec<Record>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let writer =
            Writer::open(dir.path(), &store::Config::default(), &prometheus::Registry::new()).unwrap();
        let data = Self { writer, _dir: dir };
        for (i, records) in batches.into_iter().enumerate() {
            data.append(records);
            // Some batches go to parts with their indexes, some stay in the head.
            if i % 2 == 1 {
                data.writer.flush_blocking().unwrap();
            }
        }
        data
    }

    pub(crate) fn append(&self, records: Vec<Record>) {
        self.writer.append_blocking(Batch { records, ..Batch::default() }).unwrap();
    }

    pub(crate) fn reader(&self) -> Reader {
        self.writer.reader()
    }
}

pub(crate) fn record(
    service: &str,
    timestamp_ns: i64,
    line: &str,
    level: Level,
    pairs: &[(&str, &str)],
) -> Record {
    Record {
        timestamp_ns,
        labels: Arc::new(Labels::new([("service_name", service), ("stream", "stdout")])),
        line: line.to_owned().into_bytes().into(),
        level,
        pairs: pairs
            .iter()
            .map(|(name, value)| Pair {
                origin: Origin::Derived,
                name: (*name).into(),
                value: (*value).into(),
            })
            .collect(),
    }
}

pub(crate) fn context() -> Context {
    Context::new(&Config::default(), CancellationToken::new())
}

pub(crate) fn request(query: &str, range: TimeRange, order: Order) -> SearchRequest {
    SearchRequest {
        query: query.to_owned(),
        filter: search::parse(query).unwrap(),
        range,
        order,
        cursor: None,
    }
}

/// All hits of a query.
pub(crate) fn hits(reader: &Reader, query: &str, range: TimeRange, order: Order) -> Vec<Hit> {
    let context = context();
    let mut search = Search::begin(reader, request(query, range, order), &context).unwrap();
    search.next_page(usize::MAX, &context).unwrap()
}
