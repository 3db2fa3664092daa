//! The beginning of a cluster.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use weir_raft::{Founders, MembershipError, PeerNode, RaftNode};
use weir_types::NodeId;

use crate::{
    config::{Member, NodePlan},
    node::StartError,
};

/// Between two attempts to begin.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Begins the cluster, if it is to begin and has not. Of several members the
/// one with the lowest id does it, so that it is done once, as soon as all of
/// them run; the start does not wait for that. It is not done when another
/// member holds a log already, or knows this node with another data folder: then
/// this folder is fresh because its data was lost, not because there was none.
/// A majority is not enough: it may be a majority of lost folders.
///
/// # Errors
/// [`StartError::Part`] when Raft refuses a cluster of one.
pub(crate) async fn begin_cluster(
    plan: &NodePlan,
    raft: &Arc<RaftNode>,
    closing: CancellationToken,
) -> Result<(), StartError> {
    let first = plan.members.first().is_some_and(|member| member.node == plan.node);
    let status = raft.status();
    // A node that took its seat again is of a cluster that has begun.
    if !plan.bootstrap || !first || status.initialized() || status.node != plan.node {
        return Ok(());
    }
    let members: BTreeMap<NodeId, PeerNode> = plan.members.iter().map(peer_node).collect();
    if members.len() == 1 {
        return match raft.initialize(members, Founders::All).await {
            Ok(()) | Err(MembershipError::AlreadyInitialized) => Ok(()),
            Err(error) => Err(StartError::part("cluster", &error)),
        };
    }
    let (node, raft) = (plan.node, raft.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = begin_with_others(node, &raft, members) => {}
            () = closing.cancelled() => {}
        }
    });
    Ok(())
}

async fn begin_with_others(node: NodeId, raft: &RaftNode, members: BTreeMap<NodeId, PeerNode>) {
    let mut told = None;
    loop {
        let reason = match raft.initialize(members.clone(), Founders::All).await {
            Ok(()) => return,
            Err(MembershipError::AlreadyInitialized) => {
                info!(node_id = node.0, "cluster has begun already, this node waits to be caught up");
                return;
            }
            Err(reason @ (MembershipError::TooFew { .. } | MembershipError::Refused { .. })) => reason,
            Err(error) => {
                error!(node_id = node.0, %error, "cluster does not begin");
                return;
            }
        };
        if told.as_ref() != Some(&reason) {
            warn!(node_id = node.0, %reason, "cluster does not begin yet, it is tried again");
            told = Some(reason);
        }
        sleep(RETRY_WAIT).await;
    }
}

/// A member as Raft names it.
pub(crate) fn peer_node(member: &Member) -> (NodeId, PeerNode) {
    (member.node, PeerNode::at(&member.peer, member.edge_address()))
}
