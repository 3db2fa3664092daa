//! Consumer groups over a WebSocket or a stream: events are pulled from the leader as they come, and what the client
//! says of them is handed on.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::time::{Instant, sleep};
use weir_api::{
    ApiError, ErrorCode,
    connect::WantedGroup,
    v1::{GroupAckMode, SettlementBody, SettlementKind, VerdictKind},
};
use weir_types::{ConsumerGroupName, EventId, FilterText, Pattern, RecordedEvent};

use super::held::{Holding, Holdings};
use crate::engine::{Engine, Taken};

/// Events of one pull.
const PULL_EVENTS: usize = 32;
/// How long one pull waits for an event.
const PULL_WAIT: Duration = Duration::from_secs(20);
/// After a pull that the leader did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How long a verdict is tried to be handed on.
const SETTLE_WITHIN: Duration = Duration::from_secs(15);

/// One client's part in a consumer group. Clones are the same.
#[derive(Clone)]
pub(super) struct Membership {
    engine: Arc<Engine>,
    name: ConsumerGroupName,
    /// Events that the client has, and which delivery of each.
    held: Arc<Mutex<Holdings>>,
    /// Counts what is given over the socket.
    turns: Arc<AtomicU64>,
    /// Whether an event is settled as soon as it is sent.
    pub(super) acks_itself: bool,
}

/// What comes of a pull.
pub(super) enum Given {
    /// An event.
    Event { event: Arc<RecordedEvent>, attempt: u32 },
    /// The last: the group cannot be served.
    Ended(ApiError),
}

impl Membership {
    /// Joins the group that is wanted, which is made if there is none.
    pub(super) async fn join(
        engine: Arc<Engine>,
        wanted: &WantedGroup<'_>,
        turns: Arc<AtomicU64>,
    ) -> Result<Self, ApiError> {
        let name = ConsumerGroupName::new(wanted.name)?;
        let there = engine.join_consumers(&name, wanted).await?;
        if there.pattern != wanted.pattern.as_str() {
            let message = format!("consumer group `{name}` is of another pattern");
            return Err(ApiError::invalid(message).with("pattern", there.pattern));
        }
        let filter = wanted.filter.as_ref().map(FilterText::as_str);
        if filter.is_some() && filter != there.filter.as_deref() {
            let message = format!("consumer group `{name}` has another filter");
            return Err(ApiError::invalid(message).with("filter", there.filter));
        }
        Ok(Self { engine, name, held: Arc::default(), turns, acks_itself: wanted.acks_itself })
    }

    /// Joins a group that is there, and tells its pattern. Without `acks_itself` the group says what settles an event.
    pub(super) async fn of_existing(
        engine: Arc<Engine>,
        name: ConsumerGroupName,
        acks_itself: Option<bool>,
    ) -> Result<(Self, Pattern), ApiError> {
        let group = engine.consumer_group(&name).await?;
        let pattern = Pattern::new(&group.pattern)?;
        let acks_itself = acks_itself.unwrap_or(group.ack_mode != Some(GroupAckMode::Manual));
        let (held, turns) = (Arc::default(), Arc::default());
        Ok((Self { engine, name, held, turns, acks_itself }, pattern))
    }

