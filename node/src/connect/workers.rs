//! The calls of `ironflow.v1.ProjectionService` by which workers fold, and those that change the life of a projection. The
//! leader answers them: another node passes them on.

use axum::{
    body::Bytes,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use weir_api::{
    ApiError, ErrorCode,
    connect::{
        NamedProjectionRequest, OkResponse, PollProjectionRequest, RebuildProjectionRequest,
        RegisterProjectionRequest, SaveProjectionRequest,
    },
};
use weir_types::ProjectionName;

use super::{check_type, json};
use crate::{
    engine::Engine,
    http::{
        extract::{parse_json, read_body},
        to_leader::unless_leading,
        workers::registered,
    },
};

/// What this answers; `StreamProjectionEvents` by saying that workers are to poll.
const METHODS: &[&str] = &[
    "RegisterProjection",
    "UnregisterProjection",
    "PollProjectionEvents",
    "StreamProjectionEvents",
    "SaveProjectionState",
    "AckProjectionEvents",
    "PauseProjection",
    "ResumeProjection",
    "RebuildProjection",
    "GetRebuildJob",
    "CancelRebuild",
];

/// Whether a method of the service is one of a worker.
pub(super) fn is_served(method: &str) -> bool {
    METHODS.contains(&method)
}

/// Answers a method that [`is_served`].
pub(super) async fn answer(engine: &Engine, method: &str, request: Request) -> Result<Response, ApiError> {
    if method == "StreamProjectionEvents" {
        // With this status, and no other, a worker of the contract polls.
        let error =
            ApiError::new(ErrorCode::Unimplemented, "events are polled: PollProjectionEvents waits for them");
        return Ok((StatusCode::NOT_IMPLEMENTED, error.to_connect().into_response()).into_response());
    }
    check_type(&request)?;
    engine.must_be_in_cluster()?;
    let request = match unless_leading(engine, request).await? {
        Ok(request) => request,
        Err(answer) => return Ok(answer),
    };
    let body = read_body(request).await?;
    let workers = engine.workers();
    match method {
        "RegisterProjection" => register(engine, &body).await,
        "UnregisterProjection" => {
            let asked: NamedProjectionRequest = parse_json(&body)?;
            engine.remove_projection(ProjectionName::new(asked.name)?).await?;
            json(json!({}))
        }
        "PollProjectionEvents" => {
            let asked: PollProjectionRequest = parse_json(&body)?;
            json(workers.poll(&asked).await?)
        }
        "SaveProjectionState" => {
            let asked: SaveProjectionRequest = parse_json(&body)?;
            workers.save(&asked).await?;
            json(OkResponse { ok: true })
        }
        "AckProjectionEvents" => {
            let asked: SaveProjectionRequest = parse_json(&body)?;
            workers.save(&SaveProjectionRequest { state: None, ..asked }).await?;
            json(OkResponse { ok: true })
        }
        _ => live(engine, method, &body).await,
    }
}

/// What changes the life of a projection, wherever it is folded, and what is told of it.
async fn live(engine: &Engine, method: &str, body: &Bytes) -> Result<Response, ApiError> {
    let asked: RebuildProjectionRequest = parse_json(body)?;
    let name = ProjectionName::new(&asked.name)?;
    match method {
        "RebuildProjection" => {
            return json(json!({ "job": engine.rebuild(name, &asked.to_body()).await? }));
        }
        "GetRebuildJob" => return json(json!({ "job": engine.rebuild_job(&name).await? })),
        "PauseProjection" => drop(engine.pause_projection(name.clone()).await?),
        "ResumeProjection" => drop(engine.resume_projection(name.clone()).await?),
        _ => engine.cancel_rebuild(name.clone()).await?,
    }
    json(json!({ "status": engine.projection(&name).await?.status }))
}

async fn register(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let asked: RegisterProjectionRequest = parse_json(body)?;
    json(registered(engine, &asked).await?)
}
