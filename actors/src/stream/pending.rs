//! Answers that wait until what they rest on is durable. The caller waits, not
//! the actor.

use std::sync::Arc;

use futures::future::BoxFuture;
use weir_types::{AppendAck, AppendError, AppendOutcome, AppendRequest, EventId, Position, StreamVersion};

use super::{
    actor::{StreamPorts, nothing_written, unread},
    digest::digest_of,
    lease::Lease,
    state,
};
use crate::admission::Admitted;

/// What an actor answered.
pub(crate) enum Reply {
    /// Nothing was proposed and the actor decides no more: ask the router again.
    Again,
    /// Refused, finally.
    Refused(AppendError),
    /// The key's outcome, durable.
    Repeated(AppendOutcome),
    /// Proposed; the outcome is to come.
    Proposed(Proposed),
    /// An append with the same key is in flight.
    Sharing(Sharing),
    /// Refused, if what the refusal rests on becomes durable.
    Held(Held),
}

/// How an append ended: with its answer, or with `None` when nothing of it is
/// written and it must be decided once more.
pub(crate) type Settled = Result<Option<AppendAck>, AppendError>;

impl Reply {
    /// Waits until the answer is durable.
    pub(crate) async fn settle(self, ports: &StreamPorts, request: &AppendRequest) -> Settled {
        match self {
            Self::Again => Ok(None),
            Self::Refused(error) => Err(error),
            Self::Repeated(outcome) => repeat(ports, &outcome).await.map(Some),
            Self::Proposed(proposed) => proposed.settle(ports).await,
            Self::Sharing(sharing) => sharing.settle(ports, request).await,
            Self::Held(held) => held.settle(ports, request).await,
        }
    }
}

/// An append in the proposer's hands. Dropped before its outcome is there,
/// because its caller went away, it waits for the outcome in a task of its own.
pub(crate) struct Proposed(Option<InFlight>);

struct InFlight {
    outcome: BoxFuture<'static, Result<AppendOutcome, AppendError>>,
    event_ids: Vec<EventId>,
    last_version: StreamVersion,
    lease: Lease,
    /// Its room on this node is taken as long as it is in the proposer's hands.
    _append: Arc<Admitted>,
}

impl Proposed {
    pub(super) fn new(
        outcome: BoxFuture<'static, Result<AppendOutcome, AppendError>>,
        event_ids: Vec<EventId>,
        last_version: StreamVersion,
        lease: Lease,
        append: Arc<Admitted>,
    ) -> Self {
        Self(Some(InFlight { outcome, event_ids, last_version, lease, _append: append }))
    }

    async fn settle(mut self, ports: &StreamPorts) -> Settled {
        let in_flight = self.0.as_mut().expect("taken only here and by drop");
        let outcome = (&mut in_flight.outcome).await;
        let in_flight = self.0.take().expect("still there");
        in_flight.note(&outcome);
        match outcome? {
            AppendOutcome::Appended { first_version, last_version, first_position } => Ok(Some(AppendAck {
                first_version,
                last_version,
                first_position,
                event_ids: in_flight.event_ids,
                repeated: false,
            })),
            repeated @ AppendOutcome::Repeated { .. } => repeat(ports, &repeated).await.map(Some),
            // Apply is right, and nothing was written: decide on what is there now.
            AppendOutcome::VersionConflict { .. } => Ok(None),
            AppendOutcome::TypeConflict { actual } => Err(AppendError::TypeConflict { actual }),
            AppendOutcome::IdempotencyConflict => Err(AppendError::IdempotencyConflict),
        }
    }
}

impl InFlight {
    /// Moves the durable mark, or retires an actor whose decision did not hold.
    fn note(&self, outcome: &Result<AppendOutcome, AppendError>) {
        match outcome {
            Ok(AppendOutcome::Appended { last_version, .. }) if *last_version == self.last_version => {
                self.lease.note_durable(*last_version);
            }
            _ => self.lease.retire(),
        }
    }
}

impl Drop for Proposed {
    fn drop(&mut self) {
        let Some(mut in_flight) = self.0.take() else { return };
        // When the runtime has ended the task is not run, and nobody is left to know.
        in_flight.lease.runtime().spawn(async move {
            let outcome = (&mut in_flight.outcome).await;
            in_flight.note(&outcome);
        });
    }
}

/// A repeat of an append that is in flight.
pub(crate) struct Sharing {
    pub(super) settled: BoxFuture<'static, Result<(), AppendError>>,
    pub(super) _lease: Lease,
}

impl Sharing {
    async fn settle(self, ports: &StreamPorts, request: &AppendRequest) -> Settled {
        // The first send may be in the log, so a failure here is no "nothing was written".
        self.settled.await.map_err(|error| AppendError::OutcomeUnknown { reason: error.to_string() })?;
        let key = request.idempotency_key.as_ref().expect("only a key is shared");
        let remembered = ports.reader.remembered(ports.group, &request.entity_id, key).await;
        match remembered.map_err(unread)? {
            None => Ok(None),
            Some(known) if known.idempotency.digest != digest_of(request) => {
                Err(AppendError::IdempotencyConflict)
            }
            Some(known) => repeat(ports, &known.outcome).await.map(Some),
        }
    }
}

/// A refusal that waits for what it rests on.
pub(crate) struct Held {
    pub(super) error: AppendError,
    /// The version that makes the refusal right once it is durable; `None` when
    /// it was durable already and only leadership is to be confirmed.
    pub(super) basis: Option<StreamVersion>,
    pub(super) settled: BoxFuture<'static, Result<(), AppendError>>,
    pub(super) lease: Lease,
}

impl Held {
    async fn settle(self, ports: &StreamPorts, request: &AppendRequest) -> Settled {
        self.settled.await.map_err(nothing_written)?;
        if self.basis.is_some_and(|basis| self.lease.durable() >= basis) {
            return Err(self.error);
        }
        // What it rested on may have failed, or another leader may have gone
        // on: the head says what holds.
        let head = ports.reader.head(ports.group, &request.entity_id).await.map_err(unread)?;
        let actual = head.as_ref().map(|head| head.version).unwrap_or_default();
        match state::refusal(request, head.as_ref().map(|head| &head.entity_type), actual) {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }
}

/// Answers with an outcome that is in the log already.
async fn repeat(ports: &StreamPorts, outcome: &AppendOutcome) -> Result<AppendAck, AppendError> {
    let AppendOutcome::Repeated { first_version, last_version, first_position } = *outcome else {
        unreachable!("a remembered outcome is always a repeat")
    };
    let end = first_position.plus(last_version.0 - first_version.0);
    let event_ids = event_ids(ports, first_position, end).await?;
    Ok(AppendAck { first_version, last_version, first_position, event_ids, repeated: true })
}

/// The ids of the events at `first..=last`.
async fn event_ids(
    ports: &StreamPorts,
    first: Position,
    last: Position,
) -> Result<Vec<EventId>, AppendError> {
    let (mut ids, mut next) = (Vec::new(), first);
    while next <= last {
        let limit = (last.0 - next.0 + 1) as usize;
        let page = ports.reader.read_log(ports.group, next, limit).await.map_err(unread)?;
        if page.first().is_none_or(|event| event.position != next) {
            return Err(AppendError::Storage { reason: format!("position {next} is not in the log") });
        }
        next = next.plus(page.len() as u64);
        ids.extend(page.iter().map(|event| event.id));
    }
    Ok(ids)
}
