//! What is known about a container, and what follows from it: labels, catalog row, parser switches.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::ContainerInspectResponse;
use store::record::attribute;
use store::{Container, Labels, Origin, Pair};

use super::engine::Event;
use super::frames::Stream;
use super::timestamp;

/// `binnacle.enable=false` keeps a container out.
const LABEL_ENABLE: &str = "binnacle.enable";
/// `binnacle.service=<name>` names its service.
const LABEL_SERVICE: &str = "binnacle.service";
const LABEL_COMPOSE_PROJECT: &str = "com.docker.compose.project";
const LABEL_COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// A container as the daemon describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) id: String,
    /// Without the leading slash.
    pub(super) name: String,
    /// As named by the user.
    pub(super) image: String,
    pub(super) labels: HashMap<String, String>,
    pub(super) tty: bool,
    /// Log driver.
    pub(super) driver: String,
    /// Where the daemon keeps the log, empty unless it says so.
    pub(super) log_path: String,
    /// Bytes of the log that rotation leaves at least, `None` without rotation.
    pub(super) kept_bytes: Option<u64>,
    /// Rotation compresses what it sets aside.
    pub(super) compresses: bool,
    /// Docker drops lines when its buffer for them is full (`mode=non-blocking`).
    pub(super) nonblocking: bool,
    /// Docker removes it when it ends (`--rm`).
    pub(super) auto_remove: bool,
    /// Docker's word: `created`, `running`, `exited`, ...
    pub(super) state: String,
    pub(super) running: bool,
    pub(super) created_ns: i64,
    pub(super) started_ns: Option<i64>,
    pub(super) finished_ns: Option<i64>,
    pub(super) exit_code: Option<i64>,
}

impl Description {
    /// From the answer to an inspect; what is missing stays empty.
    pub(super) fn new(id: &str, answer: ContainerInspectResponse) -> Self {
        let config = answer.config.unwrap_or_default();
        let state = answer.state.unwrap_or_default();
        let host_config = answer.host_config.unwrap_or_default();
        let log_config = host_config.log_config.unwrap_or_default();
        let running = state.running.unwrap_or(false);
        let started_ns = state.started_at.as_deref().and_then(instant);
        let finished_ns = state.finished_at.as_deref().and_then(instant);
        Self {
            id: id.to_owned(),
            name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            image: config.image.or(answer.image).unwrap_or_default(),
            labels: config.labels.unwrap_or_default(),
            tty: config.tty.unwrap_or(false),
            kept_bytes: kept_bytes(log_config.config.as_ref()),
            nonblocking: option(log_config.config.as_ref(), "mode") == Some("non-blocking"),
            compresses: compresses(log_config.typ.as_deref(), log_config.config.as_ref()),
            driver: log_config.typ.unwrap_or_default(),
            log_path: answer.log_path.unwrap_or_default(),
            auto_remove: host_config.auto_remove.unwrap_or(false),
            state: state.status.map(|status| status.to_string()).unwrap_or_default(),
            running,
            created_ns: answer.created.as_deref().and_then(instant).unwrap_or(0),
            started_ns,
            finished_ns,
            exit_code: state.exit_code.filter(|_| !running && finished_ns.is_some()),
        }
    }

    /// One of which nothing but its id is known.
    pub(super) fn of(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// As an event tells of it: enough to name it and to know whether it is collected.
    pub(super) fn told(event: &Event) -> Self {
        let Event { id, time_ns, attributes, .. } = event;
        let attribute = |name: &str| attributes.get(name).cloned().unwrap_or_default();
        Self {
            id: id.clone(),
            name: attribute("name"),
            image: attribute("image"),
            created_ns: *time_ns,
            labels: attributes.clone(),
            ..Self::default()
        }
    }

    /// Whether its label says to leave it alone.
    pub(super) fn opted_out(&self) -> bool {
        self.label(LABEL_ENABLE).is_some_and(|value| matches!(value.trim(), "false" | "0" | "no" | "off"))
    }

    /// `service_name`: our label, else the compose service, else the container's name.
    pub(super) fn service(&self) -> &str {
        let named = [LABEL_SERVICE, LABEL_COMPOSE_SERVICE].into_iter().find_map(|name| self.label(name));
        named.unwrap_or(&self.name)
    }

    /// Compose project, empty for none.
    pub(super) fn project(&self) -> &str {
        self.label(LABEL_COMPOSE_PROJECT).unwrap_or_default()
    }

    /// A label of the container that is set and not empty.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Labels of the records of `stream`.
    pub(super) fn stream_labels(&self, host: &str, stream: Stream) -> Arc<Labels> {
        Arc::new(Labels::new([
            ("host", host),
            ("compose_project", self.project()),
            ("service_name", self.service()),
            ("container", &self.name),
            ("stream", stream.name()),
        ]))
    }

    /// Pairs of every record.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        [(attribute::CONTAINER_ID, &self.id), (attribute::IMAGE, &self.image)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| Pair {
                origin: Origin::Derived,
                name: name.into(),
                value: value.as_str().into(),
            })
            .collect()
    }

    /// Its row of the catalog; `source` says how its log is read.
    pub(super) fn row(&self, source: String) -> Container {
        Container {
            id: self.id.clone(),
            name: self.name.clone(),
            image: self.image.clone(),
            service: self.service().to_owned(),
            project: self.project().to_owned(),
            state: self.state.clone(),
            created_ns: self.created_ns,
            started_ns: self.started_ns,
            finished_ns: self.finished_ns,
            exit_code: self.exit_code,
            source,
        }
    }
}

