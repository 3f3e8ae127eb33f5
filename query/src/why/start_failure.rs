//! What the daemon could not start, and which of its parts is to blame, by the daemon's own words.

use store::lifecycle::Action;

use super::Cause;
use super::case::{Case, Opinion};

/// Words of the daemon, what they blame, and what to do. The first that fits counts.
const WORDS: [(&str, &str, &str); 20] = [
    ("port is already allocated", "port", "the host port is taken by another container"),
    ("address already in use", "port", "the host port is taken by another process"),
    ("failed programming external connectivity", "port", "the published port cannot be set up"),
    ("cannot assign requested address", "port", "the host has no such address to publish on"),
    ("exec format error", "image", "the program is made for another processor, or is no program"),
    ("no such image", "image", "the image is not there"),
    ("bind source path does not exist", "mount", "the host path to be mounted does not exist"),
    ("error mounting", "mount", "a mount cannot be made: check that both sides are files, or both folders"),
    ("error while creating mount source path", "mount", "the host path to be mounted cannot be made"),
    ("failed to mount", "mount", "a volume cannot be mounted"),
    ("not a directory", "mount", "a mount joins a file and a folder"),
    ("no such volume", "mount", "the volume is not there"),
    (
        "executable file not found",
        "entrypoint",
        "the program of the entrypoint or command is not in the image",
    ),
    (
        "no such file or directory",
        "entrypoint",
        "the program of the entrypoint or command is not in the image",
    ),
    ("permission denied", "entrypoint", "the program of the entrypoint or command is not executable"),
    ("is a directory", "entrypoint", "the entrypoint or command names a folder"),
    ("unable to find user", "user", "the user it is to run as is not in the image"),
    ("network", "network", "the network cannot be joined"),
    ("memory", "limit", "a limit cannot be set"),
    ("cgroup", "limit", "a limit cannot be set"),
];

/// The opinion on a container that could not be started; `None` for one that ran.
pub(super) fn judge(case: &Case<'_>) -> Option<Opinion> {
    if case.death.event.action != Action::StartFailed {
        return None;
    }
    let error = case.death.event.death.as_ref().map(|d| d.error.as_str()).unwrap_or_default();
    let (blame, advice) = blame(error);
    let mut opinion = Opinion::new(
        Cause::StartFailure,
        if error.is_empty() { 0.7 } else { 0.99 },
        format!("it could not be started: {advice}"),
    );
    opinion.blame = Some(blame);
    if !error.is_empty() {
        opinion = opinion.because(format!("the daemon says: {error}"));
    }
    if let Some(code) = case.exit_code() {
        opinion = opinion.because(format!("exit code {code} was set by the daemon, no program has run"));
    }
    Some(opinion)
}

fn blame(error: &str) -> (&'static str, &'static str) {
    let error = error.to_lowercase();
    let found = WORDS.iter().find(|(words, ..)| error.contains(words));
    found.map_or(("other", "the daemon tells why"), |(_, blame, advice)| (blame, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_engine_20_10_are_understood() {
        for (error, expected) in [
            (
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start \
                 container process: exec: \"nope\": executable file not found in $PATH: unknown",
                "entrypoint",
            ),
            (
                "OCI runtime create failed: runc create failed: error during container init: error mounting \
                 \"/etc/passwd\" to rootfs at \"/tmp\": not a directory: unknown: Are you trying to mount a \
                 directory onto a file (or vice-versa)?",
                "mount",
            ),
            (
                "driver failed programming external connectivity on endpoint p2 (682f): Bind for \
                 127.0.0.1:80 failed: port is already allocated",
                "port",
            ),
            ("exec /app: exec format error", "image"),
            ("network shop_net not found", "network"),
            ("the moon is full", "other"),
        ] {
            assert_eq!(blame(error).0, expected, "{error}");
        }
    }
}
