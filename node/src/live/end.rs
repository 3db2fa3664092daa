use weir_actors::live::EndReason;
use weir_api::{ApiError, ErrorCode};
use weir_types::Cursor;

/// Why a subscription ended, as every edge says it; with the cursor among the details.
pub(crate) fn end_error(reason: EndReason, cursor: Cursor) -> ApiError {
    let error = match reason {
        EndReason::Slow => ApiError::new(
            ErrorCode::SlowSubscriber,
            "too much waited for the subscriber; go on with the cursor",
        ),
        EndReason::Unavailable(reason) => {
            ApiError::new(ErrorCode::Unavailable, format!("{reason}; go on with the cursor at another node"))
        }
        EndReason::Failed(error) => ApiError::from(error),
    };
    metrics::counter!("weir_subscriptions_ended_total", "reason" => error.code.as_str()).increment(1);
    error.with("cursor", cursor.to_string()).with("position", cursor.position.0)
}
