//! Variables at the top of a dashboard.

use serde_json::{Value, json};

use crate::query::Source;

/// What the reader chooses or types.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    name: &'static str,
    body: Value,
}

/// A choice among the data sources of a type.
pub(crate) fn source(source: Source) -> Variable {
    let (label, name) = match source {
        Source::Metrics => ("Metrics", "Prometheus"),
        Source::Logs => ("Logs", "Binnacle"),
        Source::Traces => ("Traces", "Binnacle traces"),
    };
    let body = json!({
        "type": "datasource", "label": label, "query": source.plugin(), "regex": "", "refresh": 1,
        "multi": false, "includeAll": false, "options": [], "hide": 0, "skipUrlSync": false,
        "current": {"text": name, "value": source.variable(), "selected": false},
    });
    Variable { name: source.variable(), body }
}

/// A choice of one value of a label of the series that `selector` selects.
pub(crate) fn one_of(name: &'static str, label: &str, selector: &str, of: &str) -> Variable {
    Variable { name, body: of_label(label, selector, of) }
}

/// A choice of any number of values of a label; at first all.
pub(crate) fn some_of(name: &'static str, label: &str, selector: &str, of: &str) -> Variable {
    let mut body = of_label(label, selector, of);
    choose_all(&mut body);
    Variable { name, body }
}

/// A choice of any number of values of a label of log streams; at first all.
pub(crate) fn some_of_logs(name: &'static str, label: &str, of: &str) -> Variable {
    let mut body = json!({
        "type": "query", "label": label, "datasource": Source::Logs.json(), "refresh": 2, "sort": 1, "hide": 0,
        "skipUrlSync": false, "options": [], "regex": "", "definition": "",
        "query": {"type": 1, "label": of, "stream": "", "refId": "variable"},
    });
    choose_all(&mut body);
    body["allValue"] = json!(".+"); // Loki wants a matcher that nothing empty passes
    Variable { name, body }
}

/// A choice among given values, the first one at first.
pub(crate) fn among(name: &'static str, label: &str, values: &[&str]) -> Variable {
    let first = values.first().copied().unwrap_or_default();
    let option = |value: &&str| json!({"text": value, "value": value, "selected": *value == first});
    let body = json!({
        "type": "custom", "label": label, "query": values.join(","), "hide": 0, "skipUrlSync": false,
        "multi": false, "includeAll": false, "options": values.iter().map(option).collect::<Vec<_>>(),
        "current": {"text": first, "value": first, "selected": true},
    });
    Variable { name, body }
}

/// A field to type in, empty at first.
pub(crate) fn text(name: &'static str, label: &str) -> Variable {
    let body = json!({
        "type": "textbox", "label": label, "query": "", "hide": 0, "skipUrlSync": false,
        "current": {"text": "", "value": "", "selected": true}, "options": [],
    });
    Variable { name, body }
}

fn of_label(label: &str, selector: &str, of: &str) -> Value {
    let query = format!("label_values({selector}, {of})");
    json!({
        "type": "query", "label": label, "datasource": Source::Metrics.json(), "refresh": 2, "sort": 1, "hide": 0,
        "skipUrlSync": false, "multi": false, "includeAll": false, "options": [], "regex": "",
        "definition": query, "query": {"qryType": 1, "query": query, "refId": "variable"},
        "current": {},
    })
}

fn choose_all(body: &mut Value) {
    body["multi"] = json!(true);
    body["includeAll"] = json!(true);
    body["current"] = json!({"text": ["All"], "value": ["$__all"], "selected": true});
}

impl Variable {
    pub(crate) fn json(&self) -> Value {
        let mut body = self.body.clone();
        body["name"] = json!(self.name);
        body
    }
}
