//! `binnacle run`, `collect` and `serve`: the long-lived parts, started back to front and stopped front to
//! back: sources end, the HTTP server finishes its requests, the writer stores what is queued.

use std::net::SocketAddr;
