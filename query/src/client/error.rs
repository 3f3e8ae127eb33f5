//! Why a client has no answer.

use serde::Deserialize;

/// Why a client has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL, or what is to be trusted, cannot be used.
    #[error(transparent)]
    Dial(#[from] dial::DialError),
    /// The server knows no such token, or was shown none.
    #[error(
        "the server wants a token; name a file that holds one with --token-file, or set BINNACLE_TOKEN to it"
    )]
    Unauthorized,
    /// Nobody answers there.
    #[error(
        "cannot reach {url}: {source}; start `binnacle run`, or name the server with --url or the data folder with --data"
    )]
    Unreachable {
        /// Server.
        url: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// The server refuses, for example because the query is wrong.
    #[error("{message}")]
    Refused {
        /// Kind of the error: `bad_query`, `unknown_field`, `timeout`, ...
        kind: String,
        /// What is wrong and what helps.
        message: String,
        /// The query with a caret under the mistake.
        pointer: Option<String>,
    },
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The answer ended before its end.
    #[error("the answer ended early: the server was stopped, or something between cut it off")]
    CutOff,
    /// The answer is not ours.
    #[error("the answer cannot be understood: {0}; is this a binnacle server of the same version?")]
    NotUnderstood(String),
    /// The routes cannot be set up in this process.
    #[error("cannot answer from the data folder: {0}")]
    Local(#[from] prometheus::Error),
}

impl ClientError {
    pub(super) fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Broken(error.into())
    }

    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(super) fn not_understood(error: serde_json::Error) -> Self {
        Self::NotUnderstood(error.to_string())
    }
}

/// The body of an error.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    error: String,
    message: String,
    pointer: Option<String>,
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { kind: refusal.error, message: refusal.message, pointer: refusal.pointer }
    }
}
