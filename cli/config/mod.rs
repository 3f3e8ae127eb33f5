//! The configuration: one tree of settings, filled from defaults, the file, the environment and flags, in
//! this order; a later source wins.
//!
//! Every setting is checked on its own, so that one start reports all mistakes at once. The sources are
//! passed in: nothing here reads the process environment.

pub(crate) mod opentelemetry;
#[cfg(test)]
mod reference;
mod sources;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use sources::{Sources, environment_name};

/// All settings of the binary.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder of the stored records. One process writes to it, any number may read.
    pub(crate) data: PathBuf,
    /// Docker daemon to collect from: `unix:///path`, `tcp://host:port`, or `none` to collect from no
    /// daemon. Unset: `DOCKER_HOST`, else the local socket.
    pub(crate) docker_host: Option<String>,
    /// Address of the HTTP server. Unset: `127.0.0.1:3100`, for `collect` `127.0.0.1:9380`.
    pub(crate) listen: Option<SocketAddr>,
    /// How Binnacle writes its own log to standard error.
    pub(crate) log_format: LogFormat,
    /// Who may ask and push, and how the connection is protected.
    pub(crate) access: crate::access::Config,
    /// Collection from Docker.
    pub(crate) collect: collector::CollectConfig,
    /// Parsing and enrichment of every line, whatever its source.
    pub(crate) ingest: collector::IngestConfig,
    /// Storage.
    pub(crate) store: store::Config,
    /// What is deleted, and when.
    pub(crate) retention: store::RetentionConfig,
    /// Traces made of log lines.
    pub(crate) traces: correlation::Config,
    /// Traces sent to an OTLP receiver.
    pub(crate) export: collector::ExportConfig,
    /// Answers to queries.
    pub(crate) query: query::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./binnacle-data"),
            docker_host: None,
            listen: None,
            log_format: LogFormat::default(),
            access: crate::access::Config::default(),
            collect: collector::CollectConfig::default(),
            ingest: collector::IngestConfig::default(),
            store: store::Config::default(),
            retention: store::RetentionConfig::default(),
            traces: correlation::Config::default(),
            export: collector::ExportConfig::default(),
            query: query::Config::default(),
        }
    }
}

/// Shape of Binnacle's own log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Dotted path of the setting.
    path: String,
    /// Where the value came from.
    origin: String,
    /// What is wrong, naming the value.
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}): {}", self.path, self.origin, self.what)
    }
}

/// Every mistake of one start.
#[derive(Debug)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used:")?;
        for mistake in &self.0 {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Fills and checks the tree.
    ///
    /// # Errors
    /// With every mistake found, when there is at least one.
    pub(crate) fn load(sources: &Sources) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut tree = serde_json::to_value(Self::default()).expect("BUG: the defaults do not serialise");
        let defaults = tree.clone();
        let mut origins = std::collections::BTreeMap::new();
        for setting in sources.settings(&defaults, &mut mistakes) {
            match setting.apply(&defaults) {
                Ok(value) => {
                    origins.insert(setting.path.clone(), setting.origin.clone());
                    sources::set(&mut tree, &setting.path, value);
                }
                Err(what) => mistakes.push(Mistake { path: setting.path, origin: setting.origin, what }),
            }
        }
        match serde_json::from_value::<Self>(tree) {
            Ok(mut config) => {
                config.traces.duration_units = config.collect.log_metrics.duration_units.clone();
                config.query.traces = config.traces.clone();
                mistakes.extend(config.validate().into_iter().map(|(path, what)| {
                    // A complaint may name a part of a setting: `exclude_names.0`.
                    let written = origins.iter().find(|(setting, _)| path.starts_with(setting.as_str()));
                    let origin = written.map_or_else(|| "default".to_owned(), |(_, origin)| origin.clone());
                    Mistake { path, origin, what }
                }));
                if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) }
            }
            // Each setting was accepted by itself, so this names a combination that is not.
            Err(error) => {
                mistakes.push(Mistake {
                    path: "configuration".into(),
                    origin: "all sources".into(),
                    what: error.to_string(),
                });
                Err(Mistakes(mistakes))
            }
        }
    }

    /// What the sections have to say about their values, as (path, complaint).
    fn validate(&self) -> Vec<(String, String)> {
        let sections = [
            ("access", self.access.validate()),
            ("collect", self.collect.validate()),
            ("ingest", self.ingest.validate()),
            ("store", self.store.validate()),
            ("retention", self.retention.validate()),
            ("traces", self.traces.validate()),
            ("export", self.export.validate()),
            ("query", self.query.validate()),
        ];
        sections
            .into_iter()
            .flat_map(|(section, found)| {
                found.into_iter().map(move |(path, what)| (format!("{section}.{path}"), what))
            })
            .collect()
    }
}

