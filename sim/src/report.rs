//! What a node says of itself.

use weir_api::v1::NodeState;
use weir_check::history::NodeReport;
use weir_node::engine::Engine;

/// The report of a node in its `life`. From memory.
#[must_use]
pub fn report(engine: &Engine, life: u64) -> NodeReport {
    let status = engine.status();
    NodeReport {
        incarnation: life,
        applied_index: status.applied_index,
        position: status.applied_position,
        digest: status.applied_digest,
        term: status.term,
        leader: status.leader,
        leads: status.state == NodeState::Leader,
        ..NodeReport::default()
    }
}