/// What rotation leaves when it has just happened, by the options `max-size` and `max-file`: all files but the
/// newest. `None` when the options say nothing (drivers without rotation, or with a generous default).
fn kept_bytes(options: Option<&HashMap<String, String>>) -> Option<u64> {
    let options = options?;
    let size = options.get("max-size")?.trim().to_ascii_lowercase();
    let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match size.chars().nth(digits.len()) {
        Some('k') => 1 << 10,
        Some('m') => 1 << 20,
        Some('g') => 1 << 30,
        _ => 1,
    };
    let size = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    let files = options.get("max-file").and_then(|files| files.trim().parse::<u64>().ok()).unwrap_or(1);
    Some(size.saturating_mul(files.saturating_sub(1)))
}

/// A log option as the user has set it.
fn option<'a>(options: Option<&'a HashMap<String, String>>, name: &str) -> Option<&'a str> {
    options?.get(name).map(|value| value.trim())
}

/// Whether rotated files are compressed: `json-file` does when told to, `local` unless told not to.
fn compresses(driver: Option<&str>, options: Option<&HashMap<String, String>>) -> bool {
    match option(options, "compress") {
        Some(value) => value == "true",
        None => driver == Some("local"),
    }
}

/// A time of an inspect; Docker writes the year 1 for "never".
fn instant(text: &str) -> Option<i64> {
    timestamp::parse(text.as_bytes()).filter(|ns| *ns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Description {
        Description::new("abc", serde_json::from_str(json).unwrap())
    }

    #[test]
    fn an_exited_container_of_a_compose_project_is_understood() {
        let d = answer(
            r#"{"Id":"abc","Name":"/shop-web-1","Created":"2026-11-20T20:56:49.1Z","Image":"sha256:1",
            "State":{"Status":"exited","Running":false,"ExitCode":137,
                     "StartedAt":"2026-11-20T20:56:50.749183Z","FinishedAt":"2026-11-20T20:57:50Z"},
            "HostConfig":{"LogConfig":{"Type":"local","Config":{}}},
            "Config":{"Image":"shop/web:2","Tty":true,
                      "Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}}}"#,
        );
        assert_eq!(
            (d.name.as_str(), d.image.as_str(), d.driver.as_str(), d.tty),
            ("shop-web-1", "shop/web:2", "local", true)
        );
        assert_eq!((d.state.as_str(), d.exit_code, d.running), ("exited", Some(137), false));
        assert_eq!(d.started_ns, Some(1_795_208_210_749_183_000));
        let labels = d.stream_labels("h1", Stream::Stderr);
        assert_eq!(
            labels.to_string(),
            r#"{compose_project="shop", container="shop-web-1", host="h1", service_name="web", stream="stderr"}"#
        );
        let pairs: Vec<_> = d.pairs().iter().map(|p| format!("{}={}", p.name, p.value)).collect();
        assert_eq!(pairs, ["container_id=abc", "image=shop/web:2"]);
    }

    #[test]
    fn rotation_leaves_all_files_but_the_newest() {
        let kept = |pairs: &[(&str, &str)]| {
            kept_bytes(Some(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()))
        };
        assert_eq!(kept(&[("max-size", "100k"), ("max-file", "2")]), Some(102_400));
        assert_eq!(kept(&[("max-size", "10MB"), ("max-file", "3")]), Some(20 << 20));
        assert_eq!(kept(&[("max-size", "10m")]), Some(0));
        assert_eq!(kept(&[("max-size", "1000"), ("max-file", "2")]), Some(1_000));
        assert_eq!(kept(&[("max-size", "-1"), ("max-file", "2")]), None);
        assert_eq!(kept(&[("max-size", "lots")]), None);
        assert_eq!(kept(&[]), None);
        assert_eq!(kept_bytes(None), None);
    }

    #[test]
    fn a_container_that_never_ran_has_no_exit_code() {
        let d = answer(
            r#"{"Name":"/x","State":{"Status":"created","Running":false,"ExitCode":0,
            "StartedAt":"0001-01-01T00:00:00Z","FinishedAt":"0001-01-01T00:00:00Z"}}"#,
        );
        assert_eq!((d.exit_code, d.started_ns, d.finished_ns), (None, None, None));
    }

    #[test]
    fn an_empty_answer_is_no_reason_to_fail() {
        assert_eq!(answer("{}"), Description { id: "abc".into(), ..Description::default() });
    }

    #[test]
    fn our_label_names_the_service_and_keeps_containers_out() {
        let labels = |pairs: &[(&str, &str)]| Description {
            name: "web".into(),
            labels: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Description::default()
        };
        assert_eq!(labels(&[]).service(), "web");
        assert_eq!(labels(&[(LABEL_SERVICE, "a"), (LABEL_COMPOSE_SERVICE, "b")]).service(), "a");
        assert_eq!(labels(&[(LABEL_SERVICE, ""), (LABEL_COMPOSE_SERVICE, "b")]).service(), "b");
        assert!(labels(&[(LABEL_ENABLE, "false")]).opted_out());
        assert!(!labels(&[(LABEL_ENABLE, "true")]).opted_out());
        assert!(!labels(&[]).opted_out());
    }
}
