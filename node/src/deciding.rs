//! What only the node that leads does, beside appends: desks of consumer groups and of worker-run projections.

use std::{future::ready, time::Duration};

use futures::StreamExt as _;
use tokio::time::timeout;
use weir_api::{ApiError, ErrorCode};
use weir_types::{
    NodeId,
    ports::{Leadership, LeadershipWatch},
};

/// How long a leader may catch up with its log before whoever asks is told to come again.
const PATIENCE: Duration = Duration::from_secs(2);

/// The leadership of this node, which decides. One that leads and still catches up with its log is waited for.
///
/// # Errors
/// `not_leader`, or `unavailable` where it did not catch up in time.
pub(crate) async fn deciding(leadership: &dyn LeadershipWatch, node: NodeId) -> Result<Leadership, ApiError> {
    let catches_up = |seen: &Leadership| ready(!seen.decides && seen.leader == Some(node));
    let mut settled = std::pin::pin!(leadership.changes().skip_while(catches_up));
    let late = |_| ApiError::new(ErrorCode::Unavailable, "the leader is catching up with its log");
    // Without a change any more, Raft has ended.
    let seen = timeout(PATIENCE, settled.next()).await.map_err(late)?.unwrap_or_else(|| leadership.current());
    if seen.decides {
        return Ok(seen);
    }
    let leader = seen.leader.map(|leader| leader.0);
    Err(ApiError::new(ErrorCode::NotLeader, "node does not lead the group").with("leader", leader))
}
