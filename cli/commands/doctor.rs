//! `binnacle doctor`: everything a start needs, looked at without a start, with what helps beside what is wrong.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use collector::docker::checkup::{self, CheckupError, Reason};
use serde::Serialize;
use store::config::{ByteSize, Limit};

use super::{run, sources};
use crate::Outcome;
use crate::args::{Common, DoctorArgs};
use crate::config::Config;
use crate::output::Printer;

/// A clock that differs by more makes times of lines, and questions about them, miss each other.
const MAX_SKEW: Duration = Duration::from_secs(2);
/// Containers named in one finding.
const MAX_NAMED: usize = 10;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// It works, but not all of it, or not for long.
    Warn,
    /// It does not work.
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// `configuration`, `data`, `space`, `port`, `docker`, `clock` or `containers`.
    check: &'static str,
    state: State,
    message: String,
    /// The setting or command that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, state: State::Ok, message: message.into(), help: None }
    }

    fn warn(check: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, state: State::Warn, message: message.into(), help: Some(help.into()) }
    }

    fn fail(check: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { check, state: State::Fail, message: message.into(), help: Some(help.into()) }
    }
}

/// Prints one line a finding.
///
/// # Errors
/// When a check fails; warnings are no error.
pub(crate) fn execute(args: &DoctorArgs, common: &Common) -> anyhow::Result<Outcome> {
    let findings = examine(common)?;
    let mut printer = Printer::new(args.json);
    for finding in &findings {
        if args.json {
            printer.json(finding)?;
            continue;
        }
        let state = match finding.state {
            State::Ok => "ok  ",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        printer.text(&format!("{state}  {:<14} {}", finding.check, finding.message))?;
        if let Some(help) = &finding.help {
            printer.text(&format!("{:<20} {help}", ""))?;
        }
    }
    printer.flush()?;
    match findings.iter().filter(|finding| finding.state == State::Fail).count() {
        0 => Ok(Outcome::Done),
        1 => bail!("a check failed"),
        failed => bail!("{failed} checks failed"),
    }
}

fn examine(common: &Common) -> anyhow::Result<Vec<Finding>> {
    let sources = sources(common)?;
    let mut findings = Vec::new();
    for variable in sources.unknown_variables() {
        let message = format!("the environment variable {variable} is no setting; it has no effect");
        findings.push(Finding::warn("configuration", message, "docs/configuration.md names every variable"));
    }
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(mistakes) => {
            // What else there is to check hangs on it.
            let help = "mend these settings; docs/configuration.md explains each";
            findings.push(Finding::fail("configuration", mistakes.to_string(), help));
            return Ok(findings);
        }
    };
    if findings.is_empty() {
        findings.push(Finding::ok("configuration", "every setting can be used"));
    }
    findings.extend(data(&config.data, config.retention.min_free_bytes));
    findings.push(port(run::answer_address(&config)));
    findings.extend(docker(&config));
    Ok(findings)
}

/// The folder: may be written to, by whom it is, how much room there is.
fn data(dir: &Path, floor: Limit<ByteSize>) -> Vec<Finding> {
    let shown = dir.display();
    let look = match store::checkup::look(dir) {
        Ok(look) => look,
        Err(error) => {
            return vec![Finding::fail("data", error.to_string(), "name another folder with --data")];
        }
    };
    let folder = look.folder.display();
    let writable = match (&look.refusal, &look.holder) {
        (Some(refusal), _) => Finding::fail(
            "data",
            format!("`{shown}` cannot be written to: `{folder}`: {refusal}"),
            format!(
                "`chown` it to the user that runs Binnacle ({}), or name another folder with --data",
                user()
            ),
        ),
        (None, Some(holder)) => Finding::ok("data", format!("`{shown}` is in use by {holder}")),
        (None, None) if look.exists => Finding::ok("data", format!("`{shown}` can be written to")),
        (None, None) => Finding::ok("data", format!("`{shown}` will be made in `{folder}`")),
    };
    vec![writable, space(look.free_bytes, floor)]
}

/// The number of the user, as `chown` takes it.
fn user() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.and_then(|ids| ids.split_whitespace().nth(1)).unwrap_or("its number is not known").to_owned()
}

fn space(free: u64, floor: Limit<ByteSize>) -> Finding {
    let Limit(floor) = floor;
    let floor = floor.map_or(0, |floor| floor.0);
    let shown = |bytes: u64| indicatif::HumanBytes(bytes).to_string();
    if free < floor {
        return Finding::fail(
            "space",
            format!(
                "{} are free, below the {} that are kept free: old records are deleted",
                shown(free),
                shown(floor)
            ),
            "make room, or lower `retention.min_free_bytes`",
        );
    }
    if free < floor.saturating_mul(2).max(1 << 30) {
        return Finding::warn(
            "space",
            format!("only {} are free; at {} the oldest records are deleted", shown(free), shown(floor)),
            "make room, or set `retention.max_bytes` or `retention.max_age`",
        );
    }
    Finding::ok("space", format!("{} are free", shown(free)))
}

/// The address that `run` and `serve` answer at.
fn port(address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} can be listened at")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Finding::warn(
            "port",
            format!("somebody listens at {address} already; that is right when Binnacle runs"),
            "`ss -ltnp` shows who it is; name another address with --listen",
        ),
        Err(error) => Finding::fail(
            "port",
            format!("{address} cannot be listened at: {error}"),
            "name another address with --listen; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        ),
    }
}

