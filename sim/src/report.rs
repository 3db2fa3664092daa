//! What a node says of itself.

use weir_api::v1::{NodeState, ProjectionStatus};
use weir_check::history::{Checkpoint, NodeReport};
use weir_node::engine::Engine;

/// The report of a node in its `life`.
pub async fn report(engine: &Engine, life: u64) -> NodeReport {
    let status = engine.status();
    // A node that ends tells of none.
    let projections = engine.projections().await.unwrap_or_default();
    // A deployment begins a fold anew: its log index stands for the count of rebuilds.
    let checkpoint =
        |one: ProjectionStatus| (one.name, Checkpoint { position: one.checkpoint, rebuilds: one.deployed });
    NodeReport {
        incarnation: life,
        applied_index: status.applied_index,
        position: status.applied_position,
        digest: status.applied_digest,
        term: status.term,
        leader: status.leader,
        leads: status.state == NodeState::Leader,
        checkpoints: projections.into_iter().map(checkpoint).collect(),
        ..NodeReport::default()
    }
}
