//! Append, read, info, history and list over REST.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use weir_api::{
    ApiError,
    v1::{
        AppendBody, AppendResult, HistoryPage, ListPage, ListQuery, ReadPage, ReadQuery, StreamSummary,
        Validated,
    },
};
use weir_types::{EntityId, StreamPage};

use super::{
    error::HttpError,
    events_json::events_json,
    extract::{Body, Params, Search, idempotency_key},
    trace::{context_of, trace_append},
};
use crate::engine::Engine;

pub(super) async fn append(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    headers: HeaderMap,
    Body(body): Body<AppendBody>,
) -> Result<Response, HttpError> {
    let entity = EntityId::new(id)?;
    let validate_only = body.validate_only;
    let mut request = body.into_request(engine.group(), entity.clone(), idempotency_key(&headers)?)?;
    trace_append(context_of(&headers).as_ref(), &mut request);
    if validate_only {
        let position = engine.validate_append(request).await??.0;
        return Ok(Json(Validated { valid: true, position }).into_response());
    }
    let ack = engine.append(request).await?;
    let status = if ack.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(AppendResult::new(&entity, &ack))).into_response())
}

pub(super) async fn read(
    engine: State<Arc<Engine>>,
    params: Params<String>,
    query: Search<ReadQuery>,
) -> Result<Response, HttpError> {
    let (entity, page) = page(engine, params, query).await?;
    events_json(&ReadPage::new(&entity, &page), &page.events)
}

pub(super) async fn history(
    engine: State<Arc<Engine>>,
    params: Params<String>,
    query: Search<ReadQuery>,
) -> Result<Response, HttpError> {
    let (entity, page) = page(engine, params, query).await?;
    events_json(&HistoryPage::new(&entity, &page), &page.events)
}

async fn page(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<ReadQuery>,
) -> Result<(EntityId, StreamPage), HttpError> {
    let entity = EntityId::new(id)?;
    let read = query.to_read(engine.group(), entity.clone())?;
    let page = engine.read(read, query.to_consistency()?, query.to_wait()?).await?;
    Ok((entity, page))
}

pub(super) async fn info(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<ReadQuery>,
) -> Result<Json<StreamSummary>, HttpError> {
    let head = engine.head(&EntityId::new(id)?, query.to_consistency()?).await?;
    let head = head.ok_or_else(ApiError::stream_not_found)?;
    Ok(Json(StreamSummary::from(&head)))
}

pub(super) async fn list(
    State(engine): State<Arc<Engine>>,
    Search(query): Search<ListQuery>,
) -> Result<Json<ListPage>, HttpError> {
    let (entity_type, offset, limit) = query.to_page()?;
    let consistency = query.to_consistency()?;
    let (heads, total) = engine.list(entity_type.as_ref(), offset, limit, consistency).await?;
    Ok(Json(ListPage::new(&heads, total)))
}
