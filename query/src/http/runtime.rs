//! The runtime on which answers are made: questions read, lines written as JSON, bodies compressed.
//!
//! An answer of 5,000 lines takes a thread for a tenth of a second. The invariant: that is never a thread that takes lines
//! in. So the routes have a runtime of their own, whose threads give way to collection as those of queries do; what
//! holds the connection only passes on what is finished.

use std::io;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::exec::give_way;

/// Pieces of an answer between here and its connection, 4 KiB of compressed text or 64 KiB of lines each. When they
/// are full, the answer waits for its client.
const PIECES: usize = 8;

/// Starts the runtime; it must outlive the routes that use it.
///
/// # Errors
/// When the system has no threads for it.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().thread_name("answer").on_thread_start(give_way).enable_all().build()
}

/// The same routes, answering on `runtime`.
pub fn answer_on(runtime: Handle, router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(runtime, answer))
}

/// When the client leaves, this future is dropped or the body is, and with it what goes on for them.
async fn answer(State(runtime): State<Handle>, request: Request, next: Next) -> Response {
    let answering = AbortOnDropHandle::new(runtime.spawn(next.run(request)));
    match answering.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(response) => response.map(|body| made_on(&runtime, body)),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is ending.
        Err(Err(_)) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The same body, whose pieces come into being on `runtime`.
fn made_on(runtime: &Handle, body: Body) -> Body {
    if body.size_hint().exact().is_some() {
        return body; // there already, as a whole
    }
    let (sender, receiver) = mpsc::channel(PIECES);
    let making = AbortOnDropHandle::new(runtime.spawn(pass_on(body, sender)));
    let pieces = stream::unfold((receiver, making), |(mut receiver, making)| async move {
        let piece = receiver.recv().await?;
        Some((piece, (receiver, making)))
    });
    Body::new(StreamBody::new(pieces))
}

async fn pass_on(
    mut body: Body,
    pieces: mpsc::Sender<Result<hyper::body::Frame<bytes::Bytes>, axum::Error>>,
) {
    while let Some(piece) = body.frame().await {
        let is_last = piece.is_err();
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::routing::get;
    use tokio::sync::oneshot;
    use tower::ServiceExt as _;

    use super::*;

    type Gate = Arc<Mutex<Receiver<()>>>;

    /// Blocks the thread until it is let through.
    fn block(gate: &Gate) {
        gate.lock().unwrap().recv_timeout(Duration::from_secs(30)).expect("nobody else could run");
    }

    fn request() -> Request {
        Request::builder().uri("/").body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn handlers_and_bodies_that_block_their_thread_hold_up_nothing_else() {
        let runtime = runtime().unwrap();
        let (let_through, gate) = channel();
        let gate: Gate = Arc::new(Mutex::new(gate));
        let heavy = get(move || async move {
            block(&gate);
            let pieces = stream::unfold(gate, |gate| async move {
                block(&gate);
                Some((Ok::<_, Infallible>("piece"), gate))
            });
            Body::from_stream(stream::StreamExt::take(pieces, 2))
        });
        let router = answer_on(runtime.handle().clone(), Router::new().route("/", heavy));
        // All on the one thread of the test: each step below could not be taken if the answer were made on it.
        let (response, ()) = tokio::join!(router.oneshot(request()), async { let_through.send(()).unwrap() });
        let (body, ()) = tokio::join!(response.unwrap().into_body().collect(), async {
            let_through.send(()).unwrap();
            let_through.send(()).unwrap();
        });
        assert_eq!(body.unwrap().to_bytes(), "piecepiece");
        runtime.shutdown_background();
    }

    #[tokio::test]
    async fn threads_give_way_and_whole_bodies_keep_their_length() {
        let runtime = runtime().unwrap();
        let nice = get(|| async { rustix::process::getpriority_process(None).unwrap().to_string() });
        let router = answer_on(runtime.handle().clone(), Router::new().route("/", nice));
        let body = router.oneshot(request()).await.unwrap().into_body();
        let own = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(body.size_hint().exact(), Some(2));
        let nice: i32 =
            String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap().parse().unwrap();
        assert!(nice > own, "{nice} and {own}");
        runtime.shutdown_background();
    }

    #[tokio::test]
    async fn what_is_made_for_a_client_that_leaves_ends() {
        let runtime = runtime().unwrap();
        let (alive, ended) = oneshot::channel::<()>();
        let alive = Arc::new(Mutex::new(Some(alive)));
        let endless = get(move || async move {
            let alive = alive.lock().unwrap().take();
            let pieces =
                stream::unfold(alive, |alive| async move { Some((Ok::<_, Infallible>("piece"), alive)) });
            Body::from_stream(pieces)
        });
        let router = answer_on(runtime.handle().clone(), Router::new().route("/", endless));
        let mut body = router.oneshot(request()).await.unwrap().into_body();
        assert!(body.frame().await.is_some());
        drop(body);
        assert!(ended.await.is_err(), "the sender is dropped with the body");
        runtime.shutdown_background();
    }
}
