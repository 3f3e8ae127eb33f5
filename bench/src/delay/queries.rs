//! Clients that ask heavy queries without a pause.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;

use crate::server::Server;

/// Each query uses all threads that it may.
const CLIENTS: usize = 4;
/// Each reads every line, but for the last: that answers with as many lines as it may.
const HEAVY: [&str; 4] = [
    "topk(10, sum by (path) (count_over_time({host=\"bench\"} | json [1h])))",
    "quantile_over_time(0.99, {host=\"bench\"} | json | unwrap latency_ms [1h]) by (service_name)",
    "sum(count_over_time({host=\"bench\"} |~ `[a-z]+ter [0-9]+x` [1h]))",
    "{host=\"bench\"} | json",
];
const NOW: &str = "2026-11-20T10:59:00Z";
const START: &str = "2026-11-20T09:59:00Z";

/// Runs `work` beside the clients. Returns what it returned, and how many queries were answered.
pub(super) fn beside<T>(server: &Server, work: impl FnOnce() -> T) -> Result<(T, usize)> {
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let (stop, answered) = (&stop, &answered);
                    move || ask(server, client, stop, answered)
                })
            })
            .collect();
        let done = work();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("BUG: a client panicked")?;
        }
        Ok((done, answered.load(Ordering::Relaxed)))
    })
}

fn ask(server: &Server, client: usize, stop: &AtomicBool, answered: &AtomicUsize) -> Result<()> {
    for query in HEAVY.iter().cycle().skip(client) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if query.starts_with('{') {
            let params = [("query", *query), ("start", START), ("end", NOW), ("limit", "5000")];
            server.answer_to("/loki/api/v1/query_range", &params)?;
        } else {
            server.answer_to("/loki/api/v1/query", &[("query", query), ("time", NOW)])?;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
