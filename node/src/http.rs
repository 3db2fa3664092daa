//! The edge: which path leads where. What is common to all requests is in
//! [`guard`]; what is read from them in [`extract`]; how errors look in [`error`].

mod cluster;
pub(crate) mod consumers;
pub(crate) mod error;
mod events_json;
pub(crate) mod extract;
mod fallback;
mod guard;
mod health;
pub(crate) mod kv;
mod log;
mod openapi;
mod outbox;
mod past;
mod projections;
mod rebuilds;
mod routes;
mod rules;
mod snapshots;
mod sql;
mod starting;
mod streams;
pub(crate) mod to_leader;
pub(crate) mod trace;
mod transactions;
pub(crate) mod upcasters;
pub(crate) mod waits;
pub(crate) mod workers;

pub(crate) use starting::Starting;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use weir_api::openapi::Answerer;

use self::routes::routes;
use crate::{engine::Engine, grpc, live};

/// Everything that the edge port answers.
pub fn router(engine: Arc<Engine>, request_timeout: Duration) -> Router {
    let bounded = in_a_cluster(&engine)
        .merge(for_the_leader(&engine))
        .merge(routes(Answerer::Process))
        .merge(routes(Answerer::Connect))
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(from_fn_with_state(request_timeout, guard::limit_time))
        .with_state(engine.clone());
    // A session lives as long as its client wants; it is bounded in messages instead. So is a subscription.
    let unbounded = grpc::routes(engine.clone())
        .merge(live::grpc::routes(engine.clone()))
        .merge(subscriptions().with_state(engine.clone()));
    bounded
        .merge(unbounded)
        .layer(from_fn_with_state(engine, guard::surround))
        .layer(from_fn(guard::allow_origins))
}

/// What goes on as long as its client listens.
fn subscriptions() -> Router<Arc<Engine>> {
    routes(Answerer::Live).method_not_allowed_fallback(fallback::method_not_allowed)
}

/// What only a node of a cluster can answer.
fn in_a_cluster(engine: &Arc<Engine>) -> Router<Arc<Engine>> {
    routes(Answerer::Member).route_layer(from_fn_with_state(engine.clone(), guard::only_in_cluster))
}

/// What only the leader can do or say.
fn for_the_leader(engine: &Arc<Engine>) -> Router<Arc<Engine>> {
    routes(Answerer::Leader)
        .route_layer(from_fn_with_state(engine.clone(), to_leader::pass_on))
        .route_layer(from_fn_with_state(engine.clone(), guard::only_in_cluster))
}
