//! What a node stands on. A simulation puts its own in the place of each part.

use std::{io, sync::Arc};

use tokio::net::TcpSocket;
use tracing::error;
use uuid::Uuid;
use weir_raft::{PeerNetwork, RaftTiming};
use weir_storage::{
    folder::DataFolder,
    group_store::{GroupStore, Opened},
    log::{LogConfig, LogThread},
};
use weir_types::{GroupId, ports::Clock};

use crate::{
    bus::Bus,
    clock::SystemClock,
    config::NodePlan,
    http_client::{Connections, HttpClient},
    node::{self, StartError},
    repair,
    wire::timing,
};

/// Connections of peers that may wait to be accepted.
const PEERS_WAITING_MAX: u32 = 1_024;

/// Time, chance, network, bus and disk of one node. It is made when the log is whole.
pub struct Platform {
    /// The data folder, open.
    pub folder: DataFolder,
    /// What the folder holds.
    pub stores: Stores,
    /// The way to the peers.
    pub network: PeerNetwork,
    /// The clockwork of Raft.
    pub timing: RaftTiming,
    /// The way to the bus, if it has one.
    pub bus: Option<Bus>,
    /// The way to servers outside, which webhooks are at.
    pub http: Arc<dyn HttpClient>,
    /// What events are recorded by.
    pub clock: Arc<dyn Clock>,
    /// What event ids are drawn from: never the same for two starts.
    pub seed: u128,
}

/// The log and what is made from it, open.
pub struct Stores {
    pub(crate) store: GroupStore,
    /// The last handle of the log's thread: it flushes when it is dropped.
    pub(crate) log_thread: LogThread,
}

impl Platform {
    /// The operating system's. A damaged log is mended first; until it is whole, nobody listens at `peers`.
    ///
    /// # Errors
    /// [`StartError`] of the stores and of the bus; [`StartError::Repair`], [`StartError::Bind`].
    pub(crate) async fn real(
        plan: &NodePlan,
        folder: DataFolder,
        peers: TcpSocket,
    ) -> Result<Self, StartError> {
        let open = async || {
            let thread = LogThread::start(Box::new(end_process));
            let thread = thread.map_err(|error| StartError::part("log", &error))?;
            Stores::open(&folder, LogConfig::default(), thread).await
        };
        let stores = repair::opened(plan, &folder, open).await?;
        let listener = peers.listen(PEERS_WAITING_MAX);
        let listener = listener.map_err(|error| node::bind_error(plan.peer_listen, &error))?;
        let bus = Bus::open(plan, folder.identity().cluster).await?;
        Ok(Self {
            folder,
            stores,
            network: PeerNetwork::tcp(listener),
            timing: timing(plan),
            bus,
            http: Arc::new(Connections::new()),
            clock: Arc::new(SystemClock),
            seed: Uuid::new_v4().as_u128(),
        })
    }
}

impl Stores {
    /// Opens what a folder holds; `thread` writes the log, which is laid out as `log` says.
    ///
    /// # Errors
    /// [`StartError::Store`].
    pub async fn open(folder: &DataFolder, log: LogConfig, thread: LogThread) -> Result<Self, StartError> {
        let (folder, simulated) = (folder.clone(), folder.disk().is_simulated());
        let open = move || {
            // What was missing or damaged has been said by who found it.
            let Opened { store, .. } = GroupStore::open(&folder, GroupId::DEFAULT, log, &thread)?;
            Ok::<_, StartError>(Self { store, log_thread: thread })
        };
        match simulated {
            // Here, so that every run is the same.
            true => open(),
            false => {
                tokio::task::spawn_blocking(open).await.map_err(|error| StartError::part("stores", &error))?
            }
        }
    }
}

/// A failed write or fsync is never tried again: what the disk holds is not
/// known any more. The process ends at once, before anything more is
/// acknowledged, and the next start reads what is there.
fn end_process(error: &io::Error) {
    error!(%error, "log cannot be written; the process ends");
    std::process::abort();
}
