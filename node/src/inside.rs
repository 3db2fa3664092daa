//! Doors to what is private, for fuzz targets: the edge's paths, queries and
//! bodies, read as its handlers read them, with nothing behind.

use std::fmt::Debug;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::Request,
    routing::{get, post},
};
use futures::FutureExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::de::DeserializeOwned;
use weir_api::{
    ApiError,
    v1::{
        AppendBody, CatchupBatchBody, CatchupQuery, DeployBody, InitBody, ListQuery, LogQuery, MemberBody,
        PartitionsQuery, ReadQuery, TransferBody, ViewQuery, WaitForEventBody, paths,
    },
};
use weir_types::{EntityId, GroupId, ProjectionName, limits};

use crate::http::{
    error::HttpError,
    extract::{Body as Json, Params, Search},
};

/// What is answered: text, or the refusal.
type Answer = Result<String, HttpError>;

/// Answers a request with its status and what was read of it. `None` when the
/// URI is none, which the server below the edge refuses.
///
/// # Panics
/// When a handler waits for anything.
#[must_use]
pub fn ask(method: &str, uri: &str, body: &[u8]) -> Option<(u16, Bytes)> {
    let body = Body::from(Bytes::copy_from_slice(body));
    let request = Request::builder().method(method).uri(uri).body(body).ok()?;
    let answering = TowerToHyperService::new(router()).call(request);
    let response = answering.now_or_never().expect("nothing waits").expect("a router always answers");
    let status = response.status().as_u16();
    let read = to_bytes(response.into_body(), limits::BODY_BYTES_MAX).now_or_never();
    Some((status, read.expect("nothing waits").expect("an answer in memory is read")))
}

fn router() -> Router {
    Router::new()
        .route(paths::STREAMS, get(streams))
        .route(paths::STREAM, get(entity))
        .route(paths::STREAM_EVENTS, get(events).post(append))
        .route(paths::LOG, get(log))
        .route(paths::PROJECTIONS, post(body::<DeployBody>))
        .route(paths::PROJECTION, get(view))
        .route(paths::PROJECTION_PARTITIONS, get(partitions))
        .route(paths::PROJECTION_CATCHUP, get(catchup))
        .route(paths::PROJECTIONS_CATCHUP, post(body::<CatchupBatchBody>))
        .route(paths::PROJECTIONS_WAIT_FOR_EVENT, post(body::<WaitForEventBody>))
        .route(paths::CLUSTER_INIT, post(body::<InitBody>))
        .route(paths::CLUSTER_MEMBERS, post(body::<MemberBody>))
        .route(paths::CLUSTER_MEMBER, get(member))
        .route(paths::CLUSTER_TRANSFER, post(body::<TransferBody>))
}

fn told(value: impl Debug) -> Answer {
    Ok(format!("{value:?}"))
}

async fn entity(Params(id): Params<String>) -> Answer {
    Ok(EntityId::new(id).map_err(ApiError::from)?.as_str().to_owned())
}

async fn events(Params(id): Params<String>, Search(query): Search<ReadQuery>) -> Answer {
    let entity = EntityId::new(id).map_err(ApiError::from)?;
    told((query.to_read(GroupId::DEFAULT, entity)?, query.to_consistency()?, query.to_wait()?))
}

async fn append(Params(id): Params<String>, Json(body): Json<AppendBody>) -> Answer {
    let entity = EntityId::new(id).map_err(ApiError::from)?;
    told(body.into_request(GroupId::DEFAULT, entity, None)?)
}

async fn streams(Search(query): Search<ListQuery>) -> Answer {
    told((query.to_page()?, query.to_consistency()?))
}

async fn log(Search(query): Search<LogQuery>) -> Answer {
    told((query.to_read(GroupId::DEFAULT)?, query.to_consistency()?))
}

async fn view(Params(name): Params<String>, Search(query): Search<ViewQuery>) -> Answer {
    let name = ProjectionName::new(name).map_err(ApiError::from)?;
    told((name, query.to_partition()?, query.to_consistency()?))
}

async fn partitions(Params(name): Params<String>, Search(query): Search<PartitionsQuery>) -> Answer {
    told((ProjectionName::new(name).map_err(ApiError::from)?, query.to_search()?))
}

async fn catchup(Params(name): Params<String>, Search(query): Search<CatchupQuery>) -> Answer {
    told(query.to_wait(&name)?)
}

async fn member(Params(id): Params<u64>) -> Answer {
    told(id)
}

async fn body<T: DeserializeOwned + Debug>(Json(body): Json<T>) -> Answer {
    told(body)
}
