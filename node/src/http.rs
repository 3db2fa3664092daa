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
mod kv;
mod log;
mod outbox;
mod projections;
mod starting;
mod streams;
pub(crate) mod to_leader;
pub(crate) mod trace;
mod transactions;

pub(crate) use starting::Starting;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};
use weir_api::v1::paths;

use crate::{connect, engine::Engine, grpc, live};

/// Everything that the edge port answers.
pub fn router(engine: Arc<Engine>, request_timeout: Duration) -> Router {
    let bounded = in_a_cluster(&engine)
        .merge(cluster_itself())
        .merge(for_the_leader(&engine))
        .merge(health::routes())
        .merge(connect::routes())
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
    Router::new()
        .route(paths::SUBSCRIBE, get(live::sse::by_pattern))
        .route(paths::STREAM_SUBSCRIBE, get(live::sse::by_stream))
        .route(paths::SOCKET, get(live::socket::upgrade))
        .merge(live::pubsub::routes())
        .method_not_allowed_fallback(fallback::method_not_allowed)
}

/// What only a node of a cluster can answer.
fn in_a_cluster(engine: &Arc<Engine>) -> Router<Arc<Engine>> {
    Router::new()
        .route(paths::STREAMS, get(streams::list))
        .route(paths::STREAM, get(streams::info))
        .route(paths::STREAM_EVENTS, get(streams::read).post(streams::append))
        .route(paths::STREAM_HISTORY, get(streams::history))
        .route(paths::TRANSACTIONS, post(transactions::transact))
        .route(paths::KV_BUCKETS, get(kv::list).post(kv::create))
        .route(paths::KV_BUCKET, get(kv::info).delete(kv::remove))
        .route(paths::KV_KEYS, get(kv::keys))
        .route(paths::KV_KEY, get(kv::get).put(kv::put).delete(kv::delete))
        .route(paths::LOG, get(log::read))
        .route(paths::PROJECTIONS, get(projections::list).post(projections::deploy))
        .route(paths::PROJECTION, get(projections::view).delete(projections::remove))
        .route(paths::PROJECTION_STATUS, get(projections::status))
        .route(paths::PROJECTION_PARTITIONS, get(projections::partitions))
        .route_layer(from_fn_with_state(engine.clone(), guard::only_in_cluster))
}

fn cluster_itself() -> Router<Arc<Engine>> {
    Router::new().route(paths::CLUSTER, get(cluster::status)).route(paths::CLUSTER_INIT, post(cluster::init))
}

/// What only the leader can do or say.
fn for_the_leader(engine: &Arc<Engine>) -> Router<Arc<Engine>> {
    Router::new()
        .route(paths::CLUSTER_MEMBERS, post(cluster::add))
        .route(paths::CLUSTER_MEMBER, delete(cluster::remove))
        .route(paths::CLUSTER_TRANSFER, post(cluster::transfer))
        .route(paths::CONSUMER_GROUPS, get(consumers::list).post(consumers::create))
        .route(paths::CONSUMER_GROUP, get(consumers::show).delete(consumers::delete))
        .route(paths::CONSUMER_GROUP_PULL, post(consumers::pull))
        .route(paths::CONSUMER_GROUP_SETTLE, post(consumers::settle))
        .route(paths::CONSUMER_GROUP_DEAD_LETTERS, get(consumers::dead_letters))
        .route(paths::CONSUMER_GROUP_REPLAY, post(consumers::replay))
        .route(paths::OUTBOX, get(outbox::status))
        .route(paths::OUTBOX_REBUILD, post(outbox::rebuild))
        .route_layer(from_fn_with_state(engine.clone(), to_leader::pass_on))
        .route_layer(from_fn_with_state(engine.clone(), guard::only_in_cluster))
}
