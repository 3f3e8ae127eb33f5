//! Panels: what they draw, what they ask, how it looks.

use serde_json::{Value, json};

use crate::field::{self, Column, Unit};
use crate::link::Link;
use crate::query::{Query, Source};

/// Columns of Grafana's grid.
pub(crate) const GRID: u32 = 24;

/// A panel. Every one says in its description what a reader learns from it.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    kind: &'static str,
    title: &'static str,
    about: &'static str,
    width: u32,
    height: u32,
    queries: Vec<Query>,
    defaults: Value,
    overrides: Vec<Value>,
    links: Vec<Link>,
    options: Value,
    transformations: Vec<Value>,
}

impl Panel {
    fn new(kind: &'static str, title: &'static str, about: &'static str, options: Value) -> Self {
        Self {
            kind,
            title,
            about,
            width: 8,
            height: 8,
            queries: Vec::new(),
            defaults: json!({}),
            overrides: Vec::new(),
            links: Vec::new(),
            options,
            transformations: Vec::new(),
        }
    }

    /// Lines over time.
    pub(crate) fn timeseries(title: &'static str, about: &'static str, unit: Unit) -> Self {
        let options = json!({
            "legend": {"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        });
        let mut panel = Self::new("timeseries", title, about, options);
        panel.defaults = json!({
            "unit": unit.id(), "min": 0, "color": {"mode": "palette-classic"},
            "custom": {
                "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 10,
                "gradientMode": "opacity", "showPoints": "never", "spanNulls": false, "pointSize": 5,
                "axisPlacement": "auto", "axisSoftMax": unit.small(), "stacking": {"mode": "none", "group": "A"},
                "thresholdsStyle": {"mode": "off"}, "scaleDistribution": {"type": "linear"},
            },
        });
        panel
    }

    /// Bars over time, stacked: parts of a whole that is counted per interval.
    pub(crate) fn bars(title: &'static str, about: &'static str, unit: Unit) -> Self {
        let mut panel = Self::timeseries(title, about, unit).stacked();
        panel.defaults["custom"]["drawStyle"] = json!("bars");
        panel.defaults["custom"]["fillOpacity"] = json!(70);
        panel.defaults["custom"]["lineWidth"] = json!(0);
        panel.defaults["custom"]["gradientMode"] = json!("none");
        panel
    }

    /// One number.
    pub(crate) fn stat(title: &'static str, about: &'static str, unit: Unit) -> Self {
        let options = json!({
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto",
            "textMode": "auto", "wideLayout": true,
        });
        let mut panel = Self::new("stat", title, about, options).sized(4, 4);
        panel.defaults = json!({
            "unit": unit.id(), "color": {"mode": "thresholds"}, "thresholds": field::thresholds("text", &[]),
        });
        panel
    }

    /// A part of a whole, by series, each a bar from 0 to 1.
    pub(crate) fn bar_gauge(title: &'static str, about: &'static str, unit: Unit) -> Self {
        let options = json!({
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "orientation": "horizontal", "displayMode": "gradient", "showUnfilled": true, "valueMode": "color",
            "namePlacement": "auto", "sizing": "auto", "minVizWidth": 8, "minVizHeight": 16,
        });
        let mut panel = Self::new("bargauge", title, about, options);
        panel.defaults = json!({
            "unit": unit.id(), "min": 0, "color": {"mode": "thresholds"},
            "thresholds": field::thresholds(field::GOOD, &[]),
        });
        panel
    }

    /// A part of a whole, 0 to 1.
    pub(crate) fn gauge(title: &'static str, about: &'static str) -> Self {
        let options = json!({
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "orientation": "auto", "showThresholdLabels": false, "showThresholdMarkers": true, "sizing": "auto",
        });
        let mut panel = Self::new("gauge", title, about, options).sized(4, 4);
        panel.defaults =
            json!({"unit": Unit::Ratio.id(), "min": 0, "max": 1, "color": {"mode": "thresholds"}});
        panel
    }

    /// Rows, one a series; queries with the same labels share a row.
    pub(crate) fn table(title: &'static str, about: &'static str, columns: &[Column]) -> Self {
        let options = json!({"showHeader": true, "cellHeight": "sm", "footer": {"show": false}});
        let mut panel = Self::new("table", title, about, options).sized(GRID, 8);
        panel.defaults =
            json!({"custom": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": true}});
        panel.transformations = vec![json!({"id": "merge", "options": {}}), field::arranged(columns)];
        panel.overrides = columns.iter().map(Column::settings).collect();
        panel
    }

    /// Traces found, one a row; the id leads to the request.
    pub(crate) fn trace_list(title: &'static str, about: &'static str, link: &Link) -> Self {
        let options = json!({"showHeader": true, "cellHeight": "sm", "footer": {"show": false}});
        let mut panel = Self::new("table", title, about, options).sized(GRID, 8);
        panel.defaults = json!({"custom": {"align": "auto", "cellOptions": {"type": "auto"}}});
        panel.overrides = vec![field::for_series("traceID", &[("links", json!([link.json()]))])];
        panel
    }

    /// Log lines.
    pub(crate) fn logs(title: &'static str, about: &'static str) -> Self {
        let options = json!({
            "showTime": true, "showLabels": false, "showCommonLabels": false, "wrapLogMessage": true,
            "prettifyLogMessage": false, "enableLogDetails": true, "dedupStrategy": "none",
            "sortOrder": "Descending",
        });
        Self::new("logs", title, about, options).sized(GRID, 10)
    }

    /// The waterfall of one trace.
    pub(crate) fn waterfall(title: &'static str, about: &'static str) -> Self {
        Self::new("traces", title, about, json!({})).sized(GRID, 12)
    }

    /// Who calls whom.
    pub(crate) fn node_graph(title: &'static str, about: &'static str) -> Self {
        Self::new("nodeGraph", title, about, json!({"zoomMode": "cooperative"})).sized(8, 10)
    }

    /// How values are distributed, over time.
    pub(crate) fn heatmap(title: &'static str, about: &'static str, unit: Unit) -> Self {
        let options = json!({
            "calculate": false, "cellGap": 1, "showValue": "never", "filterValues": {"le": 1e-9},
            "color": {"mode": "scheme", "scheme": "Oranges", "fill": "dark-orange", "scale": "exponential", "exponent": 0.5, "steps": 64, "reverse": false},
            "rowsFrame": {"layout": "auto"}, "legend": {"show": true}, "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "tooltip": {"mode": "single", "yHistogram": false, "showColorScale": false},
            "yAxis": {"axisPlacement": "left", "unit": unit.id(), "reverse": false},
        });
        let mut panel = Self::new("heatmap", title, about, options);
        panel.defaults = json!({"unit": unit.id(), "custom": {
            "hideFrom": {"legend": false, "tooltip": false, "viz": false}, "scaleDistribution": {"type": "linear"}
        }});
        panel
    }

    /// States over time, one row a series.
    pub(crate) fn states(title: &'static str, about: &'static str, words: &[(&str, &str, &str)]) -> Self {
        let options = json!({
            "mergeValues": true, "showValue": "auto", "alignValue": "left", "rowHeight": 0.8, "perPage": 20,
            "legend": {"showLegend": false, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "single", "sort": "none"},
        });
        let mut panel = Self::new("state-timeline", title, about, options);
        panel.defaults = json!({
            "unit": Unit::Count.id(), "mappings": field::mapping(words), "color": {"mode": "thresholds"},
            "custom": {"fillOpacity": 80, "lineWidth": 0, "spanNulls": false},
        });
        panel
    }

    /// Columns of [`GRID`], and rows of 30 pixels.
    pub(crate) fn sized(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    pub(crate) fn ask(mut self, query: Query) -> Self {
        self.queries.push(query);
        self
    }

    /// Draws the series on top of each other.
    pub(crate) fn stacked(mut self) -> Self {
        self.defaults["custom"]["stacking"]["mode"] = json!("normal");
        self.defaults["custom"]["fillOpacity"] = json!(30);
        self
    }

    /// Draws lines at the thresholds.
    pub(crate) fn limits(mut self, first: &str, steps: &[(f64, &str)]) -> Self {
        self.defaults["custom"]["thresholdsStyle"]["mode"] = json!("dashed");
        self.thresholds(first, steps)
    }

    pub(crate) fn thresholds(mut self, first: &str, steps: &[(f64, &str)]) -> Self {
        self.defaults["thresholds"] = field::thresholds(first, steps);
        self
    }

    /// Words and colours for values.
    pub(crate) fn words(mut self, words: &[(&str, &str, &str)]) -> Self {
        self.defaults["mappings"] = field::mapping(words);
        self
    }

    /// The axis, or the bar, ends there.
    pub(crate) fn max(mut self, value: f64) -> Self {
        self.defaults["max"] = json!(value);
        self
    }

    pub(crate) fn decimals(mut self, digits: u32) -> Self {
        self.defaults["decimals"] = json!(digits);
        self
    }

    pub(crate) fn overrides(mut self, overrides: impl IntoIterator<Item = Value>) -> Self {
        self.overrides.extend(overrides);
        self
    }

    /// The rows with the highest values of a column come first.
    pub(crate) fn sorted_by(mut self, title: &str) -> Self {
        self.options["sortBy"] = json!([{"displayName": title, "desc": true}]);
        self
    }

    /// Where a click on a series leads.
    pub(crate) fn link(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    /// The name of the series instead of its number.
    pub(crate) fn shows_name(mut self) -> Self {
        self.options["textMode"] = json!("name");
        self.options["graphMode"] = json!("none");
        self
    }

    /// The number without its history.
    pub(crate) fn without_history(mut self) -> Self {
        self.options["graphMode"] = json!("none");
        self
    }

    pub(crate) const fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = Source> {
        self.queries.iter().map(Query::source)
    }

    /// The panel as number `id` of its dashboard at this place of the grid.
    pub(crate) fn json(&self, id: usize, x: u32, y: u32) -> Value {
        let source = self.queries.first().map_or(Source::Metrics, Query::source);
        let mut defaults = self.defaults.clone();
        if !self.links.is_empty() {
            defaults["links"] = self.links.iter().map(Link::json).collect();
        }
        json!({
            "id": id, "type": self.kind, "title": self.title, "description": self.about,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "datasource": source.json(),
            "targets": self.queries.iter().enumerate().map(|(place, query)| query.json(place)).collect::<Vec<_>>(),
            "fieldConfig": {"defaults": defaults, "overrides": self.overrides},
            "options": self.options,
            "transformations": self.transformations,
        })
    }
}
