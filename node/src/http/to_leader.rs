//! Admin calls are carried out by the leader: another node passes them on, once, as they are.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Uri, Version, header::HOST, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use weir_api::{ApiError, ErrorCode};

use super::error::HttpError;
use crate::{ask::Edge, engine::Engine};

/// Marks a call that was passed on, so that it is not passed on again.
const PASSED_ON: HeaderName = HeaderName::from_static("x-weir-passed-on");

/// Runs the handler here if this node leads, else on the leader.
pub(super) async fn pass_on(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    let passed_on = request.headers().contains_key(PASSED_ON);
    let answer = match engine.leader_edge().await {
        Some((leader, _)) if leader == engine.node() => return next.run(request).await,
        Some((leader, _)) if passed_on => {
            Err(ApiError::new(ErrorCode::NotLeader, "node does not lead the group").with("leader", leader.0))
        }
        Some((_, edge)) => send(&edge, request).await,
        None => Err(ApiError::new(ErrorCode::Unavailable, "no leader is available: none is known")),
    };
    answer.unwrap_or_else(|error| HttpError(error).into_response())
}

/// Sends a request to `edge`, `host:port`, and gives its answer.
pub(crate) async fn send(edge: &str, mut request: Request) -> Result<Response, ApiError> {
    let host =
        HeaderValue::from_str(edge).map_err(|_| ApiError::new(ErrorCode::Internal, "leader has no host"))?;
    let leader = Edge::connect(edge).await;
    let leader = leader
        .map_err(|error| ApiError::new(ErrorCode::Unavailable, format!("no leader is available: {error}")))?;
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().insert(PASSED_ON, HeaderValue::from_static("1"));
    request.headers_mut().insert(HOST, host);
    leader.send(request).await.map_err(|error| {
        ApiError::new(
            ErrorCode::OutcomeUnknown,
            format!("leader did not answer, what it did is not known: {error}"),
        )
    })
}
