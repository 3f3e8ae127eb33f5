//! What the asking commands share: whom to ask, for which times, and how an answer is written out.

use anyhow::Context;
use dial::{Credentials, Endpoint, Token};
use futures_util::StreamExt;
use query::Hit;
use query::client::{Answer, Answers, Client, ClientError, SearchOptions};
use serde_json::Value;
use store::Reader;

use super::config;
use crate::args::{Common, Server, Times, Trust};

/// Runs `work` with a client of the server, or of the data folder when one is named with `--data`.
///
/// # Errors
/// When the folder cannot be read, or as `work` says.
pub(super) fn ask<T>(
    server: &Server,
    common: &Common,
    work: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let client_of_folder = || -> anyhow::Result<Client> {
        let config = config(common)?;
        Ok(Client::local(Reader::open(&config.data)?, config.query)?)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    runtime.block_on(async {
        let client = if common.data.is_some() {
            client_of_folder()?
        } else {
            Client::new(endpoint(&server.url, &server.trust)?)
        };
        work(client).await.map_err(with_pointer)
    })
}

/// The server at `url`, with what the user shows it and whom the user trusts.
///
/// # Errors
/// When the URL, the token or the certificates cannot be used.
pub(super) fn endpoint(url: &str, trust: &Trust) -> anyhow::Result<Endpoint> {
    let token = match (&trust.token_file, std::env::var("BINNACLE_TOKEN")) {
        (Some(file), _) => Some(Token::read(file)?),
        (None, Ok(text)) if !text.is_empty() => Some(Token::new(&text, "BINNACLE_TOKEN")?),
        _ => None,
    };
    Ok(Endpoint::new(url, &Credentials { token, ca_file: trust.ca_file.clone() })?)
}

/// Adds the query and a caret under the mistake, where the server says where it is.
fn with_pointer(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Refused { message, pointer: Some(pointer), .. }) => pointed(message, pointer),
        _ => error,
    }
}

/// An error that shows the query, with a caret under the mistake.
pub(super) fn pointed(message: &str, pointer: &str) -> anyhow::Error {
    let indented: Vec<String> = pointer.lines().map(|line| format!("  {line}")).collect();
    anyhow::anyhow!("{message}\n{}", indented.join("\n"))
}

/// The options of a search for `times`.
pub(super) fn options(query: String, times: &Times, limit: usize, forward: bool) -> SearchOptions {
    SearchOptions {
        query,
        start: times.from.clone(),
        end: times.to.clone(),
        since: times.since.clone(),
        limit,
        forward,
    }
}

/// Hands every hit to `show` and returns the summary.
///
/// # Errors
/// When the answer breaks off, or as `show` says.
pub(super) async fn each_hit(
    mut answers: Answers,
    mut show: impl FnMut(&Hit) -> std::io::Result<()>,
) -> anyhow::Result<Value> {
    while let Some(answer) = answers.next().await {
        match answer? {
            Answer::Hit(hit) => show(&hit)?,
            Answer::Record(_) | Answer::Skipped(_) => {}
            Answer::Summary(summary) => return Ok(summary),
        }
    }
    Err(ClientError::CutOff.into())
}

/// Tells on standard error what an answer does not hold.
pub(super) fn tell_what_is_missing(summary: &Value, limit: usize) {
    let completeness = &summary["completeness"];
    if completeness["cut_by_limit"].as_bool() == Some(true) {
        anstream::eprintln!(
            "binnacle: there are more than {limit} records; raise --limit, or give 0 for all"
        );
    }
    for gap in completeness["gaps"].as_array().into_iter().flatten() {
        let text = |field: &str| gap[field].as_str().unwrap_or("?").to_owned();
        let lines =
            gap["lines"].as_u64().map_or_else(|| "lines".to_owned(), |lines| format!("{lines} lines"));
        anstream::eprintln!(
            "binnacle: {lines} of `{}` may be missing between {} and {} ({})",
            text("name"),
            text("from"),
            text("to"),
            text("reason")
        );
    }
    if let Some(more) = completeness["gaps_omitted"].as_u64().filter(|more| *more > 0) {
        anstream::eprintln!("binnacle: and {more} more gaps");
    }
    for damage in completeness["damaged"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        anstream::eprintln!("binnacle: not in the answer: {damage}");
    }
}
