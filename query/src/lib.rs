//! From questions to answers: query languages, planning, execution, the HTTP API and live tails.
//!
//! This crate alone knows axum (bar the collector's own small admin port). It does not know Docker.
