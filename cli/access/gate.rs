//! The gate before the routes: lets a request through or answers 401 or 403.
//!
//! Every router gets the gate of its scope, so a route that is added later is guarded without a list to keep.
//! Open are only the two paths that supervisors ask.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderMap, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prometheus::{IntCounterVec, Opts, Registry};

use super::tokens::Tokens;

/// Answered to everyone: they say only that the process lives and works.
const OPEN_PATHS: [&str; 2] = ["/health", "/ready"];

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Ask.
    Read,
    /// Ask and push.
    Admin,
}

/// Guards routers. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Gate {
    tokens: Arc<Tokens>,
    denied: IntCounterVec,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// Why a request is not let through; also the label of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    /// It shows no token.
    NoToken,
    /// It shows one that is not known.
    WrongToken,
    /// Its token may not do this.
    Scope,
    /// Another site's page had the browser send it, with the credentials the browser keeps for us.
    CrossSite,
}

impl Denial {
    const ALL: [Self; 4] = [Self::NoToken, Self::WrongToken, Self::Scope, Self::CrossSite];

    const fn name(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::WrongToken => "wrong_token",
            Self::Scope => "scope",
            Self::CrossSite => "cross_site",
        }
    }
}

impl Gate {
    /// A gate that knows `tokens`; without any it lets everyone ask and push.
    ///
    /// # Errors
    /// When the metric is registered already.
    pub(super) fn new(tokens: Tokens, registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts =
            Opts::new("binnacle_access_denied_total", "Requests that were refused for want of a right.");
        let denied = IntCounterVec::new(opts, &["reason"])?;
        registry.register(Box::new(denied.clone()))?;
        for denial in Denial::ALL {
            denied.with_label_values(&[denial.name()]);
        }
        Ok(Self { tokens: Arc::new(tokens), denied })
    }

    /// `router`, all of whose routes and other answers need `scope`.
    pub(crate) fn guard(&self, router: Router, scope: Scope) -> Router {
        router.layer(middleware::from_fn_with_state((self.clone(), scope), pass))
    }

    fn check(&self, request: &Request, needed: Scope) -> Result<(), Denial> {
        if OPEN_PATHS.contains(&request.uri().path()) {
            return Ok(());
        }
        if is_cross_site(request) {
            return Err(Denial::CrossSite);
        }
        if self.tokens.is_empty() {
            return Ok(());
        }
        let shown = shown_token(request.headers())?;
        match self.tokens.scope_of(&shown) {
            Some(scope) if scope >= needed => Ok(()),
            Some(_) => Err(Denial::Scope),
            None => Err(Denial::WrongToken),
        }
    }
}

async fn pass(State((gate, needed)): State<(Gate, Scope)>, request: Request, next: Next) -> Response {
    match gate.check(&request, needed) {
        Ok(()) => next.run(request).await,
        Err(denial) => {
            gate.denied.with_label_values(&[denial.name()]).inc();
            tracing::debug!(reason = denial.name(), path = request.uri().path(), "request denied");
            denial.into_response()
        }
    }
}

/// Whether a page of another site made the browser send this. Following a link is no such thing.
fn is_cross_site(request: &Request) -> bool {
    let is = |name: &str, value: &str| request.headers().get(name).is_some_and(|found| found == value);
    let follows_link = request.method() == Method::GET && is("sec-fetch-mode", "navigate");
    is("sec-fetch-site", "cross-site") && !follows_link
}

/// The token of `Bearer TOKEN`, or the password of `Basic`: browsers and many agents know only that.
fn shown_token(headers: &HeaderMap) -> Result<Vec<u8>, Denial> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Denial::NoToken)?;
    if values.next().is_some() {
        return Err(Denial::WrongToken);
    }
    let value = value.as_bytes();
    let blank = value.iter().position(|byte| *byte == b' ').ok_or(Denial::WrongToken)?;
    let (scheme, rest) = (&value[..blank], value[blank..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Err(Denial::WrongToken);
    }
    let pair = STANDARD.decode(rest).map_err(|_| Denial::WrongToken)?;
    let colon = pair.iter().position(|byte| *byte == b':').ok_or(Denial::WrongToken)?;
    Ok(pair[colon + 1..].to_vec())
}

impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        let answer = |status: StatusCode, error: &str, message: &str| {
            (status, Json(serde_json::json!({"error": error, "message": message}))).into_response()
        };
        match self {
            Self::NoToken | Self::WrongToken => {
                let mut response = answer(StatusCode::UNAUTHORIZED, "unauthorized", "unauthorized");
                let headers = response.headers_mut();
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"binnacle\""));
                headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"binnacle\""));
                response
            }
            Self::Scope => answer(StatusCode::FORBIDDEN, "forbidden", "this token may ask, not push"),
            Self::CrossSite => {
                answer(StatusCode::FORBIDDEN, "forbidden", "pages of other sites may not use this server")
            }
        }
    }
}

#[cfg(test)]
mod tests;
