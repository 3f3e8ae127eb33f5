//! How values look: units, thresholds, colours, columns of tables.

use serde_json::{Map, Value, json};

use crate::link::Link;

/// Units, as Grafana names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A number of things.
    Count,
    Bytes,
    BytesPerSecond,
    /// Things that happen in a second.
    PerSecond,
    RequestsPerSecond,
    Seconds,
    /// 0 to 1, shown as percent.
    Ratio,
    /// Processors in use.
    Cores,
    /// How many times as fast as allowed.
    Times,
    /// A point in time in milliseconds, shown as its age.
    Ago,
}

impl Unit {
    /// How far an axis reaches at least, so that nothing looks like nothing.
    pub(crate) const fn small(self) -> f64 {
        match self {
            Self::Ratio | Self::Seconds | Self::Cores => 0.01,
            Self::Bytes | Self::BytesPerSecond => 1024.0,
            Self::Count | Self::PerSecond | Self::RequestsPerSecond | Self::Times | Self::Ago => 1.0,
        }
    }

    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Count => "short",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "binBps",
            Self::PerSecond => "cps",
            Self::RequestsPerSecond => "reqps",
            Self::Seconds => "s",
            Self::Ratio => "percentunit",
            Self::Cores => "suffix: CPU",
            Self::Times => "suffix:x",
            Self::Ago => "dateTimeFromNow",
        }
    }
}

pub(crate) const GOOD: &str = "green";
pub(crate) const WARNING: &str = "orange";
pub(crate) const BAD: &str = "red";

/// Colour from a value on; the first step holds from the lowest value on.
pub(crate) fn thresholds(first: &str, steps: &[(f64, &str)]) -> Value {
    let mut all = vec![json!({"color": first, "value": null})];
    all.extend(steps.iter().map(|(from, color)| json!({"color": color, "value": from})));
    json!({"mode": "absolute", "steps": all})
}

/// Words and colours for values.
pub(crate) fn mapping(words: &[(&str, &str, &str)]) -> Value {
    let options: Map<String, Value> = words
        .iter()
        .enumerate()
        .map(|(place, (value, text, color))| {
            ((*value).to_owned(), json!({"text": text, "color": color, "index": place}))
        })
        .collect();
    json!([{"type": "value", "options": options}])
}

/// What is set for some of the series only.
pub(crate) fn for_series(name: &str, properties: &[(&str, Value)]) -> Value {
    override_of(&json!({"id": "byName", "options": name}), properties)
}

/// A fixed colour for one series.
pub(crate) fn colored(name: &str, color: &str) -> Value {
    for_series(name, &[("color", json!({"mode": "fixed", "fixedColor": color}))])
}

/// A dashed line beside a stack of series: a limit, not a part.
pub(crate) fn dashed(name: &str, color: &str) -> Value {
    for_series(
        name,
        &[
            ("color", json!({"mode": "fixed", "fixedColor": color})),
            ("custom.stacking", json!({"mode": "none", "group": "limit"})),
            ("custom.lineStyle", json!({"fill": "dash", "dash": [10, 10]})),
            ("custom.fillOpacity", json!(0)),
        ],
    )
}

/// The colours of log levels.
pub(crate) fn level_colors() -> Vec<Value> {
    [
        ("fatal", "dark-purple"),
        ("critical", "purple"),
        ("error", "red"),
        ("warn", "orange"),
        ("info", "green"),
        ("debug", "blue"),
        ("trace", "light-blue"),
        ("unknown", "#8e8e8e"),
    ]
    .map(|(level, color)| colored(level, color))
    .into()
}

fn override_of(matcher: &Value, properties: &[(&str, Value)]) -> Value {
    let properties: Vec<Value> =
        properties.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
    json!({"matcher": matcher, "properties": properties})
}

/// A column of a table: which field it shows, and how.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    field: String,
    title: &'static str,
    properties: Vec<(&'static str, Value)>,
}

impl Column {
    /// Shows a label.
    pub(crate) fn label(field: &str, title: &'static str) -> Self {
        Self { field: field.to_owned(), title, properties: Vec::new() }
    }

    /// Shows the value of the query with this letter.
    pub(crate) fn value(reference: char, title: &'static str, unit: Unit) -> Self {
        let properties = vec![("unit", json!(unit.id()))];
        Self { field: format!("Value #{reference}"), title, properties }
    }

    /// Shows the value of the only query.
    pub(crate) fn only_value(title: &'static str, unit: Unit) -> Self {
        Self { field: "Value".to_owned(), title, properties: vec![("unit", json!(unit.id()))] }
    }

    pub(crate) fn width(self, pixels: u32) -> Self {
        self.with("custom.width", json!(pixels))
    }

    pub(crate) fn link(self, link: &Link) -> Self {
        self.with("links", json!([link.json()]))
    }

    /// Colours the text by thresholds.
    pub(crate) fn thresholds(self, first: &str, steps: &[(f64, &str)]) -> Self {
        self.with("thresholds", thresholds(first, steps))
            .with("custom.cellOptions", json!({"type": "color-text"}))
    }

    /// Shows words in colours for values.
    pub(crate) fn words(self, words: &[(&str, &str, &str)]) -> Self {
        self.with("mappings", mapping(words)).with("custom.cellOptions", json!({"type": "color-text"}))
    }

    /// Shows a bar beside the value.
    pub(crate) fn bar(self) -> Self {
        self.with("custom.cellOptions", json!({"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}))
            .with("min", json!(0))
    }

    pub(crate) fn decimals(self, digits: u32) -> Self {
        self.with("decimals", json!(digits))
    }

    fn with(mut self, property: &'static str, value: Value) -> Self {
        self.properties.push((property, value));
        self
    }

    /// Settings of the column, which has been renamed by then.
    pub(crate) fn settings(&self) -> Value {
        for_series(self.title, &self.properties)
    }
}

/// Puts columns in order under their titles and hides the time.
pub(crate) fn arranged(columns: &[Column]) -> Value {
    let order: Map<String, Value> =
        columns.iter().enumerate().map(|(place, column)| (column.field.clone(), json!(place))).collect();
    let titles: Map<String, Value> =
        columns.iter().map(|column| (column.field.clone(), json!(column.title))).collect();
    json!({"id": "organize", "options": {
        "excludeByName": {"Time": true, "__name__": true}, "indexByName": order, "renameByName": titles
    }})
}
