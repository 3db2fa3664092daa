//! The cluster as this node sees it, and changes to it.

use std::sync::Arc;

use axum::{Json, extract::State};
use weir_api::v1::{ClusterStatus, InitBody, MemberBody, TransferBody};

use super::{
    error::HttpError,
    extract::{Body, Params},
};
use crate::engine::Engine;

pub(super) async fn status(State(engine): State<Arc<Engine>>) -> Json<ClusterStatus> {
    Json(engine.status())
}

pub(super) async fn init(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<InitBody>,
) -> Result<Json<ClusterStatus>, HttpError> {
    engine.initialize(body).await?;
    Ok(Json(engine.status()))
}

pub(super) async fn add(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<MemberBody>,
) -> Result<Json<ClusterStatus>, HttpError> {
    engine.add_member(body).await?;
    Ok(Json(engine.status()))
}

pub(super) async fn remove(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<u64>,
) -> Result<Json<ClusterStatus>, HttpError> {
    engine.remove_member(id).await?;
    Ok(Json(engine.status()))
}

pub(super) async fn transfer(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<TransferBody>,
) -> Result<Json<ClusterStatus>, HttpError> {
    engine.transfer(body.to).await?;
    Ok(Json(engine.status()))
}
