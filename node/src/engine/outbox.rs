use weir_actors::{OutboxPhase, RebuildError};
use weir_api::{ApiError, ErrorCode, v1::OutboxStatus};

use super::Engine;

impl Engine {
    /// How far this node's outbox is; only the leader's publishes.
    #[must_use]
    pub fn outbox_status(&self) -> OutboxStatus {
        let Some(outbox) = &self.outbox else { return self.no_outbox() };
        let now = outbox.snapshot();
        let active = now.phase != OutboxPhase::Inactive;
        OutboxStatus {
            active,
            bus: "jetstream".to_owned(),
            published: active.then_some(now.published.0),
            applied: now.applied.0,
            lag: active.then(|| now.lag()),
            error: now.last_error,
        }
    }

    fn no_outbox(&self) -> OutboxStatus {
        let applied = self.ports.reader.applied(self.group).0;
        OutboxStatus {
            active: false,
            bus: "none".to_owned(),
            published: None,
            applied,
            lag: None,
            error: None,
        }
    }

    /// Throws the bus's copy away, so that all is published again.
    ///
    /// # Errors
    /// `not_leader`, `bus_unavailable`, or `unimplemented` when this node has no bus.
    pub async fn rebuild_outbox(&self) -> Result<(), ApiError> {
        let Some(outbox) = &self.outbox else {
            return Err(ApiError::new(
                ErrorCode::Unimplemented,
                "node has no bus: it was started without --nats",
            ));
        };
        outbox.rebuild().await.map_err(|error| match error {
            RebuildError::NotLeader { leader } => {
                let leader = leader.map(|leader| leader.0);
                ApiError::new(ErrorCode::NotLeader, "node does not lead the group").with("leader", leader)
            }
            RebuildError::Bus(error) => error.into(),
            RebuildError::Stopping => ApiError::new(ErrorCode::Unavailable, "outbox is stopping"),
        })
    }
}
