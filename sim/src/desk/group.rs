use std::time::Duration;

use weir_api::{
    ApiError, ErrorCode,
    v1::{ConsumerGroupBody, SettlementKind},
};
use weir_types::{ConsumerGroupName, Position};

use super::{Desk, GroupTold, Held, Verdicts};
use crate::{
    folds::{ACCOUNT, TAG},
    plant::Plant,
};

/// The one group.
const NAME: &str = "movers";
/// How long a consumer has for an event: those that are forgotten come again.
const ACK_DEADLINE_MS: u64 = 600;
/// How long a pull waits for events.
const WAIT: Duration = Duration::from_millis(100);
/// Dead letters that are told at once; a run has fewer.
const DEAD_MAX: usize = 1_000;

/// The group is asked where it is served alone: nodes hand on what they are asked over HTTP, which is not simulated.
impl Desk {
    pub(super) async fn make_group(&self) -> Result<(), ApiError> {
        let filter = self.plant != Some(Plant::GroupUnfiltered);
        let body = ConsumerGroupBody {
            name: NAME.to_owned(),
            pattern: format!("entity:{ACCOUNT}.*"),
            filter: filter.then(|| format!("!('{TAG}' in event.tags)")),
            after_position: Some(0),
            ack_deadline_ms: Some(ACK_DEADLINE_MS),
            max_redeliveries: Some(5),
            redeliver_delay_ms: Some(100),
            ..ConsumerGroupBody::default()
        };
        match self.engine.consumers().create(&body).await {
            Err(error) if error.code != ErrorCode::ConsumerGroupExists => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(super) async fn pull(&self, most: usize) -> Result<Vec<Held>, ApiError> {
        let pulled = self.engine.consumers().pull(&ConsumerGroupName::new(NAME)?, most, WAIT).await?;
        let held = |one: weir_actors::consumers::Delivery| Held {
            position: one.event.position.0,
            stream: one.event.entity_id.to_string(),
            attempt: one.attempt,
            desk: pulled.desk,
        };
        Ok(pulled.given.into_iter().map(held).collect())
    }

    /// Whether each is settled or dead for good.
    pub(super) async fn settle(&self, mut verdicts: Verdicts) -> Result<Vec<bool>, ApiError> {
        self.must_decide()?;
        let count = verdicts.len();
        if self.plant == Some(Plant::AckForgotten) {
            verdicts.pop();
        }
        let told = self.engine.settle_consumers(&ConsumerGroupName::new(NAME)?, verdicts).await?;
        let done = |kind: &SettlementKind| {
            matches!(kind, SettlementKind::Settled | SettlementKind::Dead | SettlementKind::AlreadySettled)
        };
        let mut done: Vec<bool> = told.iter().map(done).collect();
        done.resize(count, true);
        Ok(done)
    }

    pub(super) async fn group(&self) -> Result<GroupTold, ApiError> {
        let (name, consumers) = (ConsumerGroupName::new(NAME)?, self.engine.consumers());
        let (_, counts) = consumers.show(&name).await?;
        let dead = consumers.dead_letters(&name, Position(0), DEAD_MAX).await?.dead_letters;
        Ok(GroupTold {
            checkpoint: counts.checkpoint.0,
            open: counts.in_flight + counts.resting + counts.waiting,
            dead: dead.iter().map(|letter| letter.position).collect(),
        })
    }

    fn must_decide(&self) -> Result<(), ApiError> {
        match self.engine.decides() {
            true => Ok(()),
            false => Err(ApiError::new(ErrorCode::NotLeader, "node does not lead the group")),
        }
    }
}
