//! What tokens records of the head have, so that queries need not look at the text of most of them.
//!
//! The terms are those of blocks (see `crate::terms`), of a whole commit or of each of its streams. Making them costs
//! as much as some looks at the text, so they are made when a commit has been looked at that often.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::prune::Plan;
use crate::record::Record;
use crate::terms::{BlockWords, Collector, IdFilter};

/// Times that the text of records is looked at before their terms are made.
const LOOKS: u64 = 2;

/// Line bytes of a commit from which on each of its streams has terms of its own.
pub(super) const LARGE_BYTES: u64 = 256 << 10;

/// Line bytes below which words are not kept: few of them repeat, so that they would take half the memory of the
/// lines. Ids alone take a tenth.
const MIN_WORDS_BYTES: u64 = 64 << 10;

/// The terms of some records that stay together, made when they pay.
#[derive(Debug, Default)]
pub(super) struct LazyTerms {
    /// Bytes of lines looked at so far.
    looked_at: AtomicU64,
    terms: OnceLock<Terms>,
}

#[derive(Debug)]
struct Terms {
    words: Option<BlockWords>,
    ids: Vec<u8>,
    runs_complete: bool,
}

impl LazyTerms {
    /// Whether some of these records, which are the same at every call and have `line_bytes` of lines, may fulfil a
    /// plan. If they may, the caller looks at `part` of these bytes.
    pub(super) fn may_hold<'a>(
        &self,
        plan: &Plan,
        records: impl Iterator<Item = &'a Record>,
        line_bytes: u64,
        part: u64,
        collector: &mut Collector,
    ) -> bool {
        if plan.keeps_all() {
            return true;
        }
        if self.terms.get().is_none()
            && self.looked_at.fetch_add(part, Ordering::Relaxed) < LOOKS.saturating_mul(line_bytes)
        {
            return true;
        }
        self.terms.get_or_init(|| Terms::of(records, line_bytes, collector)).may_hold(plan)
    }
}

impl Terms {
    fn of<'a>(records: impl Iterator<Item = &'a Record>, line_bytes: u64, collector: &mut Collector) -> Self {
        collector.begin();
        for record in records {
            collector.add(&record.line);
            record.pairs.iter().for_each(|pair| collector.add(pair.value.as_bytes()));
        }
        let terms = collector.finish();
        let words = (line_bytes >= MIN_WORDS_BYTES).then_some(terms.words);
        Self { words, ids: terms.ids, runs_complete: terms.runs_complete }
    }

    fn may_hold(&self, plan: &Plan) -> bool {
        let ids = IdFilter::decode(&self.ids).ok();
        plan.may_hold(self.words.as_ref(), self.runs_complete, ids.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{Level, Origin, Pair, Prune, Text};

    fn record(line: &str, value: &str) -> Record {
        Record {
            timestamp_ns: 0,
            labels: Arc::default(),
            line: line.as_bytes().to_vec().into(),
            level: Level::Unset,
            pairs: vec![Pair { origin: Origin::Given, name: "n".into(), value: value.into() }],
        }
    }

    fn terms_of(records: &[Record], line_bytes: u64) -> Terms {
        Terms::of(records.iter(), line_bytes, &mut Collector::default())
    }

    proptest! {
        #[test]
        fn what_is_there_is_never_ruled_out(
            lines in prop::collection::vec("[a-f0-9 é:-]{0,40}", 1..6),
            value in "[a-z0-9]{0,12}",
            at in any::<prop::sample::Index>(),
            (from, to) in (0..40_usize, 0..40_usize),
            line_bytes in prop::sample::select(vec![0, MIN_WORDS_BYTES]),
        ) {
            let records: Vec<Record> = lines.iter().map(|line| record(line, &value)).collect();
            let line = at.get(&lines).as_bytes();
            let needle = line.get(from.min(to)..(from.max(to)).min(line.len())).unwrap_or_default();
            let terms = terms_of(&records, line_bytes);
            prop_assert!(terms.may_hold(&Plan::new(&Prune::Text(Text::substring(needle)))));
            let pair = Prune::Pair { name: "n".into(), value };
            prop_assert!(terms.may_hold(&Plan::new(&pair)));
        }
    }

    #[test]
    fn absent_words_and_ids_are_ruled_out() {
        let records = [record("GET /cart 4bf92f3577b34da6a3ce929d0e0e4736", "tenant")];
        let plan = |text: &str| Plan::new(&Prune::Text(Text::substring(text)));
        let (small, large) = (terms_of(&records, 0), terms_of(&records, MIN_WORDS_BYTES));
        for terms in [&small, &large] {
            assert!(terms.may_hold(&plan("4bf92f3577b34da6a3ce929d0e0e4736")));
            assert!(!terms.may_hold(&plan("5bf92f3577b34da6a3ce929d0e0e4736")));
            assert!(terms.may_hold(&plan("enan")));
        }
        assert!(small.may_hold(&plan("checkout")) && !large.may_hold(&plan("checkout")));
        assert!(!large.may_hold(&Plan::new(&Prune::Text(Text {
            bytes: b"enan".to_vec(),
            starts_token: true,
            ends_token: false,
            ignore_case: true,
        }))));
    }

    #[test]
    fn terms_are_made_after_some_looks() {
        let records = [record("one", "")];
        let (terms, plan) =
            (LazyTerms::default(), Plan::new(&Prune::Text(Text::substring("7bf92f3577b34da6"))));
        let mut collector = Collector::default();
        let answers: Vec<bool> =
            (0..=LOOKS).map(|_| terms.may_hold(&plan, records.iter(), 100, 100, &mut collector)).collect();
        assert_eq!(answers, [true, true, false]);
    }
}
