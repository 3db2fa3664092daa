//! What only the node that leads does, beside appends: desks of consumer groups and of worker-run projections.

use std::{future::ready, sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weir_api::{ApiError, ErrorCode};
use weir_raft::BucketReader;
use weir_types::{
    Consistency, GroupId, NodeId,
    ports::{Leadership, LeadershipWatch, Ports},
};

use crate::buckets::Buckets;

/// How long a leader may catch up with its log before whoever asks is told to come again.
const PATIENCE: Duration = Duration::from_secs(2);

/// What every desk is made of.
#[derive(Clone)]
pub(crate) struct DeskParts {
    pub(crate) node: NodeId,
    pub(crate) ports: Ports,
    pub(crate) reader: Arc<BucketReader>,
    pub(crate) buckets: Arc<Buckets>,
    /// Ends the desks, and what waits at them.
    pub(crate) stop: CancellationToken,
}

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

/// As [`deciding`], after all that was acknowledged before is applied here.
///
/// # Errors
/// As [`deciding`], or a read's.
pub(crate) async fn deciding_on_all(ports: &Ports, node: NodeId) -> Result<Leadership, ApiError> {
    ports.reader.ready(GroupId::DEFAULT, Consistency::Linearizable).await?;
    // A leader may have applied all of it, and its leadership be told as not decided yet.
    deciding(&*ports.leadership, node).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use futures::{FutureExt as _, stream, stream::BoxStream};
    use weir_types::{
        Term, Timestamp,
        testing::{Fate, MemoryLog},
    };

    use super::*;

    const ME: NodeId = NodeId(1);

    /// Tells these, one after the other, and then no more.
    struct Told(Vec<Leadership>);

    impl LeadershipWatch for Told {
        fn current(&self) -> Leadership {
            *self.0.last().unwrap()
        }

        fn changes(&self) -> BoxStream<'static, Leadership> {
            stream::iter(self.0.clone()).boxed()
        }
    }

    fn seen(term: u64, leader: Option<u64>, decides: bool) -> Leadership {
        Leadership { term: Term(term), leader: leader.map(NodeId), decides }
    }

    #[tokio::test]
    async fn a_leader_that_catches_up_is_waited_for() {
        let watch = Told(vec![seen(2, Some(1), false), seen(2, Some(1), true)]);
        assert_eq!(deciding(&watch, ME).await.unwrap(), seen(2, Some(1), true));
    }

    #[tokio::test]
    async fn a_leader_that_has_applied_all_and_is_not_told_to_decide_yet_is_waited_for() {
        let (applied, told) = (MemoryLog::led_by(ME), MemoryLog::led_by(ME));
        told.lead(seen(2, Some(1), false), Fate::Lost);
        let ports = Ports { leadership: Arc::new(told.clone()), ..applied.ports(Timestamp(0)) };
        let mut decides = std::pin::pin!(deciding_on_all(&ports, ME));
        assert!(decides.as_mut().now_or_never().is_none());
        told.lead(seen(2, Some(1), true), Fate::Lost);
        assert_eq!(decides.await.unwrap(), seen(2, Some(1), true));
    }

    #[tokio::test]
    async fn whoever_does_not_lead_names_who_does() {
        for (told, named) in [
            (vec![seen(2, Some(3), false)], Some(3)),
            (vec![seen(2, None, false)], None),
            // It lost the lead while it caught up.
            (vec![seen(2, Some(1), false), seen(3, Some(2), false)], Some(2)),
            // Raft ended while it did.
            (vec![seen(2, Some(1), false)], Some(1)),
        ] {
            let refused = deciding(&Told(told), ME).await.unwrap_err();
            assert_eq!(refused.code, ErrorCode::NotLeader);
            assert_eq!(refused.details.get("leader"), Some(&serde_json::json!(named)));
        }
    }
}
