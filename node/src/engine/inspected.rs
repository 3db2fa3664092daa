//! What users hand in as code or schema is looked at before it goes into the log.

use std::fmt::Display;

use weir_actors::off_runtime;
use weir_api::{ApiError, ErrorCode};

/// What an inspection found, off the runtime: it runs the author's code. `refused` is the code of what is not legal.
///
/// # Errors
/// That, or `internal` when the inspection itself did not end well.
pub(super) async fn inspected<T: Send + 'static, E: Display + Send + 'static>(
    refused: ErrorCode,
    what: &str,
    inspect: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError> {
    match off_runtime(inspect).await {
        Ok(found) => found.map_err(|error| ApiError::new(refused, error.to_string())),
        Err(_) => Err(ApiError::new(ErrorCode::Internal, format!("{what} could not be inspected"))),
    }
}
