//! A real Prometheus that scrapes servers every second.

use std::fmt::Write;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::binnacle::free_address;
use super::http;
use super::wait_for;

/// Ended when dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes `target` as the job `cadvisor`, keeping exemplars; all its files are in `folder`.
    ///
    /// # Panics
    /// When it does not answer.
    pub(crate) fn scrape(target: SocketAddr, folder: &Path) -> Self {
        Self::start(&[("cadvisor", vec![target])], None, folder)
    }

    /// Scrapes these jobs and itself as the job `prometheus`, evaluates the rules of the repository every second and
    /// hands alerts to this Alertmanager.
    ///
    /// # Panics
    /// When it does not answer.
    pub(crate) fn with_rules(
        jobs: &[(&str, Vec<SocketAddr>)],
        alertmanager: SocketAddr,
        folder: &Path,
    ) -> Self {
        Self::start(jobs, Some(alertmanager), folder)
    }

    fn start(jobs: &[(&str, Vec<SocketAddr>)], alertmanager: Option<SocketAddr>, folder: &Path) -> Self {
        let (config, address) = (folder.join("prometheus.yml"), free_address());
        let mut text = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n\
                        storage: {exemplars: {max_exemplars: 10000}}\n"
            .to_owned();
        if let Some(alertmanager) = alertmanager {
            let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/prometheus/rules/*.yml");
            writeln!(text, "rule_files: [\"{}\"]", rules.display()).unwrap();
            let targets = format!("[{{targets: [\"{alertmanager}\"]}}]");
            writeln!(text, "alerting: {{alertmanagers: [{{static_configs: {targets}}}]}}").unwrap();
        }
        text.push_str("scrape_configs:\n");
        let itself = alertmanager.map(|_| ("prometheus", vec![address]));
        for (job, targets) in jobs.iter().chain(&itself) {
            let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
            writeln!(text, "- {{job_name: {job}, static_configs: [{{targets: {targets:?}}}]}}").unwrap();
        }
        std::fs::write(&config, &text).unwrap();
        let log = File::create(folder.join("prometheus.log")).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("this test needs the package `prometheus` (see ./test)");
        let prometheus = Self { process, address };
        let ready = || http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200);
        assert!(wait_for(Duration::from_secs(60), ready), "Prometheus is not ready");
        prometheus
    }

    /// The series that an instant query finds.
    ///
    /// # Panics
    /// When Prometheus refuses the expression.
    pub(crate) fn query(&self, expression: &str) -> Vec<Value> {
        let data = self.ask("query", expression, "");
        data["result"].as_array().unwrap_or_else(|| panic!("`{expression}`: {data}")).clone()
    }

    /// Exemplars of the series that `selector` selects, of the last hour.
    pub(crate) fn exemplars(&self, selector: &str) -> Value {
        let now = jiff::Timestamp::now().as_second();
        self.ask("query_exemplars", selector, &format!("&start={}&end={}", now - 3600, now + 60))
    }

    /// Health and last error of the one target.
    pub(crate) fn target(&self) -> Value {
        let answer = http::get(self.address, "/api/v1/targets").unwrap().json();
        answer["data"]["activeTargets"][0].clone()
    }

    fn ask(&self, endpoint: &str, expression: &str, more: &str) -> Value {
        let path = format!("/api/v1/{endpoint}?query={}{more}", http::encoded(expression));
        let answer = http::get(self.address, &path).unwrap().json();
        assert_eq!(answer["status"], "success", "`{expression}`: {answer}");
        answer["data"].clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot end Prometheus: {error}");
        }
    }
}
