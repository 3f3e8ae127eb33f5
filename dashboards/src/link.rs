//! Ways from one dashboard to the next. They keep the time range.

use serde_json::{Value, json};

/// A link to a dashboard.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    title: &'static str,
    url: String,
}

/// A link to the dashboard `uid` with one of its variables set. `value` may be one of Grafana's placeholders, such as
/// those of [`of_series`] and [`OF_CELL`].
pub(crate) fn to(uid: &str, title: &'static str, variable: &str, value: &str) -> Link {
    Link { title, url: format!("/d/{uid}?${{__url_time_range}}&var-{variable}={value}") }
}

/// What stands in the cell of the table.
pub(crate) const OF_CELL: &str = "${__value.raw}";

/// The label of the series.
pub(crate) fn of_series(label: &str) -> String {
    format!("${{__field.labels.{label}}}")
}

impl Link {
    pub(crate) fn json(&self) -> Value {
        json!({"title": self.title, "url": self.url, "targetBlank": false})
    }
}

/// The menu of all dashboards, at the top of each.
pub(crate) fn menu(tag: &str) -> Value {
    json!({
        "type": "dashboards", "title": "Binnacle", "tags": [tag], "asDropdown": true, "icon": "external link",
        "includeVars": false, "keepTime": true, "targetBlank": false, "tooltip": "", "url": ""
    })
}
