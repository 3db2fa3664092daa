//! What openraft knows, as metrics and as a status.

use openraft::{Instant as _, RaftMetrics, ServerState, async_runtime::WatchReceiver};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_types::{ClusterId, GroupId, LogIndex, NodeId, Term, ports::Leadership};

use crate::{
    applied::Applied,
    status::{ClusterStatus, MemberRole, MemberStatus, NodeState},
    types::{self, Raft, TypeConfig},
};

/// The gauges are set at most so often.
const GAUGES_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Keeps the gauges up to date, until `stop`. An unchanged group costs nothing.
pub(crate) async fn publish_gauges(raft: Raft, group: GroupId, stop: CancellationToken) {
    let mut watch = raft.metrics();
    let group = group.to_string();
    loop {
        set_gauges(&group, &watch.borrow_and_update());
        tokio::select! {
            () = sleep(GAUGES_EVERY) => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            changed = watch.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

fn set_gauges(group: &str, now: &RaftMetrics<TypeConfig>) {
    let set = |name: &'static str, value: u64| {
        metrics::gauge!(name, "group" => group.to_owned()).set(value as f64);
    };
    let index = |id: Option<types::RaftLogId>| id.map_or(0, |id| types::log_index(id.index()).0);
    set("weir_raft_is_leader", u64::from(now.state.is_leader()));
    set("weir_raft_term", now.current_term);
    set("weir_raft_commit_index", index(now.local_committed));
    set("weir_raft_applied_index", index(now.last_applied));
}

/// The status of a group, of what its parts say at about the same time.
pub(crate) fn status(
    (cluster, group): (ClusterId, GroupId),
    now: &RaftMetrics<TypeConfig>,
    leadership: Leadership,
    applied: Applied,
) -> ClusterStatus {
    let voters: Vec<u64> = now.membership_config.voter_ids().collect();
    let members = now.membership_config.nodes().map(|(id, peer)| MemberStatus {
        node: NodeId(*id),
        role: if voters.contains(id) { MemberRole::Voter } else { MemberRole::Learner },
        peer_address: peer.peer.clone(),
        edge_address: peer.edge.clone(),
        matched: matched(now, *id),
        silent_ms: silent_ms(now, *id),
    });
    ClusterStatus {
        cluster,
        group,
        node: NodeId(now.id),
        state: match now.state {
            ServerState::Learner => NodeState::Learner,
            ServerState::Follower => NodeState::Follower,
            ServerState::Candidate => NodeState::Candidate,
            ServerState::Leader => NodeState::Leader,
            ServerState::Shutdown => NodeState::Stopped,
        },
        leader: leadership.leader,
        decides: leadership.decides,
        term: Term(now.current_term),
        last_log_index: now.last_log_index.map_or(LogIndex::ZERO, types::log_index),
        committed: now.local_committed.map_or(LogIndex::ZERO, |id| types::log_index(id.index())),
        applied: applied.index(),
        position: applied.position,
        digest: applied.digest,
        stopped: now.running_state.as_ref().err().map(ToString::to_string),
        members: members.collect(),
    }
}

fn matched(now: &RaftMetrics<TypeConfig>, node: u64) -> Option<LogIndex> {
    let replication = now.replication.as_ref()?;
    if node == now.id {
        return now.last_log_index.map(types::log_index);
    }
    let matched = replication.get(&node)?;
    Some(matched.map_or(LogIndex::ZERO, |id| types::log_index(id.index())))
}

fn silent_ms(now: &RaftMetrics<TypeConfig>, node: u64) -> Option<u64> {
    let heartbeat = now.heartbeat.as_ref()?;
    if node == now.id {
        return Some(0);
    }
    let heard = heartbeat.get(&node)?.as_ref()?;
    u64::try_from(heard.elapsed().as_millis()).ok()
}
