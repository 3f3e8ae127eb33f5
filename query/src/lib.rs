//! From questions to answers: query languages, planning, execution, the HTTP API and live tails.
//!
//! This crate alone knows axum (bar the collector's own small admin port). It does not know Docker.

mod chars;
pub mod client;
pub mod config;
pub mod exec;
pub mod explain;
pub mod filter;
pub mod hit;
pub mod http;
mod jaeger;
pub mod logql;
pub mod loki;
pub mod plan;
pub mod search;
pub mod time;
pub mod traces;
pub mod why;

pub use config::Config;
pub use exec::{Context, ExecError};
pub use filter::Filter;
pub use hit::Hit;
