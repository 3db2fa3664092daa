//! Asks every node for its state, again and again, as a monitor would.

use std::{collections::BTreeMap, time::Duration};

use weir_api::v1::{ClusterStatus, NodeState, ProjectionStatus};
use weir_check::history::{Call, Checkpoint, NodeReport, Recorder, Seen};

use super::{directory::Directory, stop::Stop};
use crate::edge::Edge;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(500);
/// How long a node may take to answer.
const CALL_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Observes until it is told to stop.
pub async fn observe(nodes: Directory, recorder: Recorder, stop: Stop) {
    let client = u64::MAX;
    while stop.pause(ROUND).await {
        for (seat, edge) in nodes.all() {
            let (since, life) = (recorder.now_us(), nodes.lives(seat));
            let Ok(Some((node, report))) = tokio::time::timeout(CALL_TIMEOUT, report(&edge, life)).await
            else {
                continue;
            };
            // An answer from before a restart must not count for the life after it.
            if nodes.lives(seat) == life {
                recorder.note(client, since, Call::NodeState { node }, Seen::Node(report));
            }
        }
    }
}

/// What a node says of itself, under the id that it has now, if it answers. Nothing while it takes no part:
/// with an empty folder it has no term and no log, until it has its seat again under another id.
pub async fn report(edge: &Edge, life: u64) -> Option<(u64, NodeReport)> {
    let before = checkpoints(edge).await?;
    let status: ClusterStatus = edge.status().await.ok()?;
    if status.state == NodeState::Uninitialized {
        return None;
    }
    let report = NodeReport {
        incarnation: life,
        applied_index: status.applied_index,
        position: status.applied_position,
        digest: status.applied_digest,
        term: status.term,
        leader: status.leader,
        leads: status.state == NodeState::Leader,
        actors: None,
        checkpoints: before,
    };
    Some((status.node_id, report))
}

/// A deployment begins a fold anew: its log index stands for the count of rebuilds.
async fn checkpoints(edge: &Edge) -> Option<BTreeMap<String, Checkpoint>> {
    let one = |status: ProjectionStatus| {
        (status.name, Checkpoint { position: status.checkpoint, rebuilds: status.deployed })
    };
    Some(edge.projections().await.ok()?.into_iter().map(one).collect())
}
