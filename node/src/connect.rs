//! The service `ironflow.v1.EntityStreamService` in the Connect protocol with
//! JSON: what the SDKs of that wire protocol send, and what they match in answers.

pub(crate) mod groups;
pub(crate) mod projections;
pub(crate) mod schemas;
mod workers;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::debug;
use weir_api::{
    ApiError, ErrorCode,
    connect::{
        AppendEventRequest, AppendEventResponse, CreateSnapshotRequest, CreateSnapshotResponse,
        GetEntityHistoryRequest, GetEntityHistoryResponse, GetSnapshotRequest, GetSnapshotResponse,
        GetStreamInfoRequest, GetStreamInfoResponse, ListStreamsRequest, ListStreamsResponse,
        ReadStreamRequest, ReadStreamResponse,
    },
};
use weir_types::{Consistency, EntityId, StreamVersion, TraceContext};

use crate::{
    engine::Engine,
    http::{
        extract::{parse_json, read_body},
        trace::{context_of, trace_append},
    },
};

/// Bytes of one answer to a read that names no limit, which means all events.
const READ_ALL_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(crate) async fn call(
    State(engine): State<Arc<Engine>>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    match answer(&engine, &method, request).await {
        Ok(response) => response,
        Err(error) => refuse(&method, &error),
    }
}

/// The protocol's own shape; a method that is not there is `unimplemented` with the status of a path that is not.
fn refuse(method: &str, error: &ApiError) -> Response {
    let mut response = error.to_connect().into_response();
    match error.code {
        ErrorCode::Unimplemented => {
            debug!(method, "connect method is not served");
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        ErrorCode::UnsupportedMediaType => *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => {}
    }
    response
}

async fn answer(engine: &Engine, method: &str, request: Request) -> Result<Response, ApiError> {
    check_type(&request)?;
    let trace = context_of(request.headers());
    let body = read_body(request).await?;
    engine.must_be_in_cluster()?;
    match method {
        "AppendEvent" => append(engine, &body, trace.as_ref()).await,
        "ReadStream" => read(engine, &body).await,
        "GetStreamInfo" => info(engine, &body).await,
        "ListStreams" => list(engine, &body).await,
        "GetEntityHistory" => history(engine, &body).await,
        "CreateSnapshot" => create_snapshot(engine, &body).await,
        "GetSnapshot" => snapshot(engine, &body).await,
        _ => Err(ApiError::new(ErrorCode::Unimplemented, "method is not served here")),
    }
}

/// JSON or nothing said; protobuf and streaming are other encodings, which this service does not have.
fn check_type(request: &Request) -> Result<(), ApiError> {
    let Some(given) = request.headers().get(CONTENT_TYPE) else { return Ok(()) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(ApiError::new(ErrorCode::UnsupportedMediaType, "content type is not application/json")),
    }
}

fn json(answer: impl Serialize) -> Result<Response, ApiError> {
    Ok(Json(answer).into_response())
}

async fn append(engine: &Engine, body: &Bytes, trace: Option<&TraceContext>) -> Result<Response, ApiError> {
    let request: AppendEventRequest = parse_json(body)?;
    let mut request = request.into_request(engine.group())?;
    trace_append(trace, &mut request);
    let ack = engine.append(request).await?;
    json(AppendEventResponse::from(&ack))
}

/// A stream that is not there has no events, which is no error.
async fn read(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let request: ReadStreamRequest = parse_json(body)?;
    let (mut read, wanted) = request.to_read(engine.group())?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    let mut consistency = Consistency::Linearizable;
    let version = loop {
        if let Some(wanted) = wanted {
            read.limit = read.limit.min(wanted - events.len());
        }
        let page = engine.read(read.clone(), consistency, Duration::ZERO).await?;
        bytes += page.events.iter().map(|event| event.data.len() + event.metadata.len()).sum::<usize>();
        events.extend(page.events);
        let full = wanted.is_some_and(|wanted| events.len() >= wanted);
        match page.next.filter(|_| !full) {
            None => break page.head.map_or(StreamVersion::ZERO, |head| head.version),
            Some(_) if bytes > READ_ALL_BYTES_MAX => return Err(too_much()),
            Some(next) => read.from = Some(next),
        }
        // The first page was fresh; the others continue from what this node has.
        consistency = Consistency::Local;
    };
    json(ReadStreamResponse::new(&events, version))
}

fn too_much() -> ApiError {
    let message =
        format!("stream has over {READ_ALL_BYTES_MAX} bytes: read it in pages with limit and from_version");
    ApiError::new(ErrorCode::TooLarge, message).with("max", READ_ALL_BYTES_MAX)
}

async fn info(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let request: GetStreamInfoRequest = parse_json(body)?;
    let head = engine.head(&request.to_entity_id()?, Consistency::Linearizable).await?;
    json(GetStreamInfoResponse::from(&head.ok_or_else(ApiError::stream_not_found)?))
}

async fn list(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let request: ListStreamsRequest = parse_json(body)?;
    let (entity_type, offset, limit) = request.to_page()?;
    let (heads, total) = engine.list(entity_type.as_ref(), offset, limit, Consistency::Linearizable).await?;
    json(ListStreamsResponse::new(&heads, total))
}

async fn create_snapshot(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let (entity, body) = parse_json::<CreateSnapshotRequest>(body)?.into_body();
    let (snapshot_id, _) = engine.create_snapshot(&EntityId::new(entity)?, body).await?;
    json(CreateSnapshotResponse { snapshot_id })
}

async fn snapshot(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let request: GetSnapshotRequest = parse_json(body)?;
    let before = Some(StreamVersion(request.before_version)).filter(|version| version.0 > 0);
    let entity = EntityId::new(&request.entity_id)?;
    let snapshot = engine.snapshot(&entity, before, Consistency::Linearizable).await?;
    json(GetSnapshotResponse::from(&snapshot))
}

async fn history(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let request: GetEntityHistoryRequest = parse_json(body)?;
    let read = request.to_read(engine.group())?;
    let page = engine.read(read, Consistency::Linearizable, Duration::ZERO).await?;
    if page.head.is_none() {
        return Err(ApiError::stream_not_found());
    }
    json(GetEntityHistoryResponse::from(&page))
}
