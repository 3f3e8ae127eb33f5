use futures_util::StreamExt;
use store::Level;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::*;
use crate::exec::tests::{Data, record};
use crate::http::{AppState, router};

fn data() -> Data {
    let mut records: Vec<store::Record> = (0..20)
        .map(|i| record("pay", i, &format!("order {i} été"), Level::Info, &[("trace_id", "ab12")]))
        .collect();
    records[7].line = b"order \xff\n7"[..].into();
    Data::of([records])
}

fn client_of(url: &str) -> Client {
    Client::new(Endpoint::new(url, &dial::Credentials::default()).unwrap())
}

async fn serve(data: &Data) -> (Client, AbortOnDropHandle<()>) {
    let (_, ready) = watch::channel(true);
    let registry = prometheus::Registry::new();
    let state =
        AppState::new(data.reader(), Config::default(), registry, ready, CancellationToken::new()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = TaskTracker::new().spawn(async move { axum::serve(listener, router(state)).await.unwrap() });
    (client_of(&url), AbortOnDropHandle::new(server))
}

async fn all(answers: Answers) -> Vec<Answer> {
    answers.map(|answer| answer.unwrap()).collect().await
}

#[tokio::test]
async fn a_server_and_the_data_folder_answer_alike() {
    let data = data();
    let (remote, _server) = serve(&data).await;
    let local = Client::local(data.reader(), Config::default()).unwrap();
    let options = SearchOptions { query: "order".to_owned(), forward: true, ..SearchOptions::default() };
    let mut answers = Vec::new();
    for client in [&remote, &local] {
        let mut found = all(client.search(&options).await.unwrap()).await;
        assert!(matches!(found.pop(), Some(Answer::Summary(summary)) if summary["records"] == 20));
        answers.push(found);
        assert_eq!(all(client.trace("ab12", &options).await.unwrap()).await.len(), 21);
        assert_eq!(client.json("/api/v1/stats", &[]).await.unwrap()["records"], 20);
    }
    assert_eq!(answers[0], answers[1]);
    let Answer::Hit(seventh) = &answers[0][7] else { panic!("no hit") };
    assert_eq!(seventh.line, b"order \xff\n7");
}

#[tokio::test]
async fn a_refused_query_comes_back_with_its_place() {
    let data = data();
    let (client, _server) = serve(&data).await;
    let options = SearchOptions { query: "été AND".to_owned(), ..SearchOptions::default() };
    match client.search(&options).await.err() {
        Some(ClientError::Refused { kind, pointer, .. }) => {
            assert_eq!((kind.as_str(), pointer.as_deref()), ("bad_query", Some("été AND\n       ^")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tail_gives_new_records() {
    let data = data();
    let (client, _server) = serve(&data).await;
    let mut tail = client.tail("level:warn").await.unwrap();
    data.append(vec![
        record("pay", 90, "fine", Level::Info, &[]),
        record("pay", 91, "hot", Level::Warn, &[]),
    ]);
    match tail.next().await {
        Some(Ok(Answer::Hit(hit))) => assert_eq!(hit.line, b"hot"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn absent_servers_are_named() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let absent = client_of(&format!("http://127.0.0.1:{port}"));
    let error = absent.search(&SearchOptions::default()).await.err().unwrap();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}
