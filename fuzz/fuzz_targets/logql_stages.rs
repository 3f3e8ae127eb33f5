//! Any template or pattern, and parsers, on any line: no panic, no endless loop.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use query::logql::ast::Expr;
use query::logql::logs::Follower;
use query::logql::parse;
use query::logql::units::quote;
use store::{Labels, Level, Record};

fuzz_target!(|input: (&str, &[u8])| {
    let (text, line) = input;
    let record = Record {
        timestamp_ns: 1_656_353_124_120_000_000,
        labels: Arc::new(Labels::new([("a", "b")])),
        line: line.to_vec().into(),
        level: Level::Unset,
        pairs: Vec::new(),
    };
    let quoted = quote(text);
    for stage in ["| line_format", "| label_format x=", "| pattern", "|>", "| regexp", "| json x=", "| logfmt --strict x="] {
        let query = format!("{{a=\"b\"}} | json | logfmt | unpack | decolorize {stage} {quoted}");
        if let Ok(Expr::Log(log)) = parse(&query)
            && let Ok(mut follower) = Follower::new(&log)
        {
            follower.entry(&record);
        }
    }
});
