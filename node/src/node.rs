//! One running node, from its plan to its end.

use std::time::Duration;

use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weir_storage::{
    folder::{FolderError, Identity},
    group_store::OpenError,
    log::LogError,
};
use weir_types::{Incarnation, NodeId, with_causes};

use crate::{
    config::{ConfigError, NodePlan},
    http::{self, Starting},
    platform::Platform,
    rejoin,
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
    #[error("{}", with_causes(.0))]
    Folder(#[from] FolderError),
    /// The stores in the data folder cannot be used.
    #[error("{}", with_causes(.0))]
    Store(#[from] OpenError),
    /// The log is damaged, and was not mended.
    #[error("{damaged}; not mended by itself: {reason}")]
    Repair {
        /// The damage.
        damaged: LogError,
        /// Why it was not.
        reason: String,
    },
    /// Another process has this node's seat.
    #[error(
        "node {node} has the seat of this node and still answers, at {address}; stop it, or give this node an id \
         that no other has"
    )]
    SeatTaken {
        /// The id that the process has.
        node: NodeId,
        /// Where it is.
        address: String,
    },
    /// The data folder is of no use, and the cluster does not admit a new one now.
    #[error(
        "{why}; the node does not take its seat again by itself now: {reason}; its folder was not touched"
    )]
    NotSeated {
        /// Why the folder is of no use.
        why: Box<StartError>,
        /// Why no other is admitted.
        reason: String,
    },
    /// The seat of a node that ran is another folder's.
    #[error("the cluster knows this node by another data folder")]
    Superseded,
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
            Self::SeatTaken { .. } => "seat_taken",
            Self::NotSeated { why, .. } => why.code(),
            Self::Superseded => "superseded",
            Self::Part { .. } => "start",
            Self::Failed { .. } => "node_failed",
            Self::NotReady { .. } => "not_ready",
        }
    }

    /// Whether what the log says is lost here, and may be had from others.
    fn is_damage(&self) -> bool {
        matches!(self, Self::Repair { .. } | Self::Store(OpenError::Log(LogError::Damaged { .. })))
    }

    pub(crate) fn part(part: &'static str, error: &dyn std::error::Error) -> Self {
        Self::Part { part, reason: with_causes(error) }
    }
}

/// A node that runs. Dropped without [`RunningNode::stop`], it ends like a crash.
pub struct RunningNode {
    parts: wire::Parts,
    edge: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    closing: CancellationToken,
    address: std::net::SocketAddr,
    plan: NodePlan,
    folder: (Identity, Incarnation),
}

/// Starts a node: ports, then the data folder, then everything on top of it. A
/// folder that is damaged beyond mending is moved aside, when the node can take its seat again.
///
/// # Errors
/// [`StartError`]; when a port is taken, nothing was created.
pub async fn start(plan: NodePlan) -> Result<RunningNode, StartError> {
    match begin(plan.clone()).await {
        Err(error) if error.is_damage() => {
            rejoin::condemn(&plan, error).await?;
            begin(plan).await
        }
        begun => begun,
    }
}

async fn begin(plan: NodePlan) -> Result<RunningNode, StartError> {
    let began = Instant::now();
    let edge = bind(plan.listen).await?;
    let peers = bind_without_listening(plan.peer_listen)?;
    let address = edge.local_addr().map_err(|error| bind_error(plan.listen, &error))?;
    let starting = Starting::answer(&edge).map_err(|error| bind_error(plan.listen, &error))?;
    // Before all that is counted; the parts look their metrics up once.
    let metrics = telemetry::metrics();
    let platform = platform(&plan, peers).await;
    starting.end().await;
    let platform = platform?;
    let (own, incarnation) = (platform.folder.identity(), platform.folder.incarnation());
    let closing = CancellationToken::new();
    let parts = wire::wire(&plan, platform, closing.clone()).await?;
    let limits = ServeLimits {
        connections: plan.limits.connections,
        grace: Duration::from_millis(plan.limits.shutdown_ms / 2),
    };
    let router = http::router(parts.engine.clone(), Duration::from_millis(plan.limits.request_timeout_ms));
    let edge = tokio::spawn(serve(edge, router, limits, closing.clone()));
    let upkeep = tokio::spawn(telemetry::upkeep(metrics));
    let took_ms = began.elapsed().as_millis();
    let (node_id, cluster) = (own.node.0, own.cluster);
    info!(node_id, %cluster, edge = %address, peers = %plan.own.peer, took_ms, "node started");
    Ok(RunningNode { parts, edge, upkeep, closing, address, plan, folder: (own, incarnation) })
}

/// What takes time: the folder may have to wait for its seat, and the log to be mended.
async fn platform(plan: &NodePlan, peers: TcpSocket) -> Result<Platform, StartError> {
    let folder = rejoin::open(plan).await?;
    Platform::real(plan, folder, peers).await
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| bind_error(address, &error))
}

/// Takes a port without answering on it: a peer that dials it is refused at once, and does not wait.
fn bind_without_listening(address: std::net::SocketAddr) -> Result<TcpSocket, StartError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error| bind_error(address, &error))
}

pub(crate) fn bind_error(address: std::net::SocketAddr, error: &std::io::Error) -> StartError {
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

    /// Resolves when the cluster knows this node by another data folder and would admit a new one: then
    /// [`RunningNode::rejoin`] is due.
    pub async fn superseded(&self) {
        rejoin::superseded(&self.plan, self.folder, || self.parts.engine.hears_a_leader()).await;
    }

    /// Stops, moves the data folder aside and starts again, under the id that the cluster gives it. The
    /// folder stays when the cluster has come to think otherwise.
    ///
    /// # Errors
    /// [`StartError`] of the start.
    pub async fn rejoin(self) -> Result<Self, StartError> {
        let plan = self.plan.clone();
        self.stop().await;
        match rejoin::condemn(&plan, StartError::Superseded).await {
            Ok(()) | Err(StartError::NotSeated { .. }) => start(plan).await,
            Err(error) => Err(error),
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
        let Self { parts, edge, upkeep, closing, plan, .. } = self;
        let patience = Duration::from_millis(plan.limits.shutdown_ms);
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
