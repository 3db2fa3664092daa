//! The service `ironflow.v1.EventSchemaService` in the Connect protocol with JSON.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use bytes::Bytes;
use serde_json::{Map, Value};
use weir_api::{
    ApiError, ErrorCode,
    connect::{
        GetSchemaResponse, ListSchemasRequest, NamedSchemaRequest, RegisterSchemaRequest,
        RegisterSchemaResponse, TestUpcastRequest, TestUpcastResponse,
    },
};
use weir_types::RulesCommand;

use super::{check_type, json, refuse};
use crate::{
    engine::Engine,
    http::{
        extract::{parse_json, read_body},
        upcasters,
    },
};

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

async fn answer(engine: &Engine, method: &str, request: Request) -> Result<Response, ApiError> {
    check_type(&request)?;
    let body = read_body(request).await?;
    engine.must_be_in_cluster()?;
    match method {
        "RegisterSchema" => register(engine, &body).await,
        "GetSchema" => {
            let (name, version) = parse_json::<NamedSchemaRequest>(&body)?.checked()?;
            json(GetSchemaResponse::from(&engine.schema(&name, version).await?))
        }
        "ListSchemas" => {
            let asked: ListSchemasRequest = parse_json(&body)?;
            json(asked.page(&engine.rules().await?.schemas)?)
        }
        "DeleteSchema" => delete(engine, &body).await,
        "TestUpcast" => test(engine, &body).await,
        _ => Err(ApiError::new(ErrorCode::Unimplemented, "method is not served here")),
    }
}

async fn register(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let body = parse_json::<RegisterSchemaRequest>(body)?.into_body()?;
    let changed = engine.register_schema(body.into_schema(engine.now())?).await?;
    json(RegisterSchemaResponse::from(changed))
}

async fn delete(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let (name, version) = parse_json::<NamedSchemaRequest>(body)?.checked()?;
    let version = version.ok_or_else(|| ApiError::invalid("`version` is missing"))?;
    engine.change_rules(RulesCommand::DeleteSchema(name, version)).await?;
    json(Map::<String, Value>::new())
}

/// A chain that fails has no data to be shown: it is an error here, where REST tells the steps before it.
async fn test(engine: &Engine, body: &Bytes) -> Result<Response, ApiError> {
    let body = parse_json::<TestUpcastRequest>(body)?.into_body()?;
    let (result, error) = upcasters::tried(engine, body).await?;
    error.map_or_else(|| json(TestUpcastResponse::from(result)), Err)
}
