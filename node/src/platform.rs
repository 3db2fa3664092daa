//! What a node stands on. A simulation puts its own in the place of each part.

use std::{io, sync::Arc};

use tokio::net::TcpListener;
use tracing::error;
use uuid::Uuid;
use weir_raft::{PeerNetwork, RaftTiming};
use weir_storage::{
    folder::DataFolder,
    log::{LogConfig, LogThread},
};
use weir_types::ports::Clock;

use crate::{clock::SystemClock, config::NodePlan, wire::timing};

/// Makes the thread that writes the log, or what stands for it.
pub type LogThreads = Arc<dyn Fn() -> io::Result<LogThread> + Send + Sync>;

/// Time, chance, network and disk of one node.
pub struct Platform {
    /// The data folder, open.
    pub folder: DataFolder,
    /// How the log is written.
    pub log_threads: LogThreads,
    /// How the log is laid out.
    pub log: LogConfig,
    /// The way to the peers.
    pub network: PeerNetwork,
    /// The clockwork of Raft.
    pub timing: RaftTiming,
    /// What events are recorded by.
    pub clock: Arc<dyn Clock>,
    /// What event ids are drawn from: never the same for two starts.
    pub seed: u128,
}

impl Platform {
    /// The operating system's.
    pub(crate) fn real(plan: &NodePlan, folder: DataFolder, peers: TcpListener) -> Self {
        Self {
            folder,
            log_threads: Arc::new(|| LogThread::start(Box::new(end_process))),
            log: LogConfig::default(),
            network: PeerNetwork::tcp(peers),
            timing: timing(plan),
            clock: Arc::new(SystemClock),
            seed: Uuid::new_v4().as_u128(),
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
