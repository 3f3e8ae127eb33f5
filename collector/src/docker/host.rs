//! Where the Docker Engine API answers.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

/// Address of a Docker daemon. TLS and SSH are not spoken: use a socket proxy or a forwarded socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    /// Path of a Unix socket.
    Unix(PathBuf),
    /// `host:port` of a plain TCP socket.
    Tcp(String),
}

/// The text names no address that can be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DockerHostError {
    /// A scheme that is not spoken.
    #[error(
        "`{0}` cannot be used: only `unix:///path` and `tcp://host:port` are spoken, without TLS; \
         for a remote daemon put a socket proxy or `ssh -L /tmp/docker.sock:/var/run/docker.sock` in between"
    )]
    Scheme(String),
    /// No path or no host.
    #[error("`{0}` names no daemon; write `unix:///path/to/docker.sock` or `tcp://host:port`")]
    Empty(String),
}

/// Port of a daemon's plain TCP socket.
const DEFAULT_PORT: u16 = 2375;

impl Default for DockerHost {
    /// The socket of a daemon installed by a package.
    fn default() -> Self {
        Self::Unix(PathBuf::from("/var/run/docker.sock"))
    }
}

impl DockerHost {
    /// A client that has not contacted the daemon yet, nor agreed on a version of the API.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(crate) fn client(&self, timeout: Duration) -> Result<Docker, bollard::errors::Error> {
        let seconds = timeout.as_secs();
        match self {
            Self::Unix(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), seconds, API_DEFAULT_VERSION)
            }
            Self::Tcp(address) => Docker::connect_with_http(address, seconds, API_DEFAULT_VERSION),
        }
    }
}

impl FromStr for DockerHost {
    type Err = DockerHostError;

    fn from_str(text: &str) -> Result<Self, DockerHostError> {
        let text = text.trim();
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(DockerHostError::Scheme(text.to_owned()));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if !matches!(scheme, "unix" | "tcp" | "http") {
            return Err(DockerHostError::Scheme(text.to_owned()));
        }
        if rest.is_empty() || rest.starts_with(':') {
            return Err(DockerHostError::Empty(text.to_owned()));
        }
        if scheme == "unix" {
            return Ok(Self::Unix(PathBuf::from(rest)));
        }
        let bare_ipv6 = rest.ends_with(']');
        let has_port =
            !bare_ipv6 && rest.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Self::Tcp(if has_port { rest.to_owned() } else { format!("{rest}:{DEFAULT_PORT}") }))
    }
}

impl fmt::Display for DockerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_docker_writes_them() {
        for (text, shown) in [
            ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
            ("/run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock"),
            ("tcp://10.0.0.5:2375", "tcp://10.0.0.5:2375"),
            ("http://proxy:8080/", "tcp://proxy:8080"),
            ("tcp://proxy", "tcp://proxy:2375"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
        ] {
            assert_eq!(text.parse::<DockerHost>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_cannot_be_spoken_is_refused_with_a_way_out() {
        for text in [
            "https://h:2376",
            "ssh://me@host",
            "npipe:////./pipe/docker",
            "docker.sock",
            "",
            "unix://",
            "tcp://:1",
        ] {
            let message = text.parse::<DockerHost>().unwrap_err().to_string();
            assert!(message.contains("unix:///"), "{message}");
        }
    }
}
