//! Upcasters of events.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use weir_actors::upcast::{TestStep, Tested};
use weir_api::{
    ApiError, JsonText,
    v1::{RulesResult, UpcastBody, UpcastResult, UpcastStep, UpcasterBody, UpcasterList, UpcasterView},
};
use weir_types::{EventName, ReadError, RulesCommand};

use super::{
    error::HttpError,
    extract::{Body, Params},
};
use crate::engine::Engine;

pub(super) async fn list(State(engine): State<Arc<Engine>>) -> Result<Json<UpcasterList>, HttpError> {
    let all = engine.rules().await?.upcasters;
    let upcasters = all.standing().map(|(set, one)| UpcasterView::new(one, set)).collect();
    Ok(Json(UpcasterList { upcasters, revision: all.revision.0 }))
}

pub(super) async fn get(
    State(engine): State<Arc<Engine>>,
    Params((name, from)): Params<(String, u32)>,
) -> Result<Json<UpcasterView>, HttpError> {
    let (set, upcaster) = engine.upcaster(&EventName::new(name)?, from).await?;
    Ok(Json(UpcasterView::new(&upcaster, set)))
}

pub(super) async fn set(
    State(engine): State<Arc<Engine>>,
    Params((name, from)): Params<(String, u32)>,
    Body(body): Body<UpcasterBody>,
) -> Result<Json<RulesResult>, HttpError> {
    let upcaster = body.into_upcaster(EventName::new(name)?, from, engine.now())?;
    Ok(Json(engine.set_upcaster(upcaster).await?.into()))
}

pub(super) async fn delete(
    State(engine): State<Arc<Engine>>,
    Params((name, from)): Params<(String, u32)>,
) -> Result<StatusCode, HttpError> {
    engine.change_rules(RulesCommand::DeleteUpcaster(EventName::new(name)?, from)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn test(
    engine: State<Arc<Engine>>,
    Params(name): Params<String>,
    Body(body): Body<UpcastBody>,
) -> Result<Json<UpcastResult>, HttpError> {
    try_on(engine, UpcastBody { event_name: Some(name), ..body }).await
}

/// As SDKs of the contract ask for it.
pub(super) async fn upcast(
    engine: State<Arc<Engine>>,
    Body(body): Body<UpcastBody>,
) -> Result<Json<UpcastResult>, HttpError> {
    try_on(engine, body).await
}

async fn try_on(
    State(engine): State<Arc<Engine>>,
    body: UpcastBody,
) -> Result<Json<UpcastResult>, HttpError> {
    Ok(Json(tried(&engine, body).await?.0))
}

/// What came of a try, and why it did not reach the version that was wanted.
pub(crate) async fn tried(
    engine: &Engine,
    body: UpcastBody,
) -> Result<(UpcastResult, Option<ApiError>), ApiError> {
    let given = body.data.clone();
    let (event, to) = body.into_event(engine.now())?;
    let (position, from) = (event.position, event.schema_version);
    let Tested { steps, error } = engine.try_upcasters(event, to).await?;
    let steps: Vec<UpcastStep> = steps.into_iter().map(step).collect();
    let (last, message) = (steps.last(), error.as_ref().map(ToString::to_string));
    let error = error.map(|error| ApiError::from(ReadError::Upcast { position, error }));
    let result = UpcastResult {
        success: error.is_none(),
        data: last.map_or(given, |step| step.data.clone()),
        schema_version: last.map_or(from, |step| step.to_version),
        code: error.as_ref().map(|error| error.code.to_string()),
        error: message,
        steps,
    };
    Ok((result, error))
}

fn step(step: TestStep) -> UpcastStep {
    UpcastStep {
        from_version: step.from,
        to_version: step.to,
        description: step.description,
        data: JsonText::of_stored(&step.data),
    }
}
