//! Where settings come from, and how a written value becomes a checked one.
//!
//! A path names a leaf of the tree of defaults, joined by dots; whatever is an object with keys there is
//! a section, everything else a setting.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Config, Mistake, opentelemetry};

/// Variables that are read elsewhere: by flags, clients and the log.
const NO_SETTINGS: [&str; 7] = [
    "BINNACLE_CA_FILE",
    "BINNACLE_CONFIG",
    "BINNACLE_LOG",
    "BINNACLE_PROXY_SOCKET",
    "BINNACLE_TOKEN",
    "BINNACLE_TOKEN_FILE",
    "BINNACLE_URL",
];

/// The three places a value may be written, all read beforehand.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Name and text of the configuration file.
    pub(crate) file: Option<(String, String)>,
    /// Variables that begin with `BINNACLE_`, and OpenTelemetry's for exporters.
    pub(crate) environment: BTreeMap<String, String>,
    /// Path of the setting and the value typed.
    pub(crate) flags: Vec<(String, String)>,
}

/// One value written for one setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Dotted path.
    pub(crate) path: String,
    /// File name, variable or flag.
    pub(crate) origin: String,
    /// What may have been meant: first the value as YAML reads it, then as plain text.
    candidates: Vec<Value>,
}

/// Name of the environment variable of a setting.
pub(crate) fn environment_name(path: &str) -> String {
    format!("BINNACLE_{}", path.to_uppercase().replace(['.', '-'], "_"))
}

/// Dotted paths of all settings in a tree of defaults.
pub(crate) fn paths(defaults: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_paths(defaults, "", &mut found);
    found
}

fn collect_paths(node: &Value, prefix: &str, found: &mut Vec<String>) {
    match node {
        Value::Object(section) if !section.is_empty() => {
            for (key, child) in section {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                collect_paths(child, &path, found);
            }
        }
        _ => found.push(prefix.to_owned()),
    }
}

/// The value at a dotted path.
pub(crate) fn get<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(tree, |node, key| node.get(key))
}

/// Writes `value` at a path that exists.
pub(crate) fn set(tree: &mut Value, path: &str, value: Value) {
    let slot = path.split('.').try_fold(tree, |node, key| node.get_mut(key));
    *slot.expect("BUG: a path outside the tree of defaults") = value;
}

impl Sources {
    /// Every value written, least important first. Unknown keys become mistakes.
    pub(super) fn settings(&self, defaults: &Value, mistakes: &mut Vec<Mistake>) -> Vec<Setting> {
        let known = paths(defaults);
        let mut settings = Vec::new();
        if let Some((name, text)) = &self.file {
            file_settings(name, text, defaults, &known, &mut settings, mistakes);
        }
        for (path, variable, text) in opentelemetry::settings(&self.environment) {
            settings.push(Setting::plain(path, &variable, text));
        }
        for path in &known {
            let variable = environment_name(path);
            if let Some(text) = self.environment.get(&variable) {
                settings.push(Setting::from_text(path, &variable, text));
            }
        }
        for (path, text) in &self.flags {
            let name = path.rsplit('.').next().unwrap_or(path);
            let flag = format!("--{}", name.replace('_', "-"));
            settings.push(Setting::from_text(path, &flag, text));
        }
        settings
    }

    /// Variables that look like settings and are none, for a warning.
    pub(crate) fn unknown_variables(&self) -> Vec<&str> {
        let defaults = serde_json::to_value(Config::default()).expect("BUG: the defaults do not serialise");
        let known: Vec<String> = paths(&defaults).iter().map(|p| environment_name(p)).collect();
        let ours = |name: &str| NO_SETTINGS.contains(&name);
        self.environment
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with("BINNACLE_") && !ours(name) && !known.iter().any(|k| k == name))
            .collect()
    }
}

fn file_settings(
    name: &str,
    text: &str,
    defaults: &Value,
    known: &[String],
    settings: &mut Vec<Setting>,
    mistakes: &mut Vec<Mistake>,
) {
    let mut mistake = |path: &str, what: String| {
        mistakes.push(Mistake { path: path.to_owned(), origin: name.to_owned(), what });
    };
    let tree = match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Null) => return,
        Ok(tree @ Value::Object(_)) => tree,
        Ok(_) => return mistake("configuration", "the file must hold a mapping of settings".to_owned()),
        Err(error) => return mistake("configuration", format!("not YAML: {error}")),
    };
    let mut open = vec![(String::new(), tree)];
    while let Some((path, node)) = open.pop() {
        let is_section = path.is_empty()
            || get(defaults, &path).and_then(Value::as_object).is_some_and(|section| !section.is_empty());
        match node {
            Value::Object(children) if is_section => {
                for (key, child) in children {
                    let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                    open.push((path, child));
                }
            }
            Value::Null if is_section => {}
            _ if is_section => mistake(&path, "is a section: write its settings below it".to_owned()),
            value if known.contains(&path) => {
                settings.push(Setting { path, origin: name.to_owned(), candidates: vec![value] });
            }
            _ => mistake(&path, format!("no such setting{}", suggestion(&path, known))),
        }
    }
}

/// `; did you mean ...` when a known path is a few letters away.
fn suggestion(path: &str, known: &[String]) -> String {
    let nearest = known.iter().map(|k| (strsim::levenshtein(path, k), k)).min();
    match nearest {
        Some((distance, known)) if distance <= 3 => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

impl Setting {
    /// A text that is no YAML.
    fn plain(path: &str, origin: &str, text: String) -> Self {
        Self { path: path.to_owned(), origin: origin.to_owned(), candidates: vec![Value::String(text)] }
    }

    fn from_text(path: &str, origin: &str, text: &str) -> Self {
        let mut candidates = Vec::new();
        if let Ok(value) = serde_saphyr::from_str::<Value>(text) {
            candidates.push(value);
        }
        candidates.push(Value::String(text.to_owned()));
        candidates
            .push(Value::Array(text.split(',').map(|part| Value::String(part.trim().to_owned())).collect()));
        Self { path: path.to_owned(), origin: origin.to_owned(), candidates }
    }

    /// The first candidate that the setting accepts.
    pub(super) fn apply(&self, defaults: &Value) -> Result<Value, String> {
        let mut first_error = None;
        for candidate in &self.candidates {
            let mut tree = defaults.clone();
            set(&mut tree, &self.path, candidate.clone());
            match serde_json::from_value::<Config>(tree) {
                Ok(_) => return Ok(candidate.clone()),
                Err(error) => {
                    first_error.get_or_insert_with(|| format!("cannot use `{}`: {error}", plain(candidate)));
                }
            }
        }
        Err(first_error.unwrap_or_else(|| "no value".to_owned()))
    }
}

/// A value as a person would write it.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
