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
        AppendBody, AppendResult, HistoryPage, ListPage, ListQuery, ReadPage, ReadQuery, StateQuery,
        StateView, StreamSummary, Validated,
    },
};
use weir_types::EntityId;

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
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<ReadQuery>,
) -> Result<Response, HttpError> {
    let entity = EntityId::new(id)?;
    let (page, as_of) = engine.page(entity.clone(), &query).await?;
    events_json(&ReadPage::new(&entity, &page, as_of), &page.events)
}

pub(super) async fn history(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<ReadQuery>,
) -> Result<Response, HttpError> {
    let entity = EntityId::new(id)?;
    let (page, _) = engine.page(entity.clone(), &query).await?;
    events_json(&HistoryPage::new(&entity, &page), &page.events)
}

pub(super) async fn info(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<ReadQuery>,
) -> Result<Json<StreamSummary>, HttpError> {
    if !query.to_moment()?.is_now() {
        return Err(ApiError::invalid("what is known of a stream is as of now").into());
    }
    let head = engine.head(&EntityId::new(id)?, query.to_consistency()?).await?;
    let head = head.ok_or_else(ApiError::stream_not_found)?;
    Ok(Json(StreamSummary::from(&head)))
}

pub(super) async fn state(
    State(engine): State<Arc<Engine>>,
    Params(id): Params<String>,
    Search(query): Search<StateQuery>,
) -> Result<Json<StateView>, HttpError> {
    Ok(Json(engine.state(EntityId::new(id)?, &query).await?))
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
