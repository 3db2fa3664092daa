//! What is read from a request before a handler sees it; every refusal is JSON with a code.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, HeaderValue, request::Parts},
};
use bytes::BytesMut;
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use weir_api::{ApiError, ErrorCode, objects};
use weir_types::limits;

use super::error::HttpError;

/// Bytes of a body over the limit that are read and thrown away before it is refused.
const DISCARD_BYTES_MAX: usize = 8 * limits::BODY_BYTES_MAX;

/// A body of JSON, whatever its content type says.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HttpError> {
        let bytes = read_body(request).await?;
        Ok(Self(parse_json(&bytes)?))
    }
}

/// The same, where no body means what JSON without members does.
#[derive(Debug)]
pub struct Optional<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Optional<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HttpError> {
        let bytes = read_body(request).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        Ok(Self(parse_json(&bytes)?))
    }
}

/// The header that may carry the idempotency key of an append or a transaction.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The idempotency key of the header, if there is one.
///
/// # Errors
/// `invalid_request` when it is not visible ASCII.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let key = headers.get(IDEMPOTENCY_KEY).map(HeaderValue::to_str).transpose();
    key.map_err(|_| ApiError::invalid("header Idempotency-Key is not visible ASCII"))
}

/// Reads a body of at most [`limits::BODY_BYTES_MAX`] bytes.
///
/// A longer one is read on and thrown away, up to [`DISCARD_BYTES_MAX`]: a
/// client that still writes would see a broken connection, not the refusal.
pub(crate) async fn read_body(request: Request) -> Result<Bytes, ApiError> {
    let mut frames = request.into_body().into_data_stream();
    let (mut body, mut seen) = (BytesMut::new(), 0);
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| ApiError::invalid("body could not be read"))?;
        seen += frame.len();
        match seen {
            0..=limits::BODY_BYTES_MAX => body.extend_from_slice(&frame),
            _ if seen > DISCARD_BYTES_MAX => break,
            _ => body = BytesMut::new(),
        }
    }
    match seen {
        0..=limits::BODY_BYTES_MAX => Ok(body.freeze()),
        _ => Err(too_large()),
    }
}

/// Reads JSON; the error says where it went wrong.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    objects::from_slice(bytes).map_err(|error| ApiError::invalid(format!("body is not legal: {error}")))
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
            Err(rejection) => {
                Err(ApiError::invalid(format!("path is not legal: {}", rejection.body_text())).into())
            }
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
            Err(rejection) => {
                Err(ApiError::invalid(format!("query is not legal: {}", rejection.body_text())).into())
            }
        }
    }
}
