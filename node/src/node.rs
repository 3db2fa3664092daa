//! One running node, from its plan to its end.

use std::time::Duration;

use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weir_storage::{
    folder::{DataFolder, FolderError, Identity},
    group_store::OpenError,
    log::LogError,
};

use crate::{
    config::{ConfigError, NodePlan},
    http,
    platform::Platform,
    serve::{ServeLimits, serve},
    telemetry, wire,
};

/// How long a node may take to be ready where somebody waits for it.
const READY_WAIT: Duration = Duration::from_secs(30);
/// Between two looks at readiness.
const READY_PAUSE: Duration = Duration::from_millis(5);

/// Between two looks at whether the node has failed; reads memory only.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config is not legal.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The process may not have signal handlers.
    #[error("signals cannot be handled: {reason}")]
    Signals {
        /// The operating system's words.
        reason: String,
    },
    /// An address cannot be listened at.
    #[error("cannot listen at {address}: {reason}")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// The operating system's words.
        reason: String,
    },
    /// The data folder cannot be used.
    #[error("{}", chain(.0))]
    Folder(#[from] FolderError),
    /// The stores in the data folder cannot be used.
    #[error("{}", chain(.0))]
    Store(#[from] OpenError),
    /// The log is damaged, and was not mended.
    #[error("{damaged}; not mended by itself: {reason}")]
    Repair {
        /// The damage.
        damaged: LogError,
        /// Why it was not.
        reason: String,
    },
    /// A part did not start.
    #[error("{part} did not start: {reason}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// The node ran, and its Raft has stopped by itself.
    #[error("node has failed: {reason}")]
    Failed {
        /// Why.
        reason: String,
    },
    /// The node started and was not ready in time.
    #[error("node is not ready after {seconds} s: {reason}")]
    NotReady {
        /// How long it had.
        seconds: u64,
        /// The checks that fail.
        reason: String,
    },
}

impl StartError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Signals { .. } => "signals",
            Self::Bind { .. } => "bind",
            Self::Folder(_) => "data_folder",
            Self::Store(_) | Self::Repair { .. } => "store",
            Self::Part { .. } => "start",
            Self::Failed { .. } => "node_failed",
            Self::NotReady { .. } => "not_ready",
        }
    }

    pub(crate) fn part(part: &'static str, error: &dyn std::error::Error) -> Self {
        Self::Part { part, reason: chain(error) }
    }
}

/// An error with its causes, which its own words leave out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A node that runs. Dropped without [`RunningNode::stop`], it ends like a crash.
pub struct RunningNode {
    parts: wire::Parts,
    edge: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    closing: CancellationToken,
    address: std::net::SocketAddr,
    patience: Duration,
}

/// Starts a node: ports, then the data folder, then everything on top of it.
///
/// # Errors
/// [`StartError`]; when a port is taken, nothing was created.
pub async fn start(plan: NodePlan) -> Result<RunningNode, StartError> {
    let began = Instant::now();
    let edge = bind(plan.listen).await?;
    let peers = bind(plan.peer_listen).await?;
    let address = edge.local_addr().map_err(|error| bind_error(plan.listen, &error))?;
    let held = DataFolder::peek(&plan.data_dir)?;
    let cluster = plan.cluster_id(held.map(|identity| identity.cluster))?;
    let folder = DataFolder::open(&plan.data_dir, Identity { cluster, node: plan.node })?;
    let closing = CancellationToken::new();
    // Before the parts, which look their metrics up once.
    let metrics = telemetry::metrics();
    let platform = Platform::real(&plan, folder, peers).await?;
    let parts = wire::wire(&plan, platform, closing.clone()).await?;
    let limits = ServeLimits {
        connections: plan.limits.connections,
        grace: Duration::from_millis(plan.limits.shutdown_ms / 2),
    };
    let router = http::router(parts.engine.clone(), Duration::from_millis(plan.limits.request_timeout_ms));
    let edge = tokio::spawn(serve(edge, router, limits, closing.clone()));
    let upkeep = tokio::spawn(telemetry::upkeep(metrics));
    let took_ms = began.elapsed().as_millis();
    info!(node_id = plan.node.0, cluster = %cluster, edge = %address, peers = %plan.own.peer, took_ms, "node started");
    let patience = Duration::from_millis(plan.limits.shutdown_ms);
    Ok(RunningNode { parts, edge, upkeep, closing, address, patience })
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| bind_error(address, &error))
}

fn bind_error(address: std::net::SocketAddr, error: &std::io::Error) -> StartError {
    StartError::Bind { address, reason: error.to_string() }
}

impl RunningNode {
    /// Where clients are answered.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Waits until the node is ready.
    ///
    /// # Errors
    /// [`StartError::NotReady`] with the checks that fail.
    pub async fn ready(&self) -> Result<(), StartError> {
        let deadline = Instant::now() + READY_WAIT;
        loop {
            let failing: Vec<String> = self
                .parts
                .engine
                .readiness()
                .into_iter()
                .filter_map(|(name, state)| state.err().map(|why| format!("{name}: {why}")))
                .collect();
            if failing.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(StartError::NotReady {
                    seconds: READY_WAIT.as_secs(),
                    reason: failing.join(", "),
                });
            }
            sleep(READY_PAUSE).await;
        }
    }

    /// Resolves when the node's Raft has stopped by itself or its state writes
    /// nothing any more, with the reason: a damaged log, a failed store, a full
    /// disk or a bug. The process should end then; a start reads what is there.
    pub async fn failed(&self) -> String {
        let mut looks = tokio::time::interval(FAILED_PAUSE);
        loop {
            looks.tick().await;
            if let Some(reason) = self.parts.engine.stopped() {
                error!(node_id = self.parts.engine.node().0, reason, "node has failed");
                return reason;
            }
        }
    }

    /// Stops in order: not ready any more, leadership handed over, requests in
    /// flight answered, actors and log ended, index and state flushed. What is
    /// not done in time is left as a crash would leave it.
    pub async fn stop(self) {
        self.stop_in_order(true).await;
    }

    /// As [`RunningNode::stop`], of a node whose whole cluster stops: leadership
    /// is handed to nobody, for whoever took it would stop as well.
    pub async fn stop_with_cluster(self) {
        self.stop_in_order(false).await;
    }

    async fn stop_in_order(self, others_stay: bool) {
        let Self { parts, edge, upkeep, closing, patience, .. } = self;
        let node_id = parts.engine.node().0;
        parts.engine.drain();
        upkeep.abort();
        let orderly = async {
            match others_stay {
                true => parts.hand_over().await,
                false => parts.engine.expect_no_leader(),
            }
            closing.cancel();
            if let Err(error) = edge.await {
                error!(node_id, %error, "edge ended badly");
            }
            parts.stop().await;
        };
        match timeout(patience, orderly).await {
            Ok(()) => info!(node_id, "stopped"),
            Err(_) => warn!(node_id, patience_ms = patience.as_millis(), "stop took too long and is cut"),
        }
    }
}
