//! Snapshots of streams.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use weir_api::v1::{
    ReadQuery, SnapshotBody, SnapshotCreated, SnapshotList, SnapshotQuery, SnapshotRead, SnapshotView,
};
use weir_types::{EntityId, StreamVersion};

use super::{
    error::HttpError,
    extract::{Body, Params, Search},
};
use crate::engine::Engine;

pub(super) async fn create(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Body(body): Body<SnapshotBody>,
) -> Result<(StatusCode, Json<SnapshotCreated>), HttpError> {
    let (id, version) = engine.create_snapshot(&EntityId::new(id)?, body).await?;
    Ok((StatusCode::CREATED, Json(SnapshotCreated::new(id, version))))
}

pub(super) async fn get(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<SnapshotQuery>,
) -> Result<Json<SnapshotView>, HttpError> {
    let snapshot = engine.snapshot(&EntityId::new(id)?, query.before(), query.to_consistency()?).await?;
    Ok(Json(SnapshotView::from(&snapshot)))
}

pub(super) async fn list(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<SnapshotQuery>,
) -> Result<Json<SnapshotList>, HttpError> {
    let entity = EntityId::new(id)?;
    let versions = engine.snapshot_versions(&entity, query.to_consistency()?).await?;
    let fits = |version: &StreamVersion| query.before().is_none_or(|before| *version <= before);
    let versions = versions.into_iter().filter(fits).map(|version| version.0).collect();
    Ok(Json(SnapshotList { entity_id: entity.as_str().to_owned(), versions }))
}

pub(super) async fn delete(
    State(engine): State<Arc<Engine>>,
    Params((id, version)): Params<(String, u64)>,
) -> Result<StatusCode, HttpError> {
    engine.delete_snapshot(&EntityId::new(id)?, StreamVersion(version)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn read(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<ReadQuery>,
) -> Result<Json<SnapshotRead>, HttpError> {
    Ok(Json(engine.read_from_snapshot(EntityId::new(id)?, &query).await?))
}
