//! What is read from a request before a handler sees it; every refusal is JSON with a code.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{StatusCode, header::CONTENT_LENGTH, request::Parts},
};
use serde::de::DeserializeOwned;
use weir_api::{ApiError, ErrorCode};
use weir_types::limits;

use super::error::HttpError;

/// A body of JSON, whatever its content type says.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let bytes = read_body(request, state).await?;
        Ok(Self(parse_json(&bytes)?))
    }
}

/// Reads a body of at most [`limits::BODY_BYTES_MAX`] bytes.
pub(crate) async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: usize| bytes > limits::BODY_BYTES_MAX) {
        return Err(too_large());
    }
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => ApiError::invalid("body could not be read"),
    })
}

/// Reads JSON; the error says where it went wrong.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::invalid(format!("body is not legal: {error}")))
}

fn too_large() -> ApiError {
    let max = limits::BODY_BYTES_MAX;
    ApiError::new(ErrorCode::TooLarge, format!("body is over the limit of {max} bytes"))
        .with("what", "body bytes")
        .with("max", max)
}

/// Path parameters, percent-decoded.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Params<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(params)) => Ok(Self(params)),
            Err(rejection) => Err(ApiError::invalid(format!("path is not legal: {}", rejection.body_text())).into()),
        }
    }
}

/// The query string; an unknown parameter is refused where the type denies it.
#[derive(Debug)]
pub struct Search<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Search<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(ApiError::invalid(format!("query is not legal: {}", rejection.body_text())).into()),
        }
    }
}
