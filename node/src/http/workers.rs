//! What workers say over REST; those of the contract poll and save over [`crate::connect::workers`].

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use weir_api::{
    ApiError,
    connect::{
        OkResponse, PollProjectionRequest, PollProjectionResponse, RegisterProjectionRequest,
        RegisterProjectionResponse, SaveProjectionRequest,
    },
    v1::{DeadLettersQuery, LeaseQuery, PollQuery, ReplayBody, ReplayResult, WorkerHeard, WorkerLetters},
};
use weir_types::ProjectionName;

use super::{
    error::HttpError,
    extract::{Body, Params, Search},
};
use crate::{engine::Engine, workers::Registered};

pub(super) async fn create(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Body(body): Body<RegisterProjectionRequest>,
) -> Result<Json<RegisterProjectionResponse>, HttpError> {
    Ok(Json(registered(&engine, &RegisterProjectionRequest { name, ..body }).await?))
}

/// Registers a projection, and says what became of it.
pub(crate) async fn registered(
    engine: &Engine,
    asked: &RegisterProjectionRequest,
) -> Result<RegisterProjectionResponse, ApiError> {
    let (registered, checkpoint) = engine.workers().register(asked).await?;
    let status = match registered {
        Registered::New => "registered",
        Registered::Updated => "updated",
    };
    Ok(RegisterProjectionResponse { status: status.to_owned(), last_event_seq: checkpoint.0 })
}

pub(super) async fn poll(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<PollQuery>,
) -> Result<Json<PollProjectionResponse>, HttpError> {
    let PollQuery { worker_id, max, wait_ms } = query;
    let asked = PollProjectionRequest {
        name,
        batch_size: max.unwrap_or(0),
        worker_id,
        wait_ms: Some(wait_ms.unwrap_or(0)),
    };
    Ok(Json(engine.workers().poll(&asked).await?))
}

pub(super) async fn save(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Body(body): Body<SaveProjectionRequest>,
) -> Result<Json<OkResponse>, HttpError> {
    engine.workers().save(&SaveProjectionRequest { name, ..body }).await?;
    Ok(Json(OkResponse { ok: true }))
}

/// Workers with projections and no functions are welcome; what else a body says is passed over.
pub(super) async fn register(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
) -> Result<Json<WorkerHeard>, HttpError> {
    heard(&engine, id, "registered").await
}

pub(super) async fn heartbeat(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
) -> Result<Json<WorkerHeard>, HttpError> {
    heard(&engine, id, "alive").await
}

async fn heard(engine: &Engine, worker_id: String, status: &str) -> Result<Json<WorkerHeard>, HttpError> {
    let projections = engine.workers().heartbeat(&worker_id).await?;
    Ok(Json(WorkerHeard { worker_id, status: status.to_owned(), projections }))
}

/// There are no jobs: functions are not run.
pub(super) async fn jobs() -> StatusCode {
    StatusCode::NO_CONTENT
}

pub(super) async fn release(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<LeaseQuery>,
) -> Result<StatusCode, HttpError> {
    engine.workers().release(&ProjectionName::new(name)?, &query.worker_id, query.lease_number).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn dead_letters(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<DeadLettersQuery>,
) -> Result<Json<WorkerLetters>, HttpError> {
    let (after, limit) = query.to_page()?;
    Ok(Json(engine.workers().dead_letters(&ProjectionName::new(name)?, after, limit).await?))
}

pub(super) async fn replay(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Body(body): Body<ReplayBody>,
) -> Result<Json<ReplayResult>, HttpError> {
    let replayed = engine.workers().replay(&ProjectionName::new(name)?, body.positions).await?;
    Ok(Json(ReplayResult { replayed }))
}
