use axum::http::{Method, Uri};
use weir_api::{ApiError, ErrorCode, v1::paths};
use weir_types::EntityId;

use super::error::HttpError;

/// Nothing is at this path.
pub(super) async fn not_found(uri: Uri) -> HttpError {
    // No route takes an empty segment, but an empty entity id deserves its own words.
    let in_streams = uri.path().strip_prefix(paths::STREAMS);
    if in_streams.is_some_and(|rest| rest == "/" || rest.starts_with("//")) {
        let Err(error) = EntityId::new("") else { unreachable!("an empty entity id is never legal") };
        return error.into();
    }
    HttpError(ApiError::new(ErrorCode::NotFound, "there is nothing at this path"))
}

/// The path is there, with other methods.
pub(super) async fn method_not_allowed(method: Method) -> HttpError {
    HttpError(ApiError::new(
        ErrorCode::MethodNotAllowed,
        format!("method {method} is not allowed at this path"),
    ))
}
