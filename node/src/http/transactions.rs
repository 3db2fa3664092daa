//! Transactions over REST.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use weir_api::v1::{TransactionBody, TransactionResult, Validated};

use super::{
    error::HttpError,
    extract::{Body, idempotency_key},
    trace::{context_of, trace_transaction},
};
use crate::engine::Engine;

pub(super) async fn transact(
    State(engine): State<Arc<Engine>>,
    headers: HeaderMap,
    Body(body): Body<TransactionBody>,
) -> Result<Response, HttpError> {
    let validate_only = body.validate_only;
    let mut request = body.into_request(engine.group(), idempotency_key(&headers)?)?;
    trace_transaction(context_of(&headers).as_ref(), &mut request);
    if validate_only {
        let position = engine.validate(&request).await??.0;
        return Ok(Json(Validated { valid: true, position }).into_response());
    }
    let ack = engine.transact(request).await?;
    let status = if ack.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(TransactionResult::from(&ack))).into_response())
}
