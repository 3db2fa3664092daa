use std::sync::Arc;

use axum::{Json, extract::State};
use weir_api::v1::{LogPage, LogQuery};

use super::{error::HttpError, extract::Search};
use crate::engine::Engine;

/// Events by position.
pub(super) async fn read(
    State(engine): State<Arc<Engine>>,
    Search(query): Search<LogQuery>,
) -> Result<Json<LogPage>, HttpError> {
    let slice = engine.log(query.to_read(engine.group())?, query.to_consistency()?).await?;
    Ok(Json(LogPage::from(&slice)))
}
