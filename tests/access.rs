//! Tokens, scopes and TLS of the real binary, and its own clients against them.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::harness::binnacle::{Server, binnacle, free_address};
use crate::harness::wait_for;

const LIMIT: Duration = Duration::from_secs(60);
const ADMIN: &str = "an-admin-token-of-tests";
const READ: &str = "a-reading-token-of-tests";

/// A folder with token files, a certificate for 127.0.0.1 and one that nobody uses.
struct Secrets {
    folder: tempfile::TempDir,
}

impl Secrets {
    fn new() -> Self {
        let secrets = Self { folder: tempfile::tempdir().unwrap() };
        secrets.write("admin", &format!("# for agents\n{ADMIN}\n"));
        secrets.write("read", READ);
        secrets.write("wrong", "a-token-nobody-knows");
        let ours = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        secrets.write("cert.pem", &ours.cert.pem());
        secrets.write("key.pem", &ours.signing_key.serialize_pem());
        let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        secrets.write("other.pem", &other.cert.pem());
        secrets
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration with tokens and TLS.
    fn config(&self) -> PathBuf {
        let path = |name: &str| self.path(name).display().to_string();
        let (admin, read, cert, key) = (path("admin"), path("read"), path("cert.pem"), path("key.pem"));
        self.write(
            "binnacle.yaml",
            &format!(
                "access:\n  token_file: {admin}\n  read_token_file: {read}\n  \
                 tls_certificate_file: {cert}\n  tls_key_file: {key}\n"
            ),
        );
        self.path("binnacle.yaml")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A client command over TLS, with the token and the authority of these files.
fn ask(server: &Server, secrets: &Secrets, token: &str, authority: &str, arguments: &[&str]) -> Output {
    let (command, rest) = arguments.split_first().unwrap();
    let url = format!("https://{}", server.address());
    binnacle()
        .args([command, "--url", &url, "--ca-file"])
        .arg(secrets.path(authority))
        .arg("--token-file")
        .arg(secrets.path(token))
        .args(rest)
        .output()
        .unwrap()
}

#[test]
fn tokens_and_tls_guard_a_server_and_its_clients_pass() {
    let (secrets, scratch) = (Secrets::new(), tempfile::tempdir().unwrap());
    let config = secrets.config().display().to_string();
    let mut server = Server::new("run", scratch.path(), &["--docker-host", "none", "--config", &config]);
    server.start();
    let asked = |token: &str, arguments: &[&str]| ask(&server, &secrets, token, "cert.pem", arguments);
    assert!(wait_for(LIMIT, || asked("read", &["labels"]).status.code() == Some(1)), "nothing is stored yet");

    secrets.write("lines", "2026-01-02T03:04:05Z first needle\n");
    let lines = secrets.path("lines").display().to_string();
    let pushed = asked("read", &["ingest", &lines]);
    assert_eq!(pushed.status.code(), Some(2));
    assert!(text(&pushed.stderr).contains("may ask, not push"), "{}", text(&pushed.stderr));
    let pushed = asked("admin", &["ingest", &lines]);
    assert_eq!(pushed.status.code(), Some(0), "{}", text(&pushed.stderr));
    for token in ["admin", "read"] {
        let found = asked(token, &["search", "needle"]);
        assert!(text(&found.stdout).contains("first needle"), "{}", text(&found.stderr));
    }

    let refused = asked("wrong", &["search", "needle"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
    assert!(text(&refused.stderr).contains("wants a token"), "{}", text(&refused.stderr));
    let distrusted = ask(&server, &secrets, "admin", "other.pem", &["search", "needle"]);
    assert_eq!(distrusted.status.code(), Some(2), "the certificate is of another authority");
    let by_variable = binnacle()
        .args(["search", "needle", "--url", &format!("https://{}", server.address())])
        .env("BINNACLE_TOKEN", READ)
        .env("BINNACLE_CA_FILE", secrets.path("cert.pem"))
        .output()
        .unwrap();
    assert_eq!(by_variable.status.code(), Some(0), "{}", text(&by_variable.stderr));

    let log = server.log();
    assert!(![ADMIN, READ, "nobody-knows"].iter().any(|secret| log.contains(secret)), "{log}");
    assert!(server.end("TERM").success());
}

#[test]
fn a_tail_goes_on_over_tls() {
    let (secrets, scratch) = (Secrets::new(), tempfile::tempdir().unwrap());
    let config = secrets.config().display().to_string();
    let mut server = Server::new("run", scratch.path(), &["--docker-host", "none", "--config", &config]);
    server.start();
    assert!(
        wait_for(LIMIT, || ask(&server, &secrets, "read", "cert.pem", &["labels"]).status.code() == Some(1))
    );
    let output = secrets.path("tailed");
    let mut tail = binnacle()
        .args(["tail", "needle", "--url", &format!("https://{}", server.address()), "--token-file"])
        .arg(secrets.path("read"))
        .arg("--ca-file")
        .arg(secrets.path("cert.pem"))
        .stdout(std::fs::File::create(&output).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut sent = 0;
    let seen = wait_for(LIMIT, || {
        // Until the tail is connected it sees nothing of what is pushed.
        sent += 1;
        secrets.write("line", &format!("needle {sent}\n"));
        let line = secrets.path("line").display().to_string();
        assert!(ask(&server, &secrets, "admin", "cert.pem", &["ingest", &line]).status.success());
        std::fs::read_to_string(&output).unwrap().contains("needle")
    });
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(seen);
}

#[test]
fn without_a_token_nobody_listens_beyond_loopback() {
    let scratch = tempfile::tempdir().unwrap();
    let everywhere = format!("0.0.0.0:{}", free_address().port());
    for command in ["run", "collect", "serve"] {
        let refused = start(command, scratch.path(), &everywhere, &[]);
        assert_eq!(refused.status.code(), Some(2), "{command}");
        let said = text(&refused.stderr);
        assert!(said.contains("access.token_file") && said.contains("--insecure"), "{said}");
        assert!(!scratch.path().join("data").exists(), "{command} touched the data folder");
    }
    std::fs::write(scratch.path().join("short"), "tooshort\n").unwrap();
    let short = scratch.path().join("short").display().to_string();
    let refused = start("run", scratch.path(), &everywhere, &[("BINNACLE_ACCESS_TOKEN_FILE", &short)]);
    let said = text(&refused.stderr);
    assert!(said.contains("16 characters") && !said.contains("tooshort"), "{said}");
    let refused = start("run", scratch.path(), &everywhere, &[("BINNACLE_ACCESS_TLS_KEY_FILE", &short)]);
    assert!(text(&refused.stderr).contains("tls_certificate_file"), "{}", text(&refused.stderr));
}

/// A start that is expected to end at once.
fn start(command: &str, scratch: &Path, listen: &str, environment: &[(&str, &str)]) -> Output {
    let data = scratch.join("data").display().to_string();
    binnacle()
        .args([command, "--docker-host", "none", "--data", &data, "--listen", listen])
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn insecure_listens_where_the_user_wants_it() {
    let scratch = tempfile::tempdir().unwrap();
    let mut server = Server::new("run", scratch.path(), &["--docker-host", "none", "--insecure"]);
    server.listen_everywhere();
    server.start();
    server.wait_ready();
    assert_eq!(server.get("/api/v1/stats").status, 200);
    assert!(server.log().contains("everyone who reaches"), "{}", server.log());
}

#[test]
fn a_guarded_collector_shows_its_health_and_nothing_else() {
    let (secrets, scratch) = (Secrets::new(), tempfile::tempdir().unwrap());
    secrets.write("collect.yaml", &format!("access: {{token_file: {}}}\n", secrets.path("admin").display()));
    let config = secrets.path("collect.yaml").display().to_string();
    let mut server = Server::new("collect", scratch.path(), &["--docker-host", "none", "--config", &config]);
    server.start();
    server.wait_ready();
    assert_eq!(server.get("/health").status, 200);
    for path in ["/metrics", "/loki/api/v1/push", "/nowhere"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
}
