//! Waits for projections. They last as long as they were asked to, and not as long as other requests may.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use weir_api::{
    ApiError, ErrorCode,
    v1::{CatchupBatchBody, CatchupBatchResult, CatchupQuery, WaitForEventBody, WaitResult},
};

use super::{
    error::HttpError,
    extract::{Params, Search, parse_json, read_body},
};
use crate::engine::Engine;

/// How long a client may take to send its request.
pub(crate) const BODY_WITHIN: Duration = Duration::from_secs(10);

pub(super) async fn one(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<CatchupQuery>,
) -> Result<Json<WaitResult>, HttpError> {
    engine.must_be_in_cluster()?;
    let (wait, within) = query.to_wait(&name)?;
    Ok(Json(engine.wait_for_projection(&wait, within).await?))
}

pub(super) async fn several(
    State(engine): State<Arc<Engine>>,
    request: Request,
) -> Result<Json<CatchupBatchResult>, HttpError> {
    engine.must_be_in_cluster()?;
    let body: CatchupBatchBody = body_of(request).await?;
    let (waits, within) = body.to_waits()?;
    let outcomes = engine.wait_for_projections(&waits, within).await?;
    Ok(Json(CatchupBatchResult { results: outcomes.into_iter().map(Into::into).collect() }))
}

pub(super) async fn for_event(
    State(engine): State<Arc<Engine>>,
    request: Request,
) -> Result<Json<WaitResult>, HttpError> {
    engine.must_be_in_cluster()?;
    let body: WaitForEventBody = body_of(request).await?;
    let (event, name, within) = body.to_wait()?;
    Ok(Json(engine.wait_for_event(event, name, within).await?))
}

/// A body of JSON that is sent in time.
pub(crate) async fn body_of<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let late = |_| ApiError::new(ErrorCode::DeadlineExceeded, "request did not come in time");
    parse_json(&timeout(BODY_WITHIN, read_body(request)).await.map_err(late)??)
}
