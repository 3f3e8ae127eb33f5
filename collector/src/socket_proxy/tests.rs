//! Bytes on the wire, against a daemon that only writes down what it is asked.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::*;

/// A proxy before a daemon of one answer.
struct Scene {
    folder: tempfile::TempDir,
    /// Every byte that reached the daemon.
    asked: Arc<Mutex<Vec<u8>>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Scene {
    fn start(answer: &'static [u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let daemon = UnixListener::bind(folder.path().join("daemon.sock")).unwrap();
        let note = Arc::clone(&asked);
        let daemon = TaskTracker::new().spawn(async move {
            loop {
                let (mut stream, _) = daemon.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
                note.lock().unwrap().extend_from_slice(&head);
                drop(stream.write_all(answer).await);
            }
        });
        let host = DockerHost::Unix(folder.path().join("daemon.sock"));
        let proxy = SocketProxy::on_socket(&folder.path().join("proxy.sock"), host).unwrap();
        let proxy = TaskTracker::new().spawn(proxy.serve(CancellationToken::new()));
        Self { folder, asked, _tasks: [daemon, proxy].map(AbortOnDropHandle::new) }
    }

    /// Sends bytes and reads what comes back until the proxy closes the connection.
    async fn send(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("proxy.sock")).await.unwrap();
        // The proxy may have answered and closed before it took everything.
        drop(stream.write_all(bytes).await);
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
        drop(read.expect("the proxy leaves the connection open"));
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn asked(&self) -> String {
        String::from_utf8_lossy(&self.asked.lock().unwrap()).into_owned()
    }
}

const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nUpgrade: tcp\r\nServer: d\r\n\r\nOK";

#[tokio::test]
async fn a_question_is_written_anew() {
    let scene = Scene::start(OK);
    let answer = scene
        .send(
            b"GET /v1.41/info HTTP/1.1\r\nHost: evil\r\nX-Registry-Auth: secret\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nOK"), "{answer}");
    assert!(answer.contains("server: d") && !answer.contains("upgrade"), "{answer}");
    let asked = scene.asked();
    assert!(
        asked.starts_with("GET /v1.41/info HTTP/1.1\r\n") && asked.contains("host: docker\r\n"),
        "{asked}"
    );
    assert!(!asked.contains("evil") && !asked.to_lowercase().contains("auth"), "{asked}");
}

#[tokio::test]
async fn nothing_is_smuggled_in() {
    let hidden = "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n";
    for head in [
        "GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 75\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nContent-Length: 75\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length: 0, 75\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nContent-Length : 75\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nTransfer-Encoding:\x0bchunked\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nX: y\r\n z: folded\r\nContent-Length: 75\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: d\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
        "GET /_ping?a=b HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /_ping HTTP/1.1 HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /_ping\tHTTP/1.1\r\nHost: d\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET http://d/containers/json HTTP/1.1\r\nHost: d\r\n\r\n",
        "CONNECT d:80 HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /containers/../images/json HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /%2e%2e/containers/json HTTP/1.1\r\nHost: d\r\n\r\n",
    ] {
        let scene = Scene::start(OK);
        let answer = scene.send(format!("{head}{hidden}").as_bytes()).await;
        // HTTP/2 is not even answered.
        let refused = answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.1 400");
        assert!(refused || head.starts_with("PRI") && answer.is_empty(), "{head:?}: {answer}");
        assert!(answer.matches("HTTP/1.1").count() <= 1, "a refusal ends the connection: {head:?}: {answer}");
        assert_eq!(scene.asked(), "", "{head:?}");
    }
}

#[tokio::test]
async fn what_follows_an_allowed_question_is_judged_by_itself() {
    let scene = Scene::start(OK);
    let answer = scene
        .send(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nDELETE /containers/ab HTTP/1.1\r\nHost: d\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("HTTP/1.1 403"), "{answer}");
    assert!(scene.asked().starts_with("GET /_ping") && !scene.asked().contains("DELETE"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let scene = Scene::start(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let answer = scene.send(b"GET /containers/ab/logs HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert!(answer.contains("hello") && !answer.ends_with("0\r\n\r\n"), "{answer}");
    let scene =
        Scene::start(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n");
    let answer = scene.send(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

#[tokio::test]
async fn an_absent_daemon_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy.sock");
    let proxy = SocketProxy::on_socket(&socket, DockerHost::Unix(folder.path().join("absent"))).unwrap();
    let _task = AbortOnDropHandle::new(TaskTracker::new().spawn(proxy.serve(CancellationToken::new())));
    assert!(ping(&socket).await.unwrap_err().contains("502"));
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, SOCKET_MODE);
}

#[tokio::test]
async fn a_socket_that_answers_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let daemon = UnixListener::bind(&socket).unwrap();
    let error = SocketProxy::on_socket(&socket, DockerHost::default()).unwrap_err().to_string();
    assert!(error.contains("docker.sock") && error.contains("another process answers there"), "{error}");
    // The listener still has its file: whoever connects reaches it.
    daemon.accept().await.unwrap(); // the question whether it answers
    let (client, accepted) = tokio::join!(UnixStream::connect(&socket), daemon.accept());
    assert!(client.is_ok() && accepted.is_ok());
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy.sock");
    drop(SocketProxy::on_socket(&socket, DockerHost::default()).unwrap());
    assert!(socket.exists(), "as a killed process leaves it");
    SocketProxy::on_socket(&socket, DockerHost::default()).unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = SocketProxy::on_socket(&file, DockerHost::default()).unwrap_err().to_string();
    assert!(error.contains("file"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}
