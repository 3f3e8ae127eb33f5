use std::fs;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::*;

const SECRET: &str = "0123456789abcdef";

fn credentials(ca_file: Option<PathBuf>) -> Credentials {
    Credentials { token: Some(Token::new(SECRET, "test").unwrap()), ca_file }
}

/// A TLS server for `localhost` that answers `hello`, and its certificate.
async fn hello() -> (u16, String, AbortOnDropHandle<()>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = TaskTracker::new().spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    (port, made.cert.pem(), AbortOnDropHandle::new(server))
}

#[tokio::test]
async fn a_server_is_trusted_only_by_its_authority_and_its_name() {
    let (port, pem, _server) = hello().await;
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (dir.path().join("ours.pem"), dir.path().join("other.pem"));
    fs::write(&ours, pem).unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(&other, stranger.cert.pem()).unwrap();

    let trusted =
        Endpoint::new(&format!("https://localhost:{port}"), &credentials(Some(ours.clone()))).unwrap();
    let mut answer = String::new();
    trusted.connect().await.unwrap().read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "hello");

    let unknown = Endpoint::new(&format!("https://localhost:{port}"), &credentials(Some(other))).unwrap();
    assert!(unknown.connect().await.is_err(), "another authority");
    let misnamed = Endpoint::new(&format!("https://127.0.0.1:{port}"), &credentials(Some(ours))).unwrap();
    assert!(misnamed.connect().await.is_err(), "another name");
}

#[test]
fn urls_that_cannot_be_used_are_refused() {
    for wrong in ["", "localhost:3100", "ftp://x", "http://", "http://x/?a=b", "http://user:pass@x/"] {
        let refused = Endpoint::new(wrong, &Credentials::default());
        assert!(matches!(refused, Err(DialError::BadUrl { .. })), "{wrong}");
    }
    let endpoint = Endpoint::new("http://[::1]/logs/", &Credentials::default()).unwrap();
    assert_eq!(endpoint.authority(), "[::1]:80");
    assert_eq!(endpoint.prefix(), "/logs");
}

#[test]
fn files_without_certificates_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "no certificate").unwrap();
    for file in [empty, dir.path().join("absent.pem")] {
        let name = file.display().to_string();
        let error = Endpoint::new("https://x", &credentials(Some(file))).unwrap_err().to_string();
        assert!(error.contains(&name), "{error}");
    }
}

#[test]
fn a_token_is_never_printed() {
    let endpoint = Endpoint::new("http://127.0.0.1", &credentials(None)).unwrap();
    assert!(endpoint.authorization().is_some());
    let printed = format!("{endpoint:?} {:?}", credentials(None));
    assert!(!printed.contains(SECRET), "{printed}");
}

#[test]
fn token_files_hold_one_token_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    let read = |text: &str| {
        fs::write(&file, text).unwrap();
        Token::read_all(&file).map(|tokens| tokens.iter().map(|t| t.secret().to_vec()).collect::<Vec<_>>())
    };
    let two = read("# new\n0123456789abcdef\n\n  fedcba9876543210 \r\n").unwrap();
    assert_eq!(two, [b"0123456789abcdef", b"fedcba9876543210"]);
    for (wrong, what) in [
        ("", "holds no token"),
        ("# only a comment\n", "holds no token"),
        ("ok-ok-ok-ok-ok-ok\nshort", "line 2"),
        ("with a blank inside it", "no blanks"),
        ("ümlaut-ümlaut-ümlaut", "ASCII"),
    ] {
        let error = read(wrong).unwrap_err().to_string();
        assert!(error.contains(what), "{wrong:?}: {error}");
        assert!(!error.contains("short") || what == "line 2", "{error}");
    }
}
