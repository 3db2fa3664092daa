use std::sync::Arc;

use axum::{extract::State, response::Response};
use weir_api::v1::{LogPage, LogQuery};

use super::{error::HttpError, events_json::events_json, extract::Search};
use crate::engine::Engine;

/// Events by position.
pub(super) async fn read(
    State(engine): State<Arc<Engine>>,
    Search(query): Search<LogQuery>,
) -> Result<Response, HttpError> {
    let (read, consistency) = (query.to_read(engine.group())?, query.to_consistency()?);
    let slice = match query.raw {
        true => engine.log_raw(read, consistency).await?,
        false => engine.log(read, consistency).await?,
    };
    events_json(&LogPage::from(&slice), &slice.events)
}
