use axum::body::Body;
use axum::routing::{get, post};
use tower::ServiceExt;

use super::super::Config;
use super::*;

const ADMIN: &str = "admin-admin-admin-1";
const READ: &str = "read-read-read-read";

/// A server with one route that asks and one that pushes, guarded as the real ones are.
fn server(with_tokens: bool) -> (Router, Gate) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, token: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("# of {name}\nold-{token}\n{token}\n")).unwrap();
        with_tokens.then_some(path)
    };
    let config =
        Config { token_file: file("admin", ADMIN), read_token_file: file("read", READ), ..Config::default() };
    let gate = Gate::new(Tokens::read(&config).unwrap(), &Registry::new()).unwrap();
    let asking = Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/ready", get(|| async { "ok" }))
        .route("/api", get(|| async { "lines" }))
        .fallback(|| async { StatusCode::NOT_FOUND });
    let pushing = Router::new().route("/push", post(|| async { StatusCode::NO_CONTENT }));
    let router = gate.guard(asking, Scope::Read).merge(gate.guard(pushing, Scope::Admin));
    (router, gate)
}

async fn ask(router: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[tokio::test]
async fn each_scope_opens_what_it_should_and_nothing_else() {
    let (router, _) = server(true);
    let bearer = |token: &str| format!("Bearer {token}");
    let cases: Vec<(Option<String>, u16, u16)> = vec![
        (None, 401, 401),
        (Some(bearer(READ)), 200, 403),
        (Some(bearer(&format!("old-{READ}"))), 200, 403),
        (Some(bearer(ADMIN)), 200, 204),
        (Some(format!("bearer  {ADMIN}")), 200, 204),
        (Some(basic(&format!("anyone:{ADMIN}"))), 200, 204),
        (Some(basic(&format!(":{READ}"))), 200, 403),
        (Some(basic(ADMIN)), 401, 401),
        (Some(basic(&format!("{ADMIN}:"))), 401, 401),
        (Some("Basic %%%".to_owned()), 401, 401),
        (Some(ADMIN.to_owned()), 401, 401),
        (Some(format!("Digest {ADMIN}")), 401, 401),
        (Some(bearer("")), 401, 401),
        (Some(bearer(ADMIN.trim_end_matches('1'))), 401, 401),
        (Some(bearer(&format!("{ADMIN}x"))), 401, 401),
        (Some(bearer("# of admin")), 401, 401),
    ];
    for (authorization, asked, pushed) in cases {
        let headers: Vec<(&str, &str)> =
            authorization.as_deref().map(|value| ("authorization", value)).into_iter().collect();
        assert_eq!(ask(&router, Method::GET, "/api", &headers).await.status(), asked, "{authorization:?}");
        assert_eq!(ask(&router, Method::POST, "/push", &headers).await.status(), pushed, "{authorization:?}");
        assert_eq!(ask(&router, Method::GET, "/health", &headers).await.status(), 200);
        assert_eq!(ask(&router, Method::GET, "/ready", &headers).await.status(), 200);
    }
    let twice = [("authorization", bearer(ADMIN)), ("authorization", bearer(ADMIN))];
    let twice: Vec<(&str, &str)> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(ask(&router, Method::GET, "/api", &twice).await.status(), 401, "which of two is meant?");
}

#[tokio::test]
async fn only_the_two_open_paths_are_open() {
    let (router, _) = server(true);
    for path in ["/health/", "/healthz", "//health", "/health/../api", "/%68ealth", "/nowhere", "/push", "*"]
    {
        assert_eq!(ask(&router, Method::GET, path, &[]).await.status(), 401, "{path}");
    }
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS, Method::HEAD, Method::CONNECT] {
        assert_eq!(ask(&router, method.clone(), "/push", &[]).await.status(), 401, "{method}");
        assert_eq!(ask(&router, method.clone(), "/api", &[]).await.status(), 401, "{method}");
    }
}

#[tokio::test]
async fn refusals_tell_nothing_and_are_counted() {
    let (router, gate) = server(true);
    let mut answers = Vec::new();
    for headers in [&[][..], &[("authorization", "Bearer guess-guess-guess")][..]] {
        let response = ask(&router, Method::GET, "/api", headers).await;
        assert_eq!(response.headers().get_all(WWW_AUTHENTICATE).iter().count(), 2);
        answers.push(axum::body::to_bytes(response.into_body(), 1000).await.unwrap());
    }
    assert_eq!(answers[0], answers[1], "an unknown token looks like none");
    let count = |reason| gate.denied.with_label_values(&[reason]).get();
    assert_eq!((count("no_token"), count("wrong_token"), count("scope")), (1, 1, 0));
}

#[tokio::test]
async fn pages_of_other_sites_cannot_use_the_browser() {
    for with_tokens in [false, true] {
        let (router, gate) = server(with_tokens);
        let token = format!("Bearer {ADMIN}");
        let mut headers = vec![("authorization", token.as_str()), ("sec-fetch-site", "cross-site")];
        assert_eq!(ask(&router, Method::POST, "/push", &headers).await.status(), 403);
        assert_eq!(ask(&router, Method::GET, "/api", &headers).await.status(), 403);
        assert_eq!(gate.denied.with_label_values(&["cross_site"]).get(), 2);
        headers.push(("sec-fetch-mode", "navigate"));
        assert_eq!(ask(&router, Method::GET, "/api", &headers).await.status(), 200, "a link");
        assert_eq!(ask(&router, Method::POST, "/push", &headers).await.status(), 403, "a form");
    }
}

#[tokio::test]
async fn without_tokens_everyone_may() {
    let (router, _) = server(false);
    assert_eq!(ask(&router, Method::GET, "/api", &[]).await.status(), 200);
    assert_eq!(ask(&router, Method::POST, "/push", &[]).await.status(), 204);
}
