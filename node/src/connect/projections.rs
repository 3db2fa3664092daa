//! The service `ironflow.v1.ProjectionService` in the Connect protocol with JSON: reads of states and statuses, waits, and
//! the calls of workers.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use tokio::time::timeout;
use weir_api::{
    ApiError, ErrorCode,
    connect::{
        GetProjectionRequest, GetProjectionResponse, GetProjectionStatusRequest, GetProjectionStatusResponse,
        ListProjectionsRequest, WaitCatchupBatchRequest, WaitCatchupBatchResponse, WaitCatchupRequest,
        WaitCatchupResponse, WaitForEventRequest, WaitFrame,
    },
};
use weir_types::{Consistency, ProjectionName};

use super::{check_type, json, refuse, workers};
use crate::{
    engine::Engine,
    http::{
        extract::{parse_json, read_body},
        waits::{BODY_WITHIN, body_of},
    },
    live::pubsub::{END, STREAMING_JSON, ended, payload, put},
};

/// The one method that streams.
const STREAM: &str = "WaitProjectionCatchupStream";

pub(crate) async fn call(
    State(engine): State<Arc<Engine>>,
    Path(method): Path<String>,
    request: Request,
) -> Response {
    if method == STREAM {
        return streamed(engine, request).await;
    }
    match answer(&engine, &method, request).await {
        Ok(response) => response,
        Err(error) => refuse(&method, &error),
    }
}

async fn answer(engine: &Engine, method: &str, request: Request) -> Result<Response, ApiError> {
    if workers::is_served(method) {
        return workers::answer(engine, method, request).await;
    }
    check_type(&request)?;
    engine.must_be_in_cluster()?;
    match method {
        "GetProjection" => get(engine, request).await,
        "ListProjections" => {
            let asked: ListProjectionsRequest = body_of(request).await?;
            json(asked.page(&engine.projections().await?))
        }
        "GetProjectionStatus" => {
            let asked: GetProjectionStatusRequest = body_of(request).await?;
            let status = engine.projection(&ProjectionName::new(&asked.name)?).await?;
            json(GetProjectionStatusResponse::from(&status))
        }
        "WaitProjectionCatchup" => {
            let (wait, within) = body_of::<WaitCatchupRequest>(request).await?.to_wait()?;
            json(WaitCatchupResponse::from(engine.wait_for_projection(&wait, within).await?))
        }
        "WaitProjectionCatchupBatch" => {
            let (waits, within) = body_of::<WaitCatchupBatchRequest>(request).await?.to_waits()?;
            json(WaitCatchupBatchResponse::new(engine.wait_for_projections(&waits, within).await?))
        }
        "WaitForEvent" => {
            let (event, name, within) = body_of::<WaitForEventRequest>(request).await?.to_wait()?;
            json(WaitCatchupResponse::from(engine.wait_for_event(event, name, within).await?))
        }
        _ => Err(ApiError::new(ErrorCode::Unimplemented, "method is not served here")),
    }
}

async fn get(engine: &Engine, request: Request) -> Result<Response, ApiError> {
    let (name, partition) = body_of::<GetProjectionRequest>(request).await?.to_view()?;
    let (_, view) = engine.view_envelope(&name, &partition, Consistency::Local).await?;
    json(GetProjectionResponse::from(view))
}

/// What goes wrong with a stream is said in its last frame.
async fn streamed(engine: Arc<Engine>, request: Request) -> Response {
    let given = request.headers().get(CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != STREAMING_JSON {
        let message = format!("content type is not {STREAMING_JSON}");
        let error = ApiError::new(ErrorCode::UnsupportedMediaType, message);
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_connect().into_response()).into_response();
    }
    let body = match watch(engine, request).await {
        Ok(frames) => Body::from_stream(frames.map(Ok::<_, Infallible>)),
        Err(error) => Body::from(ended(&error)),
    };
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(STREAMING_JSON));
    response
}

async fn watch(engine: Arc<Engine>, request: Request) -> Result<impl Stream<Item = Bytes> + Send, ApiError> {
    engine.must_be_in_cluster()?;
    let late = |_| ApiError::new(ErrorCode::DeadlineExceeded, "request did not come in time");
    let body = timeout(BODY_WITHIN, read_body(request)).await.map_err(late)??;
    let asked: WaitCatchupRequest = parse_json(payload(&body)?)?;
    let (wait, within) = asked.to_streamed()?;
    let frames = engine.watch_wait(wait, within)?.map(|frame| written(&frame));
    Ok(frames.chain(stream::once(async { last() })))
}

fn written(frame: &WaitFrame) -> Bytes {
    let mut bytes = BytesMut::new();
    put(&mut bytes, 0, &serde_json::to_vec(frame).expect("a frame is always JSON"));
    bytes.freeze()
}

/// The frame that ends a stream which did not fail.
fn last() -> Bytes {
    let mut bytes = BytesMut::new();
    put(&mut bytes, END, b"{}");
    bytes.freeze()
}
