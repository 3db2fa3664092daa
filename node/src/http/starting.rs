//! What a node answers before it can answer anything: while it opens its
//! folder, mends its log, or waits for its seat. That may take a minute, and
//! must not look like a process that hangs.

use std::{collections::BTreeMap, io, time::Duration};

use axum::{
    Json, Router,
    http::{StatusCode, Uri},
    middleware::from_fn,
    response::Response,
    routing::get,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use weir_api::{
    ApiError, ErrorCode,
    v1::{Health, paths},
};
use weir_types::ports::Clock as _;

use super::{guard, health};
use crate::{
    clock::SystemClock,
    serve::{ServeLimits, serve},
};

/// How it is told.
const STARTING: &str = "starting";
const WHY: &str = "node is starting: it opens its data folder, mends its log, or waits for its seat";
/// Few ask before a node is there; who asks is answered at once.
const LIMITS: ServeLimits = ServeLimits { connections: 64, grace: Duration::from_millis(200) };

/// Answers on the edge until the node does.
pub struct Starting {
    stop: CancellationToken,
    answering: JoinHandle<()>,
}

impl Starting {
    /// Begins to answer on `edge`, which stays open for who comes after.
    ///
    /// # Errors
    /// When the system does not let the socket be shared.
    pub fn answer(edge: &TcpListener) -> io::Result<Self> {
        let shared = std::os::fd::AsFd::as_fd(edge).try_clone_to_owned()?;
        let shared = TcpListener::from_std(std::net::TcpListener::from(shared))?;
        let stop = CancellationToken::new();
        let answering = tokio::spawn(serve(shared, router(), LIMITS, stop.clone()));
        Ok(Self { stop, answering })
    }

    /// Answers no more. Whoever connects now waits for the node.
    pub async fn end(self) {
        self.stop.cancel();
        // A panic has been told, and nobody needs an answer any more.
        let _ = self.answering.await;
    }
}

fn router() -> Router {
    let alive = || async { Json(told()) };
    let not_ready = || async { (StatusCode::SERVICE_UNAVAILABLE, Json(told())) };
    Router::new()
        .route(paths::HEALTH, get(alive))
        .route(paths::LIVEZ, get(alive))
        .route(paths::READY, get(not_ready))
        .route(paths::READYZ, get(not_ready))
        .fallback(not_yet)
        .layer(from_fn(guard::allow_origins))
}

fn told() -> Health {
    let checks = BTreeMap::from([("start".to_owned(), WHY.to_owned())]);
    health::body(SystemClock.now(), STARTING, checks)
}

async fn not_yet(uri: Uri) -> Response {
    guard::refusal_for(uri.path())(ApiError::new(ErrorCode::Unavailable, WHY))
}
