//! Which requests pass: the endpoints that the collector asks, and no other way to write them.
//!
//! A request is taken apart and the one sent on is written anew from its parts, so the daemon never sees a byte that was
//! not looked at here. There is nothing to decode: an allowed path has no character that needs an escape.

use hyper::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use hyper::{HeaderMap, Method, Request, Uri};

/// Longest name or id of a container.
const MAX_NAME_BYTES: usize = 128;
/// Longest query: filters of a few hundred names.
const MAX_QUERY_BYTES: usize = 16 << 10;

/// An endpoint that the collector asks. docs/security.md lists them for people; a test compares.
#[derive(Debug)]
pub struct Endpoint {
    /// Parts of the path after the version; `{id}` is a container.
    pub path: &'static [&'static str],
    /// Parameters that may be given.
    pub parameters: &'static [&'static str],
    /// What the collector wants of it.
    pub purpose: &'static str,
}

/// Everything that passes.
pub const ENDPOINTS: [Endpoint; 8] = [
    Endpoint { path: &["_ping"], parameters: &[], purpose: "whether the daemon answers" },
    Endpoint { path: &["version"], parameters: &[], purpose: "the version of the API to speak" },
    Endpoint { path: &["info"], parameters: &[], purpose: "name and size of the host" },
    Endpoint {
        path: &["events"],
        parameters: &["since", "until", "filters"],
        purpose: "what happens to containers",
    },
    Endpoint {
        path: &["containers", "json"],
        parameters: &["all", "filters", "limit", "size"],
        purpose: "the list of containers",
    },
    Endpoint {
        path: &["containers", "{id}", "json"],
        parameters: &["size"],
        purpose: "labels, state and limits of a container; shows its environment, too",
    },
    Endpoint {
        path: &["containers", "{id}", "logs"],
        parameters: &["follow", "stdout", "stderr", "since", "until", "timestamps", "tail", "details"],
        purpose: "its log, also as it grows",
    },
    Endpoint {
        path: &["containers", "{id}", "stats"],
        parameters: &["stream", "one-shot"],
        purpose: "its use of CPU, memory, network and disk",
    },
];

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("only GET passes")]
    Method,
    #[error("requests with a body do not pass")]
    Body,
    #[error("no header may ask for another protocol")]
    Protocol,
    #[error("there must be one host")]
    Host,
    #[error("no such endpoint passes")]
    Path,
    #[error("the endpoint passes, but not with this parameter")]
    Parameter,
}

/// The target to ask the daemon for, or why it is not asked.
pub(super) fn target<B>(request: &Request<B>) -> Result<String, Refusal> {
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    check_headers(request.headers())?;
    let uri: &Uri = request.uri();
    if uri.scheme().is_some() || uri.authority().is_some() {
        return Err(Refusal::Path);
    }
    let path = uri.path().strip_prefix('/').ok_or(Refusal::Path)?;
    let mut parts: Vec<&str> = path.split('/').collect();
    let version = parts.first().copied().filter(|part| is_version(part));
    if version.is_some() {
        parts.remove(0);
    }
    let endpoint = ENDPOINTS.iter().find(|endpoint| matches(endpoint.path, &parts)).ok_or(Refusal::Path)?;
    let mut target = String::new();
    for part in version.into_iter().chain(parts) {
        target.push('/');
        target.push_str(part);
    }
    if let Some(query) = uri.query() {
        check_query(query, endpoint.parameters)?;
        target.push('?');
        target.push_str(query);
    }
    Ok(target)
}

fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let asks_for = |name: HeaderName| headers.contains_key(name);
    let body = headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    if body || asks_for(TRANSFER_ENCODING) || asks_for(EXPECT) {
        return Err(Refusal::Body);
    }
    if asks_for(UPGRADE) || asks_for(HeaderName::from_static("http2-settings")) {
        return Err(Refusal::Protocol);
    }
    if headers.get_all(HOST).iter().count() > 1 {
        return Err(Refusal::Host);
    }
    Ok(())
}

/// `v1.41`
fn is_version(part: &str) -> bool {
    let number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = part.strip_prefix('v').and_then(|version| version.split_once('.'));
    numbers.is_some_and(|(major, minor)| number(major) && number(minor))
}

fn matches(pattern: &[&str], parts: &[&str]) -> bool {
    pattern.len() == parts.len()
        && pattern.iter().zip(parts).all(|(wanted, part)| match *wanted {
            "{id}" => is_container(part),
            word => word == *part,
        })
}

/// What Docker takes as a name; ids are such names. None begins with a dot.
fn is_container(part: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    part.len() <= MAX_NAME_BYTES
        && part.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && part.bytes().all(is_name_byte)
}

