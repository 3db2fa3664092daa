//! Mending a log that does not open, with the records of the peers.
//!
//! It runs before Raft does: a node with a damaged log is in quarantine. It
//! answers no peer, votes for nobody and serves nothing until its log is whole.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use weir_storage::{
    folder::DataFolder,
    index::Index,
    log::{LogDamage, LogError, LogRecord, MendError},
};
use weir_types::{GroupId, LogIndex, NodeId};

use crate::{
    membership_record,
    network::{Myself, TcpDialer, fetch},
};

/// How long the peers may take to have the records: they may be starting too.
const PEERS_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long one peer may take to give them.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(10);
/// After which the next peer is asked too: one that is silent must not hold the others up.
const TURN: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(500);

/// What a log is mended with.
#[derive(Debug)]
pub struct RepairOptions {
    /// The folder with the log, which must not be open.
    pub folder: DataFolder,
    /// The group.
    pub group: GroupId,
    /// A checksum of the settings that must be equal on all nodes.
    pub config_checksum: u64,
    /// Where peers are, by the config, `host:port` each; those of the last known membership are asked too.
    pub peers: BTreeSet<String>,
}

/// Why a log was not mended.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It is damaged in a way that no record of a peer puts right.
    #[error("log cannot be mended in place: {0}")]
    Log(#[from] LogError),
    /// No peer gave the records.
    #[error("no peer gave the records {from} to {last}: {reason}")]
    NoPeer {
        /// The first record that is needed.
        from: LogIndex,
        /// The last.
        last: LogIndex,
        /// What each peer said.
        reason: String,
    },
    /// What the peers gave does not fit.
    #[error(transparent)]
    Unfit(#[from] MendError),
    /// The same place is damaged again after it was mended.
    #[error("log file {} is damaged at byte {offset} again after it was mended: its disk fails", file.display())]
    Again {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
    },
    /// The runtime stopped.
    #[error("repair was ended: {reason}")]
    Ended {
        /// Why.
        reason: String,
    },
}

/// Mends what is damaged in a group's log, one place after the other, and says
/// how many there were. Waits up to a minute for peers that have the records.
///
/// # Errors
/// [`RepairError`]. What was mended by then stays so.
pub async fn repair(options: &RepairOptions) -> Result<usize, RepairError> {
    let (folder, group) = (&options.folder, options.group);
    let peers = peers(options).await?;
    let mut places: Vec<(PathBuf, u64)> = Vec::new();
    loop {
        let searched = folder.clone();
        let Some(damage) = off_runtime(move || LogDamage::find(&searched, group)).await?? else {
            return Ok(places.len());
        };
        let place = (damage.file().to_path_buf(), damage.offset());
        if places.contains(&place) {
            return Err(RepairError::Again { file: place.0, offset: place.1 });
        }
        mend(options, damage, &peers).await?;
        places.push(place);
    }
}

async fn mend(
    options: &RepairOptions,
    damage: LogDamage,
    peers: &BTreeSet<String>,
) -> Result<(), RepairError> {
    let node_id = options.folder.identity().node.0;
    let (file, offset) = (damage.file().display().to_string(), damage.offset());
    let needs = damage.needs();
    let (from, until) = needs.map_or((0, 0), |(from, until)| (from.0, until.0));
    warn!(node_id, file, offset, from, until, "log is damaged, the node is in quarantine until it is mended");
    let (records, peer) = match needs {
        Some(range) => obtain(options, range, peers).await?,
        None => (Vec::new(), None),
    };
    off_runtime(move || damage.mend(&records)).await??;
    metrics::counter!("weir_log_repairs_total", "group" => options.group.to_string()).increment(1);
    let peer = peer.map(|peer: NodeId| peer.0);
    info!(node_id, file, offset, from, until, peer, "damage in the log was mended and verified");
    Ok(())
}

/// Asks the peers, each a little after the one before, until one has all of the records.
async fn obtain(
    options: &RepairOptions,
    (from, until): (LogIndex, LogIndex),
    peers: &BTreeSet<String>,
) -> Result<(Vec<LogRecord>, Option<NodeId>), RepairError> {
    let identity = options.folder.identity();
    let myself = Myself {
        cluster: identity.cluster,
        node: identity.node,
        incarnation: options.folder.incarnation(),
        config: options.config_checksum,
        silence_max: FETCH_WAIT_MAX,
        dialer: Arc::new(TcpDialer),
    };
    let deadline = Instant::now() + PEERS_WAIT_MAX;
    loop {
        let mut said = Vec::new();
        let mut asked: FuturesUnordered<_> = (0..)
            .zip(peers)
            .map(|(turn, address)| {
                let asked = fetch(&myself, address, (options.group, (from, until)), FETCH_WAIT_MAX);
                async move {
                    sleep(TURN * turn).await;
                    (address, asked.await)
                }
            })
            .collect();
        while let Some((address, answer)) = asked.next().await {
            match answer {
                Ok((peer, records)) => return Ok((records, Some(peer))),
                Err(reason) => said.push(format!("{address}: {reason}")),
            }
        }
        if peers.is_empty() || Instant::now() >= deadline {
            let reason = if said.is_empty() { "no peers are known".into() } else { said.join("; ") };
            return Err(RepairError::NoPeer { from, last: LogIndex(until.0 - 1), reason });
        }
        sleep(PAUSE).await;
    }
}

/// Where the other members are, by the membership that the index holds and by the config.
async fn peers(options: &RepairOptions) -> Result<BTreeSet<String>, RepairError> {
    let (dir, group) = (options.folder.index_dir(), options.group);
    let known = off_runtime(move || {
        // Opening would make it.
        let mark = dir.is_dir().then(|| Index::open(&dir, group).ok()?.applied().ok()?)??;
        membership_record::decode(mark.membership).ok()
    });
    let mut peers = options.peers.clone();
    if let Some(membership) = known.await? {
        let own = options.folder.identity().node;
        let others = membership.nodes().filter(|(node, _)| NodeId(**node) != own);
        peers.extend(others.map(|(_, peer)| peer.peer.clone()));
    }
    Ok(peers)
}

async fn off_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RepairError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| RepairError::Ended { reason: error.to_string() })
}