/// Path and value of every setting of `config` that is not as in `other`.
pub(crate) fn settings_that_differ(config: &Config, other: &Config) -> Vec<(String, serde_json::Value)> {
    let tree = |config| serde_json::to_value(config).expect("BUG: settings do not serialise");
    let (config, other) = (tree(config), tree(other));
    sources::paths(&other)
        .into_iter()
        .filter_map(|path| Some((sources::get(&config, &path)?.clone(), path)))
        .filter(|(value, path)| sources::get(&other, path) != Some(value))
        .map(|(value, path)| (path, value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
        let sources = Sources {
            file: (!file.is_empty()).then(|| ("test.yaml".to_owned(), file.to_owned())),
            environment: environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            flags: flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        Config::load(&sources).map_err(|m| m.to_string())
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let file = "listen: 127.0.0.1:1\ndata: /from-file\nlog_format: json\n";
        let env = [("BINNACLE_LISTEN", "127.0.0.1:2"), ("BINNACLE_DATA", "/from-env")];
        let config = load(file, &env, &[("listen", "127.0.0.1:3")]).unwrap();
        assert_eq!(config.listen.unwrap().port(), 3);
        assert_eq!(config.data, PathBuf::from("/from-env"));
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.docker_host, None);
    }

    #[test]
    fn every_mistake_is_reported_with_key_value_and_source() {
        let file = "listne: 127.0.0.1:1\nlog_format: xml\n";
        let message = load(file, &[("BINNACLE_LISTEN", "nowhere")], &[]).unwrap_err();
        for part in ["`listne` (test.yaml)", "did you mean `listen`", "xml", "BINNACLE_LISTEN", "nowhere"] {
            assert!(message.contains(part), "{part} not in {message}");
        }
    }

    #[test]
    fn variables_of_opentelemetry_are_settings_of_the_export() {
        let general = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4318"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", ""),
        ];
        let config =
            load("export: {endpoint: 'http://file:1', certificate: /ca.pem}", &general, &[]).unwrap();
        assert_eq!(config.export.endpoint.as_deref(), Some("http://general:4318"));
        assert_eq!(config.export.timeout.to_string(), "2s500ms");
        assert_eq!(config.export.protocol, collector::export::Protocol::Grpc);
        assert_eq!(config.export.certificate, Some("/ca.pem".into()));
        let ours = [general.as_slice(), &[("BINNACLE_EXPORT_ENDPOINT", "http://ours:1")]].concat();
        assert_eq!(load("", &ours, &[]).unwrap().export.endpoint.as_deref(), Some("http://ours:1"));

        let wrong = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")];
        let message = load("", &wrong, &[]).unwrap_err();
        assert!(
            message.contains("OTEL_EXPORTER_OTLP_PROTOCOL") && message.contains("http/json"),
            "{message}"
        );
        let shown = settings_that_differ(&config, &Config::default());
        assert!(!format!("{shown:?}").contains("secret"), "{shown:?}");
    }

    #[test]
    fn a_file_that_is_no_yaml_mapping_is_refused() {
        assert!(load("- a\n- b\n", &[], &[]).unwrap_err().contains("test.yaml"));
        assert!(load("a: [", &[], &[]).unwrap_err().contains("test.yaml"));
    }
}
