use std::sync::Arc;

use axum::{Json, extract::State};
use weir_api::v1::OutboxStatus;

use super::error::HttpError;
use crate::engine::Engine;

/// How far the leader's outbox is.
pub(super) async fn status(State(engine): State<Arc<Engine>>) -> Json<OutboxStatus> {
    Json(engine.outbox_status())
}

/// Throws the bus's copy away; the outbox then publishes everything again.
pub(super) async fn rebuild(State(engine): State<Arc<Engine>>) -> Result<Json<OutboxStatus>, HttpError> {
    engine.rebuild_outbox().await?;
    Ok(Json(engine.outbox_status()))
}
