//! Deploy, list, read, pause and remove projections.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use weir_api::v1::{
    DeployBody, DeployResult, PartitionsPage, PartitionsQuery, ProjectionDeadLetters,
    ProjectionDeadLettersQuery, ProjectionList, ProjectionStatus, ProjectionView, ViewQuery,
};
use weir_types::ProjectionName;

use super::{
    error::HttpError,
    extract::{Body, Params, Search},
};
use crate::engine::Engine;

pub(super) async fn deploy(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<DeployBody>,
) -> Result<(StatusCode, Json<DeployResult>), HttpError> {
    let (id, definition) = engine.deploy(&body.source).await?;
    Ok((StatusCode::CREATED, Json(DeployResult::new(&id, &definition))))
}

pub(super) async fn list(State(engine): State<Arc<Engine>>) -> Result<Json<ProjectionList>, HttpError> {
    Ok(Json(ProjectionList { projections: engine.projections().await? }))
}

pub(super) async fn status(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<Json<ProjectionStatus>, HttpError> {
    Ok(Json(engine.projection(&ProjectionName::new(name)?).await?))
}

pub(super) async fn view(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<ViewQuery>,
) -> Result<Json<ProjectionView>, HttpError> {
    let (name, partition) = (ProjectionName::new(name)?, query.to_partition()?);
    let (status, view) = engine.view(&name, &partition, query.to_consistency()?).await?;
    Ok(Json(ProjectionView::new(status, &partition, view.as_ref())))
}

pub(super) async fn partitions(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<PartitionsQuery>,
) -> Result<Json<PartitionsPage>, HttpError> {
    let (after, limit) = query.to_page()?;
    let keys = engine.partitions(&ProjectionName::new(name)?, after.as_ref(), limit).await?;
    Ok(Json(PartitionsPage::new(keys)))
}

pub(super) async fn pause(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<Json<ProjectionStatus>, HttpError> {
    Ok(Json(engine.pause_projection(ProjectionName::new(name)?).await?))
}

pub(super) async fn resume(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<Json<ProjectionStatus>, HttpError> {
    Ok(Json(engine.resume_projection(ProjectionName::new(name)?).await?))
}

pub(super) async fn dead_letters(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<ProjectionDeadLettersQuery>,
) -> Result<Json<ProjectionDeadLetters>, HttpError> {
    let (after, limit) = query.to_page()?;
    let (events, total) = engine.dead_letters(&ProjectionName::new(name)?, after, limit).await?;
    Ok(Json(ProjectionDeadLetters::new(&events, total)))
}

pub(super) async fn remove(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<StatusCode, HttpError> {
    engine.remove_projection(ProjectionName::new(name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
