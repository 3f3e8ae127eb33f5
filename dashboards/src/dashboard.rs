//! A dashboard: rows of panels, laid out from left to right.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::link;
use crate::panel::{GRID, Panel};
use crate::query::{Query, Source};
use crate::variable::{self, Variable};

/// What all dashboards have in common; their menus list what bears it.
const TAG: &str = "binnacle";
/// Of the dashboards' JSON: Grafana 12.0. Later ones bring it up to date when they load it.
const SCHEMA_VERSION: u32 = 41;

/// One dashboard.
#[derive(Clone, Debug)]
pub(crate) struct Dashboard {
    uid: &'static str,
    title: &'static str,
    about: &'static str,
    variables: Vec<Variable>,
    marks: Vec<(Source, Value)>,
    rows: Vec<(&'static str, Vec<Panel>)>,
}

impl Dashboard {
    pub(crate) const fn new(uid: &'static str, title: &'static str, about: &'static str) -> Self {
        Self { uid, title, about, variables: Vec::new(), marks: Vec::new(), rows: Vec::new() }
    }

    pub(crate) fn variable(mut self, variable: Variable) -> Self {
        self.variables.push(variable);
        self
    }

    /// Marks on every panel, at the times of the query's lines or samples.
    pub(crate) fn marks(
        mut self,
        name: &str,
        color: &str,
        query: &Query,
        title: &str,
        text: Option<&str>,
    ) -> Self {
        let source = query.source();
        let mut mark = json!({
            "name": name, "enable": true, "hide": false, "iconColor": color, "datasource": source.json(),
            "titleFormat": title,
        });
        let target = query.json(0);
        mark["expr"] = target["expr"].clone();
        mark["target"] = target;
        if let Some(text) = text {
            mark["textFormat"] = json!(text);
        }
        self.marks.push((source, mark));
        self
    }

    /// A row under a title of its own.
    pub(crate) fn row(mut self, title: &'static str, panels: impl IntoIterator<Item = Panel>) -> Self {
        self.rows.push((title, panels.into_iter().collect()));
        self
    }

    pub(crate) const fn uid(&self) -> &'static str {
        self.uid
    }

    fn sources(&self) -> BTreeSet<Source> {
        let panels = self.rows.iter().flat_map(|(_, panels)| panels).flat_map(Panel::sources);
        // Variables ask for metrics, where there are any.
        panels.chain(self.marks.iter().map(|(source, _)| *source)).collect()
    }

    /// The file that Grafana reads.
    pub(crate) fn json(&self) -> Value {
        let sources = self.sources().into_iter().map(variable::source);
        let variables: Vec<Value> =
            sources.chain(self.variables.iter().cloned()).map(|variable| variable.json()).collect();
        let marks: Vec<&Value> = self.marks.iter().map(|(_, mark)| mark).collect();
        json!({
            "uid": self.uid, "title": self.title, "description": self.about, "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION, "version": 1, "editable": true, "graphTooltip": 1,
            "time": {"from": "now-1h", "to": "now"}, "timezone": "browser", "refresh": "10s",
            "templating": {"list": variables}, "annotations": {"list": marks},
            "links": [link::menu(TAG)], "panels": self.laid_out(),
        })
    }

    /// Panels side by side until the grid's width is used up.
    fn laid_out(&self) -> Vec<Value> {
        let (mut all, mut y) = (Vec::new(), 0);
        for (title, panels) in &self.rows {
            all.push(json!({
                "id": all.len() + 1, "type": "row", "title": title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": GRID, "h": 1},
            }));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in panels {
                let (width, height) = panel.size();
                if x + width > GRID {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                all.push(panel.json(all.len() + 1, x, y));
                x += width;
                tallest = tallest.max(height);
            }
            y += tallest;
        }
        all
    }
}
