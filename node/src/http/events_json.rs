use axum::{
    http::{HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use weir_api::{ApiError, ErrorCode};
use weir_types::RecordedEvent;

use super::error::HttpError;

/// Bytes of an event's JSON beside its data, metadata and names, about.
const EVENT_BYTES: usize = 320;

/// A page of events as JSON, written into memory that holds all of it: a page that grew while it was written cost
/// a fifth of the whole read.
pub(super) fn events_json(page: &impl Serialize, events: &[RecordedEvent]) -> Result<Response, HttpError> {
    let bytes_of = |event: &RecordedEvent| {
        EVENT_BYTES
            + event.data.len()
            + event.metadata.len()
            + event.entity_id.as_str().len()
            + event.name.as_str().len()
    };
    let mut text = Vec::with_capacity(EVENT_BYTES + events.iter().map(bytes_of).sum::<usize>());
    serde_json::to_writer(&mut text, page)
        .map_err(|error| ApiError::new(ErrorCode::Internal, format!("page is not JSON: {error}")))?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json)], text).into_response())
}
