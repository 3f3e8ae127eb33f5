//! Searches over a real store against a plain model of the same records.

mod limits;
mod model;
mod paging;

use std::sync::Arc;

use store::{Batch, Labels, Level, Origin, Pair, Reader, Record, TimeRange, Writer};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::question::Question;
use super::search::{Search, SearchRequest};
use super::select::Order;
use crate::filter::Row;
use crate::logql::ast::Expr;
use crate::logql::logs::Follower;
use crate::{Config, Hit, logql, search};

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
    SearchRequest { query: query.to_owned(), question: question(query), range, order, cursor: None }
}

fn question(query: &str) -> Question {
    if !logql::is_meant(query) {
        return Question::Filter(search::parse(query).unwrap());
    }
    match logql::parse(query).unwrap() {
        Expr::Log(log) => Question::LogQl(log),
        Expr::Metric(_) => panic!("{query} yields numbers"),
    }
}

/// Whether a record is in the answer to `query`, by looking at that record alone.
pub(crate) fn is_wanted(query: &str) -> Box<dyn FnMut(&Record) -> bool> {
    match question(query) {
        Question::Filter(filter) => Box::new(move |record| filter.is_match(&Row::of_record(record))),
        Question::LogQl(log) => {
            let mut follower = Follower::new(&log).unwrap();
            Box::new(move |record| follower.hit(record).is_some())
        }
    }
}

/// All hits of a query.
pub(crate) fn hits(reader: &Reader, query: &str, range: TimeRange, order: Order) -> Vec<Hit> {
    let context = context();
    let mut search = Search::begin(reader, request(query, range, order), &context).unwrap();
    search.next_page(usize::MAX, &context).unwrap()
}
