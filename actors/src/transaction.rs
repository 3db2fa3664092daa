//! Transactions: the streams that one writes are reserved, it is decided on
//! where they stand, queued, and they go on after it without waiting for it.
//!
//! Checks and conditions are judged by apply, in the order of the log; what fails
//! already is refused before it takes a place there.

mod decide;
mod in_flight;
mod judge;

pub(crate) use self::decide::decided_event;

use std::sync::Arc;

use tokio::sync::oneshot;
use weir_types::{
    AppendAck, AppendError, AppendOutcome, AppendRequest, Consistency, DecidedTransaction, DecidedWrite,
    EventId, Position, RecordedEvent, StreamVersion, Term, TransactionAck, TransactionOutcome,
    TransactionRequest, Violation,
};

use self::{in_flight::InFlight, judge::Verdict};
use crate::{
    admission::Room,
    router::{ATTEMPTS_MAX, Router},
    stream::{
        actor::{nothing_written, unread},
        digest::{digest_of, digest_of_transaction},
        reservation::Reserved,
    },
};

/// How a transaction ended: `None` when nothing of it is written and it must be decided once more.
type Settled = Result<Option<TransactionAck>, AppendError>;

impl Router {
    pub(crate) async fn transact(&self, request: TransactionRequest) -> Result<TransactionAck, AppendError> {
        request.check_limits()?;
        if request.group != self.config.group {
            return Err(AppendError::Unavailable { reason: format!("no group {} here", request.group) });
        }
        // Before admission, so that a node that does not lead never looks busy.
        self.deciding_term()?;
        let room = Arc::new(self.admission.room(request.weight()).await?);
        for _ in 0..ATTEMPTS_MAX {
            let term = self.deciding_term()?;
            if let Some(ack) = self.attempt_transaction(&request, term, &room).await? {
                return Ok(ack);
            }
        }
        Err(AppendError::Unavailable { reason: "streams did not come to rest".into() })
    }

    async fn attempt_transaction(
        &self,
        request: &TransactionRequest,
        term: Term,
        room: &Arc<Room>,
    ) -> Settled {
        if let Some(first) = self.remembered_transaction(request).await? {
            return self.repeat_transaction(request, first).await.map(Some);
        }
        if self.stands_refused(request).await? {
            return self.refuse_transaction(request, term).await;
        }
        let Some(reserved) = self.reserve(request, term).await? else { return Ok(None) };
        let standings: Vec<_> = reserved.iter().map(|stream| &stream.standing).collect();
        let now = self.streams.clock.now();
        let decided = decide::decide(request, &standings, now, || self.streams.ids.next(now));
        let Some(decided) = decided else {
            drop(reserved);
            return self.refuse_transaction(request, term).await;
        };
        let decided = match self.judge_transaction(decided, term, &reserved).await? {
            Verdict::Sound(decided) => decided,
            Verdict::Moved => {
                // The next actors look at what is there.
                reserved.iter().for_each(|stream| stream.shared().retire());
                return Ok(None);
            }
            Verdict::Refused(error) => {
                drop(reserved);
                return self.refuse_judged(request, term, error).await;
            }
        };
        let written = written_of(&decided);
        let outcome = self.propose_transaction(term, decided, reserved, room.clone());
        let outcome = outcome.await.unwrap_or_else(|_| {
            let reason = "node stopped before the outcome was known".into();
            Err(AppendError::OutcomeUnknown { reason })
        });
        match outcome? {
            TransactionOutcome::Committed { first_position } => {
                Ok(Some(ack_of(request, written, first_position, false)))
            }
            TransactionOutcome::Repeated { first_position } => {
                self.repeat_transaction(request, first_position).await.map(Some)
            }
            TransactionOutcome::IdempotencyConflict => Err(AppendError::IdempotencyConflict),
            // What a stream was thought to stand at did not hold: decide on what is there now.
            TransactionOutcome::Violated(violations) if violations.iter().any(|v| of_written(request, v)) => {
                Ok(None)
            }
            TransactionOutcome::Violated(violations) => Err(AppendError::Violated { violations }),
        }
    }

    /// Queues a decided transaction and lets its streams go on.
    fn propose_transaction(
        &self,
        term: Term,
        decided: DecidedTransaction,
        reserved: Vec<Reserved>,
        room: Arc<Room>,
    ) -> oneshot::Receiver<Result<TransactionOutcome, AppendError>> {
        let streams = reserved.into_iter().zip(&decided.appends).map(|(stream, append)| {
            let version = append.base.plus(append.events.len() as u64);
            (stream.decided(append), version)
        });
        let (in_flight, outcome) = InFlight::new(streams.collect(), room);
        let done = Box::new(|outcome| in_flight.settle(outcome));
        self.streams.proposer.propose(term, DecidedWrite::Transaction(decided), done);
        outcome
    }

    /// Reserves the streams that are written, and gives them in the order of the
    /// request; `None` when things moved and the caller must begin anew.
    async fn reserve(
        &self,
        request: &TransactionRequest,
        term: Term,
    ) -> Result<Option<Vec<Reserved>>, AppendError> {
        let mut order: Vec<usize> = (0..request.appends.len()).collect();
        order.sort_unstable_by_key(|at| &request.appends[*at].entity_id);
        let mut reserved: Vec<Option<Reserved>> = Vec::new();
        reserved.resize_with(order.len(), || None);
        for at in order {
            let entity = &request.appends[at].entity_id;
            let Some((stream, lease)) = self.stream(entity, term).await? else { return Ok(None) };
            let Some(stream) = stream.reserve(lease).await? else { return Ok(None) };
            reserved[at] = Some(stream);
        }
        Ok(reserved.into_iter().collect())
    }

