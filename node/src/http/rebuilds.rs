//! Rebuild, compare and switch projections.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequest as _, Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use weir_api::v1::{
    CancelResult, ComparisonView, DiffQuery, DigestBody, DigestView, ProjectionStatus, RebuildBody,
    RebuildJob, SwitchBody,
};
use weir_types::{Position, ProjectionName};

use super::{
    error::HttpError,
    extract::{Body, Optional, Params, Search},
    projections::at_home,
};
use crate::engine::Engine;

pub(super) async fn rebuild(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    request: Request,
) -> Result<Response, HttpError> {
    let name = ProjectionName::new(name)?;
    let request = match at_home(&engine, &name, request).await? {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let Optional(body) = Optional::<RebuildBody>::from_request(request, &()).await?;
    Ok((StatusCode::ACCEPTED, Json(engine.rebuild(name, &body).await?)).into_response())
}

pub(super) async fn job(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<Json<RebuildJob>, HttpError> {
    Ok(Json(engine.rebuild_job(&ProjectionName::new(name)?).await?))
}

pub(super) async fn cancel(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    request: Request,
) -> Result<Response, HttpError> {
    let projection = ProjectionName::new(&name)?;
    if let Err(answer) = at_home(&engine, &projection, request).await? {
        return Ok(answer);
    }
    engine.cancel_rebuild(projection).await?;
    Ok(Json(CancelResult { name, status: "cancelled".into() }).into_response())
}

pub(super) async fn switch(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Body(body): Body<SwitchBody>,
) -> Result<Json<ProjectionStatus>, HttpError> {
    Ok(Json(engine.switch_projections(ProjectionName::new(name)?, ProjectionName::new(body.with)?).await?))
}

pub(super) async fn diff(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<DiffQuery>,
) -> Result<Json<ComparisonView>, HttpError> {
    let (left, right) = (ProjectionName::new(name)?, ProjectionName::new(&query.with)?);
    Ok(Json(engine.diff_projections(&left, &right, query.limit()?).await?))
}

pub(super) async fn digest(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Optional(body): Optional<DigestBody>,
) -> Result<Json<DigestView>, HttpError> {
    Ok(Json(engine.projection_digest(&ProjectionName::new(name)?, body.position.map(Position)).await?))
}