/// The daemon, its clock, and its containers' logs.
fn docker(config: &Config) -> Vec<Finding> {
    let host = match run::docker_host(config) {
        Ok(Some(host)) => host,
        Ok(None) => return vec![Finding::ok("docker", "not asked for (`docker_host: none`)")],
        Err(error) => {
            return vec![Finding::fail("docker", format!("{error:#}"), "mend --docker-host or DOCKER_HOST")];
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let looked = match runtime {
        Ok(runtime) => runtime.block_on(checkup::check(&host, &config.collect)),
        Err(error) => return vec![Finding::fail("docker", format!("cannot look: {error}"), "try again")],
    };
    let look = match looked {
        Ok(look) => look,
        Err(error) => {
            let help = match &error {
                CheckupError::Denied(_) => {
                    "run as root, or let the user into the group that owns the socket (`usermod -aG docker USER`), or \
                     name a socket proxy with --docker-host"
                }
                CheckupError::Absent { .. } => {
                    "start Docker (`systemctl start docker`), or name its address with --docker-host; `binnacle run \
                     --demo` works without"
                }
                CheckupError::Odd { .. } => {
                    "a socket proxy must pass GET of /version, /containers, /events; `docker version` shows what answers"
                }
                CheckupError::Settings(_) => "mend the settings of `collect`",
            };
            return vec![Finding::fail("docker", error.to_string(), help)];
        }
    };
    let message = format!("{} at {host} answers (API {})", look.version, look.api_version);
    vec![Finding::ok("docker", message), clock(look.clock_ahead_ns), containers(&look)]
}

fn clock(ahead_ns: Option<i64>) -> Finding {
    let Some(ahead_ns) = ahead_ns else {
        return Finding::ok("clock", "the daemon's replies bear no date to compare with");
    };
    let skew = Duration::from_nanos(ahead_ns.unsigned_abs());
    if skew <= MAX_SKEW {
        return Finding::ok("clock", "the daemon's clock agrees with ours");
    }
    let direction = if ahead_ns > 0 { "ahead of" } else { "behind" };
    Finding::warn(
        "clock",
        format!("the daemon's clock is about {} s {direction} ours", skew.as_secs()),
        "synchronise both hosts (`timedatectl set-ntp true`): lines bear the daemon's time",
    )
}

fn containers(look: &checkup::Checkup) -> Finding {
    if look.troubles.is_empty() {
        return Finding::ok(
            "containers",
            format!("the logs of {} containers can be read", look.containers - look.omitted),
        );
    }
    let mut named: Vec<String> = look
        .troubles
        .iter()
        .take(MAX_NAMED)
        .map(|trouble| {
            let reason = match &trouble.reason {
                Reason::Unreadable { driver } => {
                    format!("the driver `{driver}` keeps nothing that can be read")
                }
                Reason::NonBlocking => "Docker may drop lines (mode=non-blocking)".to_owned(),
                Reason::Failed(reason) => reason.clone(),
            };
            format!("`{}`: {reason}", trouble.container)
        })
        .collect();
    let others = look.troubles.len().saturating_sub(MAX_NAMED);
    if others > 0 {
        named.push(format!("and {others} others"));
    }
    Finding::warn(
        "containers",
        named.join("; "),
        "`docker run --log-driver local`, or `logging: {driver: local}` in a compose file; `binnacle.enable=false` keeps one out",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_warns_before_it_fails() {
        let floor = Limit(Some(ByteSize(256 << 20)));
        for (free, state) in [(100 << 20, State::Fail), (600 << 20, State::Warn), (10 << 30, State::Ok)] {
            assert_eq!(space(free, floor).state, state, "{free}");
        }
        assert_eq!(space(2 << 30, Limit(None)).state, State::Ok);
    }

    #[test]
    fn a_port_in_use_is_named_with_what_helps() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let finding = port(taken.local_addr().unwrap());
        assert_eq!(finding.state, State::Warn);
        assert!(finding.help.unwrap().contains("--listen"));
    }

    #[test]
    fn a_clock_that_differs_is_told_with_its_direction() {
        assert_eq!(clock(Some(-900_000_000)).state, State::Ok);
        assert_eq!(clock(None).state, State::Ok);
        let finding = clock(Some(-90_000_000_000));
        assert_eq!(finding.state, State::Warn);
        assert!(finding.message.contains("90 s behind"), "{}", finding.message);
    }

    #[test]
    fn containers_that_cannot_be_read_are_named_but_not_all_of_many() {
        let trouble = |i: usize| checkup::Trouble {
            container: format!("c{i}"),
            reason: Reason::Unreadable { driver: "none".to_owned() },
        };
        let look = checkup::Checkup {
            version: "26".to_owned(),
            api_version: "1.45".to_owned(),
            clock_ahead_ns: None,
            containers: 20,
            troubles: (0..12).map(trouble).collect(),
            omitted: 0,
        };
        let finding = containers(&look);
        assert_eq!(finding.state, State::Warn);
        assert!(
            finding.message.contains("`c9`") && !finding.message.contains("`c10`"),
            "{}",
            finding.message
        );
        assert!(finding.message.ends_with("and 2 others"), "{}", finding.message);
    }
}