fn check_query(query: &str, parameters: &[&str]) -> Result<(), Refusal> {
    // Some servers split at `;` as well, and see other parameters than we do.
    let is_plain =
        query.len() <= MAX_QUERY_BYTES && query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    let known = |pair: &str| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        parameters.contains(&name)
    };
    if is_plain && query.split('&').all(known) { Ok(()) } else { Err(Refusal::Parameter) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<String, Refusal> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        super::target(&request.body(()).unwrap())
    }

    #[test]
    fn what_the_collector_asks_passes_as_it_is() {
        for target in [
            "/_ping",
            "/v1.41/version",
            "/v1.44/info",
            "/v1.41/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D&since=1.5",
            "/containers/json?all=true",
            "/v1.41/containers/json?all=true&filters=%7B%7D&size=true",
            "/v1.41/containers/shop-web_1.a/json?",
            "/v1.41/containers/3f2a91c0/logs?stdout=1&stderr=1&timestamps=1&follow=1&tail=0",
            "/v1.41/containers/3f2a91c0/stats?stream=false&one-shot=true",
        ] {
            let expected = target.strip_suffix('?').unwrap_or(target);
            let passed = asked("GET", target, &[("host", "docker")]);
            // An empty query has no parameter, and no endpoint knows one without a name.
            if target.ends_with('?') {
                assert_eq!(passed, Err(Refusal::Parameter), "{target}");
            } else {
                assert_eq!(passed.as_deref(), Ok(expected), "{target}");
            }
        }
    }

    #[test]
    fn every_other_method_is_refused_everywhere() {
        for method in
            ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "GETX", "get", "BREW"]
        {
            for target in
                ["/_ping", "/containers/json", "/containers/ab/logs", "/containers/create", "/exec/ab/start"]
            {
                assert_eq!(asked(method, target, &[]), Err(Refusal::Method), "{method} {target}");
            }
        }
    }

    #[test]
    fn every_other_path_is_refused() {
        for target in [
            "/",
            "/v1.41",
            "/v1.41/",
            "/containers",
            "/containers/",
            "/containers/json/",
            "//containers/json",
            "/containers//json",
            "/containers/ab",
            "/containers/ab/top",
            "/containers/ab/export",
            "/containers/ab/archive?path=/etc/shadow",
            "/containers/ab/attach/ws",
            "/containers/ab/changes",
            "/containers/ab/json/x",
            "/containers/ab/logs/",
            "/images/json",
            "/images/ab/get",
            "/volumes",
            "/secrets",
            "/configs",
            "/swarm",
            "/networks",
            "/plugins",
            "/system/df",
            "/session",
            "/build",
            "/exec/ab/json",
            "/distribution/x/json",
            "/tasks",
            "/services/ab/logs",
            "/nodes",
            "/auth",
            "/libpod/containers/json",
            // Other ways to write a path, or to leave one that passes.
            "/containers/../images/json",
            "/containers/ab/../../info",
            "/./containers/json",
            "/containers/./json",
            "/containers/../json",
            "/containers/.../json",
            "/containers/.hidden/json",
            "/containers/-x/json",
            "/%63ontainers/json",
            "/containers/%2e%2e/json",
            "/containers/ab%2Fexport/json",
            "/containers/ab%00/json",
            "/containers/ab%2flogs",
            "/containers/ab/logs%3Ffollow",
            "/containers/json%20",
            "/containers/json;a=b",
            "/containers/ab;x/json",
            "/containers/a@b/json",
            "/CONTAINERS/json",
            "/_PING",
            "/containers\\json",
            // Versions that are none, or two.
            "/v1/containers/json",
            "/v/containers/json",
            "/v1./containers/json",
            "/v.41/containers/json",
            "/v1.41.0/containers/json",
            "/V1.41/containers/json",
            "/v1.4a/containers/json",
            "/v1.41/v1.41/info",
            "/1.41/info",
            "/v1.41x/info",
            "/v1.99999/info",
            "/vv1.41/info",
            // Forms that name a host.
            "http://docker/containers/json",
            "http://docker/_ping",
            "*",
        ] {
            let answer = asked("GET", target, &[]);
            assert!(matches!(answer, Err(Refusal::Path)), "{target}: {answer:?}");
        }
        let long = format!("/containers/{}/json", "a".repeat(MAX_NAME_BYTES + 1));
        assert_eq!(asked("GET", &long, &[]), Err(Refusal::Path));
    }

    #[test]
    fn only_known_parameters_pass() {
        for target in [
            "/_ping?a=b",
            "/info?x",
            "/containers/json?all=1&x=2",
            "/containers/ab/json?logs=1",
            "/containers/ab/logs?stdout=1;follow=1",
            "/containers/ab/logs?%66ollow=1",
            "/containers/ab/logs?Follow=1",
            "/containers/ab/logs?&follow=1",
            "/containers/ab/logs?follow=1&",
            "/containers/ab/stats?=1",
            "/containers/ab/logs?stdout=1#x?y&z=1&q",
        ] {
            let answer = asked("GET", target, &[]);
            // What stands after `#` is no part of a request; the parser cuts it off.
            let is_cut = target.contains('#');
            assert!(
                answer == Err(Refusal::Parameter) || is_cut && !answer.clone().unwrap().contains('#'),
                "{target}: {answer:?}"
            );
        }
        let long = format!("/events?filters={}", "a".repeat(MAX_QUERY_BYTES));
        assert_eq!(asked("GET", &long, &[]), Err(Refusal::Parameter));
    }

    #[test]
    fn headers_that_change_the_request_are_refused() {
        for (name, value, refusal) in [
            ("content-length", "5", Refusal::Body),
            ("content-length", "+0", Refusal::Body),
            ("transfer-encoding", "chunked", Refusal::Body),
            ("transfer-encoding", "identity", Refusal::Body),
            ("expect", "100-continue", Refusal::Body),
            ("upgrade", "tcp", Refusal::Protocol),
            ("upgrade", "h2c", Refusal::Protocol),
            ("http2-settings", "AAMAAABk", Refusal::Protocol),
        ] {
            assert_eq!(asked("GET", "/_ping", &[(name, value)]), Err(refusal), "{name}: {value}");
        }
        assert_eq!(asked("GET", "/_ping", &[("host", "a"), ("host", "b")]), Err(Refusal::Host));
        assert_eq!(asked("GET", "/_ping", &[("content-length", "0")]).as_deref(), Ok("/_ping"));
    }
}
