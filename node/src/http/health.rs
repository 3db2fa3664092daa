//! Is the process there, may it serve, what can it do, what does it measure.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use weir_api::{
    format_timestamp,
    v1::{Capabilities, Health, Limits},
};
use weir_types::Timestamp;

use crate::{build_info, engine::Engine, family::Family, telemetry};

/// The process answers: that is all that this says.
pub(super) async fn health(State(engine): State<Arc<Engine>>) -> Json<Health> {
    Json(body(engine.now(), "ok", BTreeMap::new()))
}

/// 200 when this node may be sent requests, else 503 with the check that fails.
pub(super) async fn ready(State(engine): State<Arc<Engine>>) -> (StatusCode, Json<Health>) {
    let checks = engine.readiness();
    let failing = checks.iter().any(|(_, state)| state.is_err());
    let words =
        checks.into_iter().map(|(name, state)| (name.to_owned(), state.err().unwrap_or("ok".to_owned())));
    let words = words.collect();
    match failing {
        false => (StatusCode::OK, Json(body(engine.now(), "ok", words))),
        true => (StatusCode::SERVICE_UNAVAILABLE, Json(body(engine.now(), "unavailable", words))),
    }
}

pub(super) fn body(now: Timestamp, status: &str, checks: BTreeMap<String, String>) -> Health {
    Health {
        status: status.to_owned(),
        timestamp: format_timestamp(now),
        version: build_info::VERSION.to_owned(),
        checks,
    }
}

pub(super) async fn metrics(State(engine): State<Arc<Engine>>) -> impl IntoResponse {
    let text = telemetry::metrics().render() + &Family::render(&engine.observe().await);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

pub(super) async fn capabilities() -> Json<Capabilities> {
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    Json(Capabilities {
        transports: words(&["rest", "connect", "grpc", "websocket", "sse"]),
        features: words(&["entity-streams", "projections", "subscriptions", "cluster"]),
        version: build_info::VERSION.to_owned(),
    })
}

pub(super) async fn limits() -> Json<Limits> {
    Json(Limits::default())
}
