//! Admin calls are carried out by the leader: another node passes them on, once, as they are.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, Version, header::HOST, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;
use weir_api::{ApiError, ErrorCode};

use super::error::HttpError;
use crate::{ask::Edge, engine::Engine};

/// Marks a call that was passed on, so that it is not passed on again.
const PASSED_ON: HeaderName = HeaderName::from_static("x-weir-passed-on");

/// Runs the handler here if this node leads, else on the leader.
pub(super) async fn pass_on(State(engine): State<Arc<Engine>>, request: Request, next: Next) -> Response {
    match unless_leading(&engine, request).await {
        Ok(Ok(request)) => next.run(request).await,
        Ok(Err(answer)) => answer,
        Err(error) => HttpError(error).into_response(),
    }
}

/// What the leader says to a request, where this node does not lead; the request itself where it does.
pub(crate) async fn unless_leading(
    engine: &Engine,
    request: Request,
) -> Result<Result<Request, Response>, ApiError> {
    let passed_on = request.headers().contains_key(PASSED_ON);
    match engine.leader_edge().await {
        Some((leader, _)) if leader == engine.node() => Ok(Ok(request)),
        Some((leader, _)) if passed_on => {
            Err(ApiError::new(ErrorCode::NotLeader, "node does not lead the group").with("leader", leader.0))
        }
        Some((_, edge)) => send(&edge, request).await.map(Err),
        None => Err(ApiError::new(ErrorCode::Unavailable, "no leader is available: none is known")),
    }
}

/// As [`send`], with the whole of the answer, at most `bytes_max` of it. After `within` what the leader did is not
/// known: one that is cut off without a word never says anything.
pub(crate) async fn answer_of(
    edge: &str,
    request: Request,
    bytes_max: usize,
    within: Duration,
) -> Result<(StatusCode, Bytes), ApiError> {
    let unknown =
        |why: String| ApiError::new(ErrorCode::OutcomeUnknown, format!("leader did not answer: {why}"));
    let answer = async {
        let answer = send(edge, request).await?;
        let status = answer.status();
        let bytes =
            to_bytes(answer.into_body(), bytes_max).await.map_err(|error| unknown(error.to_string()))?;
        Ok((status, bytes))
    };
    let late = |_| unknown(format!("{} ms are over", within.as_millis()));
    timeout(within, answer).await.map_err(late)?
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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_leader_that_is_cut_off_without_a_word_is_waited_for_no_longer_than_this() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let edge = silent.local_addr().unwrap().to_string();
        let request = Request::post("/x").body(Body::empty()).unwrap();
        let answered = answer_of(&edge, request, 100, Duration::from_millis(50));
        let answered =
            timeout(Duration::from_secs(20), answered).await.expect("it does not wait without an end");
        assert_eq!(answered.unwrap_err().code, ErrorCode::OutcomeUnknown);
    }
}
