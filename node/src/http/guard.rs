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
use weir_api::{ApiError, ErrorCode};

use super::error::HttpError;
use crate::engine::Engine;

/// The header by which a request is found in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a client's own request id that are taken over.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// The headers that browsers may send.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, authorization, x-ironflow-environment, connect-protocol-version, connect-timeout-ms, \
     if-match, if-none-match, x-request-id, idempotency-key",
);

/// Opens the request's span and answers a panic with `internal`.
pub(crate) async fn surround(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let span = info_span!("request", node_id = engine.node().0, request_id = %id.as_str());
    let answer = AssertUnwindSafe(next.run(request).instrument(span)).catch_unwind().await;
    let mut response = answer.unwrap_or_else(|_| {
        error!(request_id = %id, "request handler panicked");
        HttpError(ApiError::new(ErrorCode::Internal, "request failed by a fault in weir")).into_response()
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

/// Answers `deadline_exceeded` when a request takes too long. What it did is then not known.
pub(crate) async fn limit_time(State(most): State<Duration>, request: Request, next: Next) -> Response {
    match timeout(most, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("request took over {} ms; what it changed is not known", most.as_millis());
            HttpError(ApiError::new(ErrorCode::DeadlineExceeded, message)).into_response()
        }
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
