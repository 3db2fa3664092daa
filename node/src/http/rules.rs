//! Schemas of events, and rules.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use weir_api::v1::{
    EventSchemaBody, EventSchemaList, EventSchemaRegistered, EventSchemaView, EventSchemasQuery, RulesBody,
    RulesList, RulesResult, RulesView,
};
use weir_types::{EntityType, EventName, RulesCommand, RulesError, RulesScope};

use super::{
    error::HttpError,
    extract::{Body, Params, Search},
};
use crate::engine::Engine;

pub(super) async fn register_schema(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<EventSchemaBody>,
) -> Result<(StatusCode, Json<EventSchemaRegistered>), HttpError> {
    let schema = body.into_schema(engine.now())?;
    let (name, version) = (schema.name.clone(), schema.version);
    let changed = engine.register_schema(schema).await?;
    let status = if changed.existed { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(EventSchemaRegistered::new(&name, version, changed))))
}

pub(super) async fn list_schemas(
    State(engine): State<Arc<Engine>>,
    Search(query): Search<EventSchemasQuery>,
) -> Result<Json<EventSchemaList>, HttpError> {
    Ok(Json(query.page(&engine.rules().await?.schemas)?))
}

pub(super) async fn newest_schema(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
) -> Result<Json<EventSchemaView>, HttpError> {
    Ok(Json(EventSchemaView::from(&engine.schema(&EventName::new(name)?, None).await?)))
}

pub(super) async fn schema(
    State(engine): State<Arc<Engine>>,
    Params((name, version)): Params<(String, u32)>,
) -> Result<Json<EventSchemaView>, HttpError> {
    let name = EventName::new(name)?;
    // 0 is the newest, as in the contract.
    let found = engine.schema(&name, Some(version).filter(|version| *version > 0)).await?;
    Ok(Json(EventSchemaView::from(&found)))
}

pub(super) async fn delete_schema(
    State(engine): State<Arc<Engine>>,
    Params((name, version)): Params<(String, u32)>,
) -> Result<StatusCode, HttpError> {
    engine.change_rules(RulesCommand::DeleteSchema(EventName::new(name)?, version)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(State(engine): State<Arc<Engine>>) -> Result<Json<RulesList>, HttpError> {
    let set = engine.rules().await?;
    let view = |(scope, rules, revision): &_| RulesView::new(scope, rules, *revision);
    Ok(Json(RulesList { rules: set.rules.iter().map(view).collect(), revision: set.revision.0 }))
}

pub(super) async fn of_namespace(engine: State<Arc<Engine>>) -> Result<Json<RulesView>, HttpError> {
    of_scope(engine, RulesScope::Namespace).await
}

pub(super) async fn of_type(
    engine: State<Arc<Engine>>,
    Params(entity_type): Params<String>,
) -> Result<Json<RulesView>, HttpError> {
    of_scope(engine, RulesScope::Type(EntityType::new(entity_type)?)).await
}

async fn of_scope(
    State(engine): State<Arc<Engine>>,
    wanted: RulesScope,
) -> Result<Json<RulesView>, HttpError> {
    let set = engine.rules().await?;
    match set.rules.iter().find(|(scope, ..)| *scope == wanted) {
        Some((scope, rules, revision)) => Ok(Json(RulesView::new(scope, rules, *revision))),
        None => Err(RulesError::NotFound.into()),
    }
}

pub(super) async fn set_namespace(
    engine: State<Arc<Engine>>,
    body: Body<RulesBody>,
) -> Result<Json<RulesResult>, HttpError> {
    set(engine, RulesScope::Namespace, body).await
}

pub(super) async fn set_type(
    engine: State<Arc<Engine>>,
    Params(entity_type): Params<String>,
    body: Body<RulesBody>,
) -> Result<Json<RulesResult>, HttpError> {
    set(engine, RulesScope::Type(EntityType::new(entity_type)?), body).await
}

async fn set(
    State(engine): State<Arc<Engine>>,
    scope: RulesScope,
    Body(body): Body<RulesBody>,
) -> Result<Json<RulesResult>, HttpError> {
    Ok(Json(engine.set_rules(scope, body.into()).await?.into()))
}

pub(super) async fn delete_namespace(State(engine): State<Arc<Engine>>) -> Result<StatusCode, HttpError> {
    engine.change_rules(RulesCommand::Delete(RulesScope::Namespace)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn delete_type(
    State(engine): State<Arc<Engine>>,
    Params(entity_type): Params<String>,
) -> Result<StatusCode, HttpError> {
    engine.change_rules(RulesCommand::Delete(RulesScope::Type(EntityType::new(entity_type)?))).await?;
    Ok(StatusCode::NO_CONTENT)
}
