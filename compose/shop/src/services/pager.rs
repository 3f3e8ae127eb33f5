//! The pager: what Alertmanager tells the people on duty, one line of the log for each alert it delivers.
//!
//! So an alert stands among the lines of the services it is about, and whether it was delivered can be searched for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Deserialize;

use crate::context::Context;
use crate::frame::Frame;
use crate::log::Level;

/// Largest notification that is read, in bytes; Alertmanager puts all alerts of a group into one.
const MAX_NOTIFICATION_BYTES: usize = 4 << 20;

/// What Alertmanager posts to a webhook (version 4), as far as it is told here.
#[derive(Debug, Deserialize)]
struct Notification {
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    /// `firing` or `resolved`.
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

pub(super) fn routes(frame: &Arc<Frame>) -> Router {
    Router::new()
        .route("/alerts", post(page))
        .layer(DefaultBodyLimit::max(MAX_NOTIFICATION_BYTES))
        .with_state(Arc::clone(frame))
}

async fn page(
    State(frame): State<Arc<Frame>>,
    Extension(context): Extension<Context>,
    Json(notification): Json<Notification>,
) -> &'static str {
    for alert in notification.alerts {
        let Alert { status, mut labels, mut annotations } = alert;
        let name = labels.remove("alertname").unwrap_or_default();
        let level = match (status.as_str(), labels.get("severity").map(String::as_str)) {
            ("resolved", _) | (_, Some("none" | "info")) => Level::Info,
            (_, Some("critical")) => Level::Error,
            _ => Level::Warn,
        };
        frame.metrics.pages.with_label_values(&[&name, &status]).inc();
        let told = [
            ("alert", name.into()),
            ("status", status.into()),
            ("summary", annotations.remove("summary").into()),
            ("runbook", annotations.remove("runbook_url").into()),
            ("labels", labels.into_iter().collect()),
        ];
        frame.logger.request(level, &context, "alert", &told);
    }
    "noted\n"
}
