//! The leader puts the incarnations that it meets into the membership.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use openraft::{ChangeMembers, async_runtime::WatchReceiver};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_types::{Incarnation, NodeId};

use super::{Admissions, Admitted};
use crate::{
    member_change,
    types::{PeerNode, Raft, RaftStoredMembership},
};

/// Before a record that did not come about is tried again, e.g. because another change was under way.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Records, while this node leads and until `stop`, the incarnation of every member that has none.
pub(crate) async fn record(
    raft: Raft,
    admissions: Arc<Admissions>,
    outcome_wait_max: Duration,
    stop: CancellationToken,
) {
    let mut met = admissions.met.subscribe();
    let mut server = raft.server_metrics();
    loop {
        let now = server.borrow_and_update().clone();
        let due = match now.state.is_leader() {
            true => due(&now.membership_config, &met.borrow_and_update()),
            false => BTreeMap::new(),
        };
        let recorded = due.is_empty() || propose(&raft, due, outcome_wait_max).await;
        let alive = tokio::select! {
            changed = met.changed() => changed.is_ok(),
            changed = server.changed() => changed.is_ok(),
            () = sleep(RETRY_WAIT), if !recorded => true,
            () = stop.cancelled() => false,
        };
        if !alive {
            return;
        }
    }
}

/// The members that were met and have no incarnation, with theirs.
fn due(membership: &RaftStoredMembership, met: &BTreeMap<NodeId, Incarnation>) -> BTreeMap<u64, PeerNode> {
    let open = membership.nodes().filter(|(_, peer)| !matches!(peer.admitted, Admitted::Only(_)));
    let with_theirs = open.filter_map(|(node, peer)| {
        let admitted = Admitted::Only(*met.get(&NodeId(*node))?);
        Some((*node, PeerNode { admitted, ..peer.clone() }))
    });
    with_theirs.collect()
}

/// Whether it came about.
async fn propose(raft: &Raft, due: BTreeMap<u64, PeerNode>, wait_max: Duration) -> bool {
    let nodes: Vec<u64> = due.keys().copied().collect();
    let changing = timeout(wait_max, member_change::propose(raft, ChangeMembers::SetNodes(due)));
    let node_id = *raft.node_id();
    match changing.await {
        Ok(Ok(_)) => {
            info!(node_id, ?nodes, "data folders of members recorded");
            true
        }
        Ok(Err(error)) => {
            warn!(node_id, ?nodes, %error, "data folders of members not recorded, it is tried again");
            false
        }
        Err(_) => false,
    }
}