    /// Refuses by what is durable and known to be so by the leader of today;
    /// `None` when nothing stands against the transaction any more.
    async fn refuse_transaction(&self, request: &TransactionRequest, term: Term) -> Settled {
        self.streams.proposer.barrier(term).await.map_err(nothing_written)?;
        let violations = self.violations(request).await?;
        // Looked up later than what stands against it: a key that is not there now was not there then.
        if let Some(first) = self.remembered_transaction(request).await? {
            return self.repeat_transaction(request, first).await.map(Some);
        }
        match violations.is_empty() {
            true => Ok(None),
            false => Err(AppendError::Violated { violations }),
        }
    }

    /// Whether checks and conditions fail on what is applied here: apply would
    /// refuse too, and what is refused needs no place in the log.
    async fn stands_refused(&self, request: &TransactionRequest) -> Result<bool, AppendError> {
        if request.checks.is_empty() && request.conditions.is_empty() {
            return Ok(false);
        }
        let checks = request.guards().split_off(request.appends.len());
        let (reader, group) = (&self.streams.reader, self.config.group);
        let found = reader.violations(group, checks, request.conditions.clone()).await.map_err(unread)?;
        Ok(!found.is_empty())
    }

    async fn violations(&self, request: &TransactionRequest) -> Result<Vec<Violation>, AppendError> {
        let (reader, group) = (&self.streams.reader, self.config.group);
        reader.ready(group, Consistency::Linearizable).await.map_err(unread)?;
        reader.violations(group, request.guards(), request.conditions.clone()).await.map_err(unread)
    }

    /// Whether the request's key led to the same before.
    pub(crate) async fn repeats(&self, request: &AppendRequest) -> Result<bool, AppendError> {
        let Some(key) = request.key() else { return Ok(false) };
        let reader = &self.streams.reader;
        let known = reader.remembered(self.config.group, &request.entity_id, &key).await.map_err(unread)?;
        match known {
            Some(known) if known.idempotency.digest != digest_of(request) => {
                Err(AppendError::IdempotencyConflict)
            }
            known => Ok(known.is_some()),
        }
    }

    /// Where the first event is of what the request's key led to before.
    pub(crate) async fn remembered_transaction(
        &self,
        request: &TransactionRequest,
    ) -> Result<Option<Position>, AppendError> {
        let (Some(key), Some(scope)) = (request.key(), request.scope()) else { return Ok(None) };
        let known = self.streams.reader.remembered(self.config.group, scope, &key).await.map_err(unread)?;
        let Some(known) = known else { return Ok(None) };
        if known.idempotency.digest != digest_of_transaction(request) {
            return Err(AppendError::IdempotencyConflict);
        }
        match known.outcome {
            AppendOutcome::Repeated { first_position, .. } => Ok(Some(first_position)),
            other => unreachable!("a remembered outcome is always a repeat, not {other:?}"),
        }
    }

    /// Answers with what is in the log already, from `first` on.
    async fn repeat_transaction(
        &self,
        request: &TransactionRequest,
        first: Position,
    ) -> Result<TransactionAck, AppendError> {
        let mut events: Vec<RecordedEvent> = Vec::new();
        while events.len() < request.events() {
            let (from, more) = (first.plus(events.len() as u64), request.events() - events.len());
            let page = self.streams.reader.read_log(self.config.group, from, more).await.map_err(unread)?;
            if page.first().is_none_or(|event| event.position != from) {
                return Err(AppendError::Storage { reason: format!("position {from} is not in the log") });
            }
            events.extend(page);
        }
        let mut written = Vec::new();
        let mut rest = &events[..];
        for append in &request.appends {
            let (now, later) = rest.split_at(append.events.len());
            written.push((now[0].version, now.iter().map(|event| event.id).collect()));
            rest = later;
        }
        Ok(ack_of(request, written, first, true))
    }
}

/// First versions and event ids of what is written.
type Written = Vec<(StreamVersion, Vec<EventId>)>;

fn written_of(decided: &DecidedTransaction) -> Written {
    let part = |append: &weir_types::DecidedAppend| {
        (append.base.next(), append.events.iter().map(|event| event.id).collect())
    };
    decided.appends.iter().map(part).collect()
}

fn ack_of(request: &TransactionRequest, written: Written, first: Position, repeated: bool) -> TransactionAck {
    let mut next = first;
    let streams = request.appends.iter().zip(written).map(|(append, (first_version, event_ids))| {
        let more = append.events.len() as u64 - 1;
        let last_version = first_version.plus(more);
        let ack = AppendAck { first_version, last_version, first_position: next, event_ids, repeated };
        next = next.plus(more + 1);
        (append.entity_id.clone(), ack)
    });
    TransactionAck { streams: streams.collect(), repeated }
}

/// Whether a violation is of a stream that the transaction writes.
fn of_written(request: &TransactionRequest, violation: &Violation) -> bool {
    match violation {
        Violation::Version { entity_id, .. }
        | Violation::Type { entity_id, .. }
        | Violation::JudgedOnOther { entity_id } => {
            request.appends.iter().any(|append| append.entity_id == *entity_id)
        }
        Violation::Condition { .. } | Violation::ConditionTooWide { .. } => false,
    }
}
