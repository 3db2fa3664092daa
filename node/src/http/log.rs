use std::sync::Arc;

use axum::{Json, extract::State};
use weir_api::v1::{LogPage, LogQuery};

use super::{error::HttpError, extract::Search};
use crate::engine::Engine;

/// Events by position, as this node has applied them.
pub(super) async fn read(
    State(engine): State<Arc<Engine>>,
    Search(query): Search<LogQuery>,
) -> Result<Json<LogPage>, HttpError> {
    let (from, limit) = query.to_page()?;
    let (events, applied) = engine.log(from, limit).await?;
    Ok(Json(LogPage::new(from, &events, applied)))
}
