//! The edge port: HTTP/1.1 and HTTP/2 without TLS, bounded in connections and in patience.

mod stall;

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_types::limits;

use self::stall::Stalling;

/// How long a client may take to send a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between pings on an HTTP/2 connection, so that a dead peer frees its slot.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Streams at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 1_024;
/// Flow-control windows of HTTP/2: an append session must not starve at the default of 64 KiB.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// After the listener refused to accept, e.g. for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of the edge port.
#[derive(Debug, Clone, Copy)]
pub struct ServeLimits {
    /// Connections at once; more wait in the kernel's backlog.
    pub connections: usize,
    /// How long requests in flight may take once `stop` is cancelled.
    pub grace: Duration,
}

/// Answers on `listener` until `stop` is cancelled; then takes no new
/// connection, lets the requests in flight finish within the grace, and returns.
pub async fn serve(listener: TcpListener, router: Router, limits: ServeLimits, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let builder = builder();
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let socket = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // Without it an answer waits for the client's delayed acknowledgement.
        if let Err(error) = socket.set_nodelay(true) {
            debug!(%error, "no TCP_NODELAY");
        }
        let socket = Stalling::new(socket, limits::SEND_STALL_MAX);
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            metrics::gauge!("weir_connections").increment(1.0);
            if let Err(error) = connection.await {
                debug!(error, "connection ended");
            }
            metrics::gauge!("weir_connections").decrement(1.0);
            drop(slot);
        });
    }
    drop(listener);
    if timeout(limits.grace, graceful.shutdown()).await.is_err() {
        warn!("connections cut at the end of the grace");
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    builder
}
