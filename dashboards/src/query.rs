//! What panels ask: PromQL of Prometheus, LogQL of Binnacle's Loki API, traces of a Jaeger API.

use serde_json::{Value, json};

/// The data source variables that every dashboard chooses its sources by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Metrics,
    Logs,
    Traces,
}

impl Source {
    /// Name of the variable, which is also the uid of the provisioned source.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }

    /// Type of Grafana's data source.
    pub(crate) const fn plugin(self) -> &'static str {
        match self {
            Self::Metrics => "prometheus",
            Self::Logs => "loki",
            Self::Traces => "jaeger",
        }
    }

    pub(crate) fn json(self) -> Value {
        json!({"type": self.plugin(), "uid": format!("${{{}}}", self.variable())})
    }
}

/// One query of a panel.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    source: Source,
    body: Value,
}

/// PromQL over the time range.
pub(crate) fn metric(expression: impl Into<String>) -> Query {
    let body = json!({"expr": expression.into(), "editorMode": "code", "range": true, "instant": false, "format": "time_series"});
    Query { source: Source::Metrics, body }
}

/// PromQL at the end of the time range.
pub(crate) fn metric_now(expression: impl Into<String>) -> Query {
    let mut query = metric(expression);
    (query.body["range"], query.body["instant"]) = (json!(false), json!(true));
    query
}

/// PromQL at the end of the time range, for a table: one row a series, one column a label.
pub(crate) fn metric_rows(expression: impl Into<String>) -> Query {
    let mut query = metric_now(expression);
    query.body["format"] = json!("table");
    query
}

/// The buckets of a histogram, for a heatmap.
pub(crate) fn buckets(expression: impl Into<String>) -> Query {
    let mut query = metric(expression).named("{{le}}");
    query.body["format"] = json!("heatmap");
    query
}

/// Log lines, newest first.
pub(crate) fn lines(expression: impl Into<String>) -> Query {
    let body = json!({"expr": expression.into(), "editorMode": "code", "queryType": "range", "direction": "backward", "maxLines": 500});
    Query { source: Source::Logs, body }
}

/// LogQL that counts or measures lines over the time range.
pub(crate) fn log_metric(expression: impl Into<String>) -> Query {
    let body = json!({"expr": expression.into(), "editorMode": "code", "queryType": "range"});
    Query { source: Source::Logs, body }
}

/// LogQL that counts or measures lines, one value a series for the whole time range. Grafana makes one table of it, whose
/// values are named after the query even when it is the only one.
pub(crate) fn log_metric_now(expression: impl Into<String>) -> Query {
    let body = json!({"expr": expression.into(), "editorMode": "code", "queryType": "instant"});
    Query { source: Source::Logs, body }
}

/// Traces with a span of this service that took at least so long and has these tags (logfmt).
pub(crate) fn traces(service: &str, min_duration: &str, tags: &str) -> Query {
    let body = json!({"queryType": "search", "service": service, "minDuration": min_duration, "tags": tags, "limit": 20});
    Query { source: Source::Traces, body }
}

/// One trace by its id.
pub(crate) fn trace(id: &str) -> Query {
    Query { source: Source::Traces, body: json!({"query": id}) }
}

/// Who calls whom.
pub(crate) fn dependencies() -> Query {
    Query { source: Source::Traces, body: json!({"queryType": "dependencyGraph"}) }
}

impl Query {
    /// How its series are called, `{{label}}` being replaced.
    pub(crate) fn named(mut self, legend: &str) -> Self {
        self.body["legendFormat"] = json!(legend);
        self
    }

    /// Marks single requests on the series, each of which leads to its trace.
    pub(crate) fn with_exemplars(mut self) -> Self {
        self.body["exemplar"] = json!(true);
        self
    }

    pub(crate) const fn source(&self) -> Source {
        self.source
    }

    /// The query as the `place`-th of its panel.
    pub(crate) fn json(&self, place: usize) -> Value {
        let mut body = self.body.clone();
        body["refId"] = json!(reference(place));
        body["datasource"] = self.source.json();
        body
    }
}

/// `A` for the first query of a panel, `B` for the second.
pub(crate) fn reference(place: usize) -> String {
    let letter = u8::try_from(place).ok().and_then(|place| b'A'.checked_add(place)).map_or('Z', char::from);
    letter.to_string()
}
