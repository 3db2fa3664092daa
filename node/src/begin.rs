//! How a cluster begins, once.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use tracing::{info, warn};
use weir_api::v1::{ClusterStatus, paths};
use weir_raft::{MembershipError, PeerNode, RaftNode};
use weir_types::NodeId;

use crate::{
    ask,
    config::{Member, NodePlan},
    node::StartError,
};

/// How long another member may take to say whether the cluster has begun.
const ASK_WAIT: Duration = Duration::from_millis(750);

/// Begins the cluster, if it is to begin and has not. Of several members the
/// one with the lowest id does it, so that it is done once; and only if no
/// other member knows of a cluster already, for then this node's folder is
/// fresh because its data was lost, not because there was none.
///
/// # Errors
/// [`StartError::Part`] when Raft refuses.
pub(crate) async fn begin_cluster(plan: &NodePlan, raft: &RaftNode) -> Result<(), StartError> {
    let first = plan.members.first().is_some_and(|member| member.node == plan.node);
    if !plan.bootstrap || !first || raft.status().initialized() {
        return Ok(());
    }
    if let Some(by) = begun(plan).await {
        warn!(node_id = plan.node.0, by = by.0, "cluster has begun already, this node waits to be caught up");
        return Ok(());
    }
    let members: BTreeMap<NodeId, PeerNode> = plan.members.iter().map(peer_node).collect();
    match raft.initialize(members).await {
        Ok(()) => Ok(()),
        Err(MembershipError::AlreadyInitialized) => {
            info!(node_id = plan.node.0, "cluster had begun before");
            Ok(())
        }
        Err(error) => Err(StartError::part("cluster", &error)),
    }
}

/// A member that says that the cluster has begun.
async fn begun(plan: &NodePlan) -> Option<NodeId> {
    let others = plan.members.iter().filter(|member| member.node != plan.node);
    let asked = others.map(|member| async {
        let (_, body) = ask::get(member.edge_address(), paths::CLUSTER, ASK_WAIT).await?;
        let status: ClusterStatus = serde_json::from_slice(&body).ok()?;
        (!status.members.is_empty()).then_some(member.node)
    });
    join_all(asked).await.into_iter().flatten().next()
}

/// A member as Raft names it.
pub(crate) fn peer_node(member: &Member) -> (NodeId, PeerNode) {
    (member.node, PeerNode { peer: member.peer.clone(), edge: member.edge_address().to_owned() })
}
