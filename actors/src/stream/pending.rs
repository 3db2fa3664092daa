//! Answers that wait until what they rest on is durable. The caller waits, not
//! the actor.

use std::sync::Arc;

use futures::future::BoxFuture;
use weir_types::{
    AppendAck, AppendError, AppendOutcome, AppendRequest, EventId, Planted, Position, StreamVersion, Term,
    WriteOutcome, planted,
};

use super::{
    actor::{StreamPorts, nothing_written, unread},
    digest::digest_of,
    lease::Lease,
    message::Answer,
    state,
};
use crate::admission::Admitted;

/// What an actor answered.
pub(crate) enum Reply {
    /// Nothing is written and the actor decides no more: ask the router again.
    Again,
    /// Refused, finally.
    Refused(AppendError),
    /// Written, durable.
    Appended(AppendAck),
    /// The key's outcome, durable.
    Repeated(AppendOutcome),
    /// An append with the same key is in flight.
    Sharing(Sharing),
    /// Refused, if what the refusal rests on becomes durable.
    Held(Held),
}

/// How an append ended: with its answer, or with `None` when nothing of it is
/// written and it must be decided once more.
pub(crate) type Settled = Result<Option<AppendAck>, AppendError>;

impl Reply {
    /// The answer to an append that apply has judged so.
    fn to(outcome: Result<AppendOutcome, AppendError>, event_ids: Vec<EventId>) -> Self {
        match outcome {
            Ok(AppendOutcome::Appended { first_version, last_version, first_position }) => {
                let repeated = false;
                Self::Appended(AppendAck { first_version, last_version, first_position, event_ids, repeated })
            }
            Ok(repeated @ AppendOutcome::Repeated { .. }) => Self::Repeated(repeated),
            // Apply is right, and nothing was written: decide on what is there now.
            Ok(AppendOutcome::VersionConflict { .. } | AppendOutcome::JudgedOnOther) => Self::Again,
            Ok(AppendOutcome::TypeConflict { actual }) => Self::Refused(AppendError::TypeConflict { actual }),
            Ok(AppendOutcome::IdempotencyConflict) => Self::Refused(AppendError::IdempotencyConflict),
            Err(error) => Self::Refused(error),
        }
    }

    /// Waits until the answer is durable.
    pub(crate) async fn settle(self, ports: &StreamPorts, request: &AppendRequest) -> Settled {
        match self {
            Self::Again => Ok(None),
            Self::Refused(error) => Err(error),
            Self::Appended(ack) => Ok(Some(ack)),
            Self::Repeated(outcome) => repeat(ports, &outcome).await.map(Some),
            Self::Sharing(sharing) => sharing.settle(ports, request).await,
            Self::Held(held) => held.settle(ports, request).await,
        }
    }
}

/// An append in the proposer's hands. Nobody needs to wait for it: its caller
/// may go away. Dropped untold, it leaves an actor that decides no more.
pub(super) struct Proposed(Option<InFlight>);

pub(super) struct InFlight {
    pub(super) event_ids: Vec<EventId>,
    pub(super) last_version: StreamVersion,
    pub(super) lease: Lease,
    pub(super) answer: Answer,
    /// Its room on this node is taken as long as it is in the proposer's hands.
    pub(super) _append: Arc<Admitted>,
}

impl Proposed {
    pub(super) fn new(mut in_flight: InFlight) -> Self {
        in_flight.answer.proposing();
        Self(Some(in_flight))
    }

    /// Moves the durable mark, or retires an actor whose decision did not hold, and answers.
    pub(super) fn settle(mut self, outcome: Result<WriteOutcome, AppendError>) {
        let outcome = outcome.map(|outcome| match outcome {
            WriteOutcome::Append(outcome) => outcome,
            other => unreachable!("an append was answered with {other:?}"),
        });
        let InFlight { event_ids, last_version, lease, answer, .. } = self.0.take().expect("told once");
        // Before the caller can come back: it must not meet an actor whose decision did not hold.
        match &outcome {
            Ok(AppendOutcome::Appended { last_version: actual, .. }) if *actual == last_version => {
                lease.note_durable(last_version);
            }
            _ => lease.retire(),
        }
        drop(lease);
        answer.send(Reply::to(outcome, event_ids));
    }
}

impl Drop for Proposed {
    fn drop(&mut self) {
        if let Some(in_flight) = &self.0 {
            in_flight.lease.retire();
        }
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
        let key = request.key().expect("only a key is shared");
        let remembered = ports.reader.remembered(ports.group, &request.entity_id, &key).await;
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
    /// The term in which it was decided.
    pub(super) term: Term,
    pub(super) settled: BoxFuture<'static, Result<(), AppendError>>,
    pub(super) lease: Lease,
}

impl Held {
    async fn settle(self, ports: &StreamPorts, request: &AppendRequest) -> Settled {
        self.settled.await.map_err(nothing_written)?;
        if self.basis.is_some_and(|basis| self.lease.durable() >= basis) {
            return Err(self.error);
        }
        if matches!(self.error, AppendError::Invalid { .. } | AppendError::InvariantFailed { .. }) {
            // It cannot be judged again here. Where this node has led all the time, nobody else went on.
            let still_leads = !self.lease.is_retired() && ports.leads_in(self.term);
            return if still_leads && self.basis.is_none() { Err(self.error) } else { Ok(None) };
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
    let repeated = !planted(Planted::RepeatToldAsFirst);
    Ok(AppendAck { first_version, last_version, first_position, event_ids, repeated })
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
