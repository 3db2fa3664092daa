//! Deploy, list, read, pause and remove projections.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse as _, Response},
};
use weir_api::{
    ApiError,
    v1::{
        DeployBody, DeployResult, PartitionsPage, PartitionsQuery, ProjectionDeadLetters,
        ProjectionDeadLettersQuery, ProjectionList, ProjectionStatus, ViewQuery, names_tag,
    },
};
use weir_types::ProjectionName;

use super::{
    error::HttpError,
    extract::{Body, Params, Search},
    to_leader::unless_leading,
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
    Ok(Json(ProjectionList { projections: engine.all_projections().await? }))
}

pub(super) async fn status(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<Json<ProjectionStatus>, HttpError> {
    Ok(Json(engine.projection(&ProjectionName::new(name)?).await?))
}

/// A state that the client has already is not sent again.
pub(super) async fn view(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<ViewQuery>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let (name, partition) = (ProjectionName::new(name)?, query.to_partition()?);
    let (tag, view) = engine.view_envelope(&name, &partition, query.to_consistency()?).await?;
    let given = headers.get(IF_NONE_MATCH).and_then(|given| given.to_str().ok());
    let mut response = match given.is_some_and(|given| names_tag(given, &tag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Json(view).into_response(),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

pub(super) async fn partitions(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<PartitionsQuery>,
) -> Result<Json<PartitionsPage>, HttpError> {
    Ok(Json(engine.partitions(&ProjectionName::new(name)?, &query.to_search()?).await?))
}

pub(super) async fn pause(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    request: Request,
) -> Result<Response, HttpError> {
    let name = ProjectionName::new(name)?;
    if let Err(answer) = at_home(&engine, &name, request).await? {
        return Ok(answer);
    }
    Ok(Json(engine.pause_projection(name).await?).into_response())
}

pub(super) async fn resume(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    request: Request,
) -> Result<Response, HttpError> {
    let name = ProjectionName::new(name)?;
    if let Err(answer) = at_home(&engine, &name, request).await? {
        return Ok(answer);
    }
    Ok(Json(engine.resume_projection(name).await?).into_response())
}

/// What workers fold is changed by the leader, which is asked where this node does not lead; the request itself else.
pub(super) async fn at_home(
    engine: &Engine,
    name: &ProjectionName,
    request: Request,
) -> Result<Result<Request, Response>, ApiError> {
    match engine.workers().is_registered(name).await? {
        true => unless_leading(engine, request).await,
        false => Ok(Ok(request)),
    }
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
    request: Request,
) -> Result<Response, HttpError> {
    let name = ProjectionName::new(name)?;
    if let Err(answer) = at_home(&engine, &name, request).await? {
        return Ok(answer);
    }
    engine.remove_projection(name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
