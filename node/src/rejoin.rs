//! A node whose folder was wiped, or cannot be mended, takes its seat again.
//!
//! Nothing is moved before a leader that a quorum confirms would admit a new
//! folder: then a majority holds all that was acknowledged. Nothing is deleted.

use std::{path::PathBuf, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::{info, warn};
use weir_raft::{JoinOptions, PeerNode, Standing, ask_for_seat};
use weir_storage::folder::{DataFolder, FolderError, Identity};
use weir_types::{ClusterId, Incarnation, NodeId};

use crate::{
    config::{NodePlan, Repair},
    node::StartError,
};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a node waits for a leader before it starts as it is, and looks on from there.
const NO_LEADER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long it waits for its time to come.
const LATER_WAIT_MAX: Duration = Duration::from_secs(60);
/// How long whoever had the folder open may take to let it go.
const RELEASE_WAIT_MAX: Duration = Duration::from_secs(10);

impl NodePlan {
    /// Whether the node takes its seat again by itself.
    pub(crate) fn rejoins(&self) -> bool {
        self.repair == Repair::Auto
            && self.other_peers().next().is_some()
            && self.node <= NodeId::CONFIGURED_MAX
    }

    /// The longest silence of a member that counts as healthy.
    fn silence_max(&self) -> Duration {
        Duration::from_millis(self.shared.election_timeout_max_ms) * 2
    }

    /// What its peers are asked with.
    pub(crate) fn asking(&self, cluster: ClusterId, incarnation: Option<Incarnation>) -> JoinOptions {
        JoinOptions {
            cluster,
            config_checksum: self.shared.checksum(),
            seat: self.node,
            incarnation,
            own: PeerNode::at(&self.own.peer, self.own.edge_address()),
            peers: self.other_peers().map(str::to_owned).collect(),
        }
    }

    fn identity(&self) -> Result<Identity, StartError> {
        let held = DataFolder::peek(&self.data_dir)?;
        Ok(Identity { cluster: self.cluster_id(held.map(|identity| identity.cluster))?, node: self.node })
    }
}

/// Opens the data folder, a fresh one under the id that the cluster has for it.
///
/// # Errors
/// [`StartError::Folder`], [`StartError::SeatTaken`], [`StartError::NotSeated`].
pub(crate) async fn open(plan: &NodePlan) -> Result<DataFolder, StartError> {
    let open = || Ok::<_, StartError>(DataFolder::open(&plan.data_dir, plan.identity()?)?);
    let folder = match open() {
        Err(error @ StartError::Folder(FolderError::Damaged { .. })) => {
            condemn(plan, error).await?;
            open()?
        }
        opened => opened?,
    };
    match plan.rejoins() && folder.is_fresh()? {
        true => take_seat(plan, folder).await,
        false => Ok(folder),
    }
}

/// Asks for the seat until the folder has it, or until it is known that nobody else has.
async fn take_seat(plan: &NodePlan, folder: DataFolder) -> Result<DataFolder, StartError> {
    let own = folder.identity();
    let asking = plan.asking(own.cluster, Some(folder.incarnation()));
    let began = Instant::now();
    let mut told = None;
    loop {
        let standing = ask_for_seat(&asking, true).await;
        let wait_max = match &standing {
            Standing::Member(node) if *node == own.node => return Ok(folder),
            Standing::Member(node) => return seated(plan, folder, *node),
            Standing::Open | Standing::NoCluster => return Ok(folder),
            Standing::NoLeader => NO_LEADER_WAIT_MAX,
            Standing::Free | Standing::Later(_) => LATER_WAIT_MAX,
            // A process that has just ended is still taken for one that answers.
            Standing::Taken { .. } => plan.silence_max() + NO_LEADER_WAIT_MAX,
        };
        if began.elapsed() >= wait_max {
            return match standing {
                Standing::Taken { node, address } => Err(StartError::SeatTaken { node, address }),
                // It starts, is refused, and looks on while it runs.
                _ => Ok(folder),
            };
        }
        let reason = words(&standing);
        if told.as_ref() != Some(&reason) {
            warn!(node_id = plan.node.0, reason, "node waits for its seat");
            told = Some(reason);
        }
        sleep(PAUSE).await;
    }
}

fn seated(plan: &NodePlan, folder: DataFolder, node: NodeId) -> Result<DataFolder, StartError> {
    let folder = folder.seated(node)?;
    info!(
        node_id = node.0,
        seat = plan.node.0,
        incarnation = %folder.incarnation(),
        "node takes its seat again under a new id, its log comes from its peers"
    );
    Ok(folder)
}

/// Moves aside a folder that is of no use, as soon as a new one would be admitted.
///
/// # Errors
/// `why` it is of no use, when the node is not to take its seat again by itself;
/// [`StartError::NotSeated`] with it when the cluster cannot admit it now.
pub(crate) async fn condemn(plan: &NodePlan, why: StartError) -> Result<(), StartError> {
    let held = || DataFolder::peek(&plan.data_dir).ok().flatten().map(|identity| identity.cluster);
    let Some(cluster) = plan.cluster.or_else(held).filter(|_| plan.rejoins()) else {
        return Err(why);
    };
    warn!(node_id = plan.node.0, reason = %why, "data folder is of no use, the node asks for its seat again");
    let asking = plan.asking(cluster, None);
    let deadline = Instant::now() + plan.silence_max() + NO_LEADER_WAIT_MAX;
    loop {
        match ask_for_seat(&asking, false).await {
            Standing::Free => break,
            standing if Instant::now() >= deadline => {
                return Err(StartError::NotSeated { why: Box::new(why), reason: words(&standing) });
            }
            _ => sleep(PAUSE).await,
        }
    }
    let moved_to = set_aside(plan).await?;
    let moved_to = moved_to.display().to_string();
    metrics::counter!("weir_folders_set_aside_total").increment(1);
    warn!(node_id = plan.node.0, moved_to, "data folder is moved aside, the node begins anew");
    Ok(())
}

async fn set_aside(plan: &NodePlan) -> Result<PathBuf, StartError> {
    let deadline = Instant::now() + RELEASE_WAIT_MAX;
    loop {
        match DataFolder::set_aside(&plan.data_dir) {
            Err(FolderError::Locked { .. }) if Instant::now() < deadline => sleep(PAUSE).await,
            done => return Ok(done?),
        }
    }
}

/// Resolves when the seat of a node that runs is another folder's, and a new folder would be admitted. Asks
/// only while the node has heard no leader for long; pends for ever when it is not to take its seat again.
pub(crate) async fn superseded(
    plan: &NodePlan,
    (own, incarnation): (Identity, Incarnation),
    hears_a_leader: impl Fn() -> bool,
) {
    let asking = plan.asking(own.cluster, Some(incarnation));
    let mut alone_since = Instant::now();
    let mut told = None;
    loop {
        sleep(PAUSE).await;
        if !plan.rejoins() || hears_a_leader() {
            alone_since = Instant::now();
            continue;
        }
        if alone_since.elapsed() < plan.silence_max() {
            continue;
        }
        let reason = match ask_for_seat(&asking, false).await {
            Standing::Free => return,
            Standing::Member(node) if node != own.node => return,
            standing @ (Standing::Later(_) | Standing::Taken { .. }) => words(&standing),
            _ => continue,
        };
        if told.as_ref() != Some(&reason) {
            warn!(node_id = own.node.0, seat = plan.node.0, reason, "seat of this node is another folder's");
            told = Some(reason);
        }
    }
}

fn words(standing: &Standing) -> String {
    match standing {
        Standing::Member(node) => format!("the folder is that of node {node}"),
        Standing::Open => "the cluster has no such member, or waits for its first folder".into(),
        Standing::Free => "the seat is free".into(),
        Standing::Later(reason) => reason.clone(),
        Standing::Taken { node, address } => {
            format!("node {node} has the seat and still answers, at {address}")
        }
        Standing::NoLeader => "no leader answers that a majority of the voters confirms".into(),
        Standing::NoCluster => "no peer that answers is in a cluster".into(),
    }
}