    /// Events as they come, until the node stops or the group is gone. Failures that pass are waited out.
    pub(super) fn events(&self) -> BoxStream<'static, Given> {
        let pulls = stream::unfold(Some(self.clone()), |state| async move {
            let member = state?;
            let given = member.pull().await;
            let goes_on = !matches!(given.last(), Some(Given::Ended(_)));
            Some((stream::iter(given), goes_on.then_some(member)))
        });
        pulls.flatten().boxed()
    }

    async fn pull(&self) -> Vec<Given> {
        loop {
            let closing = self.engine.closing();
            let pulled = self.engine.pull_consumers(&self.name, PULL_EVENTS, PULL_WAIT);
            let Some(pulled) = closing.run_until_cancelled(pulled).await else {
                return vec![Given::Ended(ApiError::new(ErrorCode::Unavailable, "node is stopping"))];
            };
            match pulled {
                Ok(given) if given.is_empty() => {}
                Ok(given) => {
                    // From here on they are given back if the socket ends, sent or not.
                    given.iter().for_each(|one| self.hold(one));
                    let event = |one: Taken| Given::Event { event: one.event, attempt: one.attempt };
                    return given.into_iter().map(event).collect();
                }
                Err(error) if error.code.is_retryable() => sleep(RETRY_PAUSE).await,
                Err(error) => return vec![Given::Ended(error)],
            }
        }
    }

    /// The client has an event, or is about to.
    fn hold(&self, Taken { event, attempt, desk }: &Taken) {
        let holding = Holding { position: event.position.0, attempt: *attempt, desk: *desk };
        self.held().hold(event.id, holding, self.turns.fetch_add(1, Relaxed));
    }

    /// The client was sent an event.
    pub(super) fn sent(&self, event: EventId) {
        self.held().sent(event);
    }

    /// When the client was given an event, by the count of its socket, if it has it.
    pub(super) fn turn(&self, event: EventId) -> Option<u64> {
        self.held().turn(event)
    }

    /// Takes an event from the client, if it has it.
    pub(super) fn release(&self, event: EventId) -> Option<Holding> {
        self.held().release(event)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Holdings> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what became of an event, again and again while the leader does not answer: a verdict may be said
    /// twice. One that was not taken is an error.
    pub(super) async fn settle(
        &self,
        holding: Holding,
        verdict: VerdictKind,
        delay_ms: Option<u64>,
    ) -> Result<(), ApiError> {
        let one = SettlementBody { delay_ms, ..said(holding, verdict) };
        let until = Instant::now() + SETTLE_WITHIN;
        loop {
            match self.engine.settle_consumers(&self.name, vec![one.clone()]).await {
                Err(error) if error.code.is_retryable() && Instant::now() < until => {
                    if self.engine.closing().run_until_cancelled(sleep(RETRY_PAUSE)).await.is_none() {
                        return Err(error);
                    }
                }
                settled => return settled.and_then(|told| taken(verdict, &told)),
            }
        }
    }

    /// The client is gone: what it has is handed out again at once, and what it was not sent does not count as
    /// handed out.
    pub(super) async fn leave(self) {
        let held = self.held().drain();
        let again = |(holding, sent)| match sent {
            true => SettlementBody { delay_ms: Some(0), ..said(holding, VerdictKind::Nak) },
            false => said(holding, VerdictKind::Release),
        };
        if !held.is_empty() {
            // Its time runs out otherwise, with the same end.
            drop(self.engine.settle_consumers(&self.name, held.into_iter().map(again).collect()).await);
        }
    }
}

fn said(Holding { position, attempt, desk }: Holding, verdict: VerdictKind) -> SettlementBody {
    SettlementBody {
        position,
        attempt: Some(attempt),
        desk: Some(desk).filter(|desk| *desk > 0),
        verdict,
        delay_ms: None,
    }
}

/// Whether a verdict was taken. That an event is settled is what an ack wants, whoever said so first.
fn taken(verdict: VerdictKind, told: &[SettlementKind]) -> Result<(), ApiError> {
    let why = match told.first() {
        Some(SettlementKind::Stale) => "event has been handed out again",
        Some(SettlementKind::NotDelivered) => "event is with no consumer of the group",
        Some(SettlementKind::AlreadySettled) if verdict != VerdictKind::Ack => "event is settled",
        _ => return Ok(()),
    };
    Err(ApiError::new(ErrorCode::NotFound, format!("verdict was not taken: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_was_not_taken_is_told() {
        use SettlementKind as Kind;
        use VerdictKind::{Ack, Nak, Term};
        for (verdict, told, ok) in [
            (Ack, Kind::Settled, true),
            (Ack, Kind::AlreadySettled, true),
            (Ack, Kind::NotDelivered, false),
            (Nak, Kind::Redelivers, true),
            (Nak, Kind::Dead, true),
            (Nak, Kind::Stale, false),
            (Nak, Kind::AlreadySettled, false),
            (Term, Kind::Stale, false),
            (Term, Kind::Dead, true),
        ] {
            assert_eq!(taken(verdict, &[told]).is_ok(), ok, "{verdict:?} {told:?}");
        }
    }
}
