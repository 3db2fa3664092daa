//! What surrounds every request: a span, a time limit, CORS, and a net under panics.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;
use tokio::time::timeout;
use tracing::{Instrument as _, error, info_span};
use uuid::Uuid;
use weir_api::{ApiError, ErrorCode, v1::paths};
use weir_types::limits;

use super::error::HttpError;
use crate::engine::Engine;

/// The header by which a request is found in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a client's own request id that are taken over.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// The headers that browsers may send.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, authorization, x-ironflow-environment, connect-protocol-version, connect-timeout-ms, \
     if-match, if-none-match, x-request-id, idempotency-key, last-event-id, traceparent, \
     tracestate",
);

/// Opens the request's span and answers a panic with `internal`.
pub(crate) async fn surround(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let refuse = refusal_for(request.uri().path());
    let span = info_span!("request", node_id = engine.node().0, request_id = %id.as_str());
    let answer = AssertUnwindSafe(next.run(request).instrument(span)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| {
        error!(request_id = %id, "request handler panicked");
        refuse(ApiError::new(ErrorCode::Internal, "request failed by a fault in weir"))
    });
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The client's own id where it is harmless, else a new one.
fn request_id(request: &Request) -> String {
    let harmless = |text: &&str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !text.is_empty() && text.len() <= REQUEST_ID_BYTES_MAX && text.bytes().all(legal)
    };
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(harmless);
    given.map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// Answers `not_initialized` on a node that belongs to no cluster.
pub(crate) async fn only_in_cluster(
    State(engine): State<Arc<Engine>>,
    request: Request,
    next: Next,
) -> Response {
    match engine.must_be_in_cluster() {
        Ok(()) => next.run(request).await,
        Err(error) => HttpError(error).into_response(),
    }
}

/// Answers `deadline_exceeded` when a request takes too long. What it did is
/// then not known. How long it asks to wait for events is not counted: the wait
/// has a limit of its own, and ends with an answer.
pub(crate) async fn limit_time(State(work): State<Duration>, request: Request, next: Next) -> Response {
    let most = work + asked_wait(request.uri().query().unwrap_or_default());
    let refuse = refusal_for(request.uri().path());
    match timeout(most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("request took over {} ms; what it changed is not known", most.as_millis());
            refuse(ApiError::new(ErrorCode::DeadlineExceeded, message))
        }
    }
}

/// The wait that a query asks for, as far as one may; none where it is not legal, which is refused elsewhere.
fn asked_wait(query: &str) -> Duration {
    let given = query.split('&').filter_map(|pair| pair.split_once('='));
    let wait =
        given.filter(|(name, _)| matches!(*name, "wait_ms" | "waitMs")).find_map(|(_, ms)| ms.parse().ok());
    Duration::from_millis(wait.unwrap_or(0).min(limits::READ_WAIT_MS_MAX))
}

/// How an error looks to who calls this path: Connect's calls have a shape of their own.
pub(super) fn refusal_for(path: &str) -> fn(ApiError) -> Response {
    let services =
        [paths::CONNECT_STREAMS, paths::CONNECT_PROJECTIONS, paths::CONNECT_SCHEMAS, paths::CONNECT_PUBSUB];
    match services.iter().any(|service| path.starts_with(service)) {
        true => |error| error.to_connect().into_response(),
        false => |error| HttpError(error).into_response(),
    }
}

/// Lets browsers of any origin call: there are no cookies that they could abuse.
pub(crate) async fn allow_origins(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS;
    let mut response = match preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id"));
    if preflight {
        let methods = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::to_bytes, middleware::from_fn_with_state, routing::post};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_the_query_and_has_a_limit() {
        for (query, ms) in [
            ("", 0),
            ("limit=1&wait_ms=250", 250),
            ("waitMs=7", 7),
            ("wait_ms=x", 0),
            ("await_ms=5", 0),
            ("wait_ms=99999999", limits::READ_WAIT_MS_MAX),
        ] {
            assert_eq!(asked_wait(query), Duration::from_millis(ms), "{query}");
        }
    }

    /// The answer to a POST that takes `takes` where `work` is allowed.
    async fn post_to(path: &str, takes: Duration, work: Duration) -> (u16, Value) {
        let handler = move || async move { tokio::time::sleep(takes).await };
        let route = path.split('?').next().unwrap();
        let router = Router::new().route(route, post(handler)).layer(from_fn_with_state(work, limit_time));
        let request = Request::post(path).body(axum::body::Body::empty()).unwrap();
        let answer = TowerToHyperService::new(router).call(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    #[tokio::test]
    async fn a_late_request_is_refused_in_the_words_of_its_protocol() {
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(5));
        let (status, rest) = post_to("/api/v1/streams/a/events", long, short).await;
        assert_eq!((status, &rest["code"]), (504, &"deadline_exceeded".into()), "{rest}");
        assert!(rest["error"].is_string());
        let (status, connect) = post_to(&format!("{}AppendEvent", paths::CONNECT_STREAMS), long, short).await;
        assert_eq!((status, &connect["code"]), (504, &"deadline_exceeded".into()), "{connect}");
        assert!(connect["message"].is_string() && connect.get("error").is_none(), "{connect}");
    }

    #[tokio::test]
    async fn a_wait_that_was_asked_for_is_not_counted() {
        let work = Duration::from_millis(5);
        let waits = "/api/v1/streams/a/events?wait_ms=30000";
        assert_eq!(post_to(waits, work * 10, work).await.0, 200);
        assert_eq!(post_to("/api/v1/streams/a/events?wait_ms=1", Duration::from_secs(60), work).await.0, 504);
    }
}
