//! The edge port: HTTP/1.1 and HTTP/2 without TLS, bounded in connections and in patience.

mod held;
mod stall;

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_types::limits;

use self::{held::Held, stall::Stalling};

/// How long a client may take to send a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between pings on an HTTP/2 connection, so that a dead peer frees its slot.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// A connection on which nothing comes for so long is asked for a sign of life, by TCP: a client that is gone
/// without a word is found out so although nothing is sent to it.
const PROBE_AFTER: Duration = Duration::from_secs(30);
/// Between such questions.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Unanswered ones after which it is given up.
const PROBES: u32 = 3;
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
        tune(&socket);
        // It goes with the socket: a WebSocket outlives its connection's HTTP.
        let socket = Stalling::new(socket, limits::SEND_STALL_MAX, Held::new(slot));
        let service = TowerToHyperService::new(router.clone());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(error, "connection ended");
            }
        });
    }
    drop(listener);
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let ended = async {
        graceful.shutdown().await;
        // WebSockets end by themselves, and are no connections of HTTP any more.
        slots.acquire_many(all).await.map(drop)
    };
    if timeout(limits.grace, ended).await.is_err() {
        warn!("connections cut at the end of the grace");
    }
}

fn tune(socket: &TcpStream) {
    // Without it an answer waits for the client's delayed acknowledgement.
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%error, "no TCP_NODELAY");
    }
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    if let Err(error) = SockRef::from(socket).set_tcp_keepalive(&probes) {
        debug!(%error, "no TCP keep-alive");
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
