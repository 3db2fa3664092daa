//! Admin calls are carried out by the leader: another node passes them on, once, as they are.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Uri, header::HOST, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use weir_api::{ApiError, ErrorCode};

use super::error::HttpError;
use crate::engine::Engine;

/// Marks a call that was passed on, so that it is not passed on again.
const PASSED_ON: HeaderName = HeaderName::from_static("x-weir-passed-on");
/// How long the leader may take to accept the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the handler here if this node leads, else on the leader.
pub(super) async fn pass_on(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    if engine.decides() {
        return next.run(request).await;
    }
    let passed_on = request.headers().contains_key(PASSED_ON);
    let answer = match engine.leader_edge() {
        None => Err(ApiError::new(ErrorCode::Unavailable, "no leader is available: none is known")),
        Some((leader, _)) if passed_on || leader == engine.node() => {
            Err(ApiError::new(ErrorCode::NotLeader, "node does not lead the group").with("leader", leader.0))
        }
        Some((_, edge)) => send(&edge, request).await,
    };
    answer.unwrap_or_else(|error| HttpError(error).into_response())
}

/// Sends a request to `edge`, `host:port`, and gives its answer.
async fn send(edge: &str, mut request: Request) -> Result<Response, ApiError> {
    let unreachable = |error: &dyn std::fmt::Display| {
        ApiError::new(
            ErrorCode::Unavailable,
            format!("no leader is available: {edge} cannot be reached: {error}"),
        )
    };
    let socket = match timeout(CONNECT_TIMEOUT, TcpStream::connect(edge)).await {
        Ok(socket) => socket.map_err(|error| unreachable(&error))?,
        Err(error) => return Err(unreachable(&error)),
    };
    let handshake = http1::handshake::<_, Body>(TokioIo::new(socket)).await;
    let (mut sender, connection) = handshake.map_err(|error| unreachable(&error))?;
    // It ends when the answer is read or dropped; its error is the answer's error.
    tokio::spawn(async move { drop(connection.await) });
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = axum::http::Version::HTTP_11;
    request.headers_mut().insert(PASSED_ON, HeaderValue::from_static("1"));
    request.headers_mut().insert(HOST, HeaderValue::from_str(edge).map_err(|error| unreachable(&error))?);
    let answer = sender.send_request(request).await.map_err(|error| {
        ApiError::new(
            ErrorCode::OutcomeUnknown,
            format!("leader did not answer, what it did is not known: {error}"),
        )
    })?;
    Ok(answer.map(Body::new).into_response())
}
