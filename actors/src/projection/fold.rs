use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use weir_types::{
    BadEvent, GroupId, LogIndex, OnError, PartitionKey, ProjectionDefinition, ProjectionId, ReadError,
    RecordedEvent, SqlFault, limits,
    ports::{Checkpoint, Parked, ViewChange, ViewStore},
};

use super::{
    sql::{self, IntoTables, Reached},
    supervisor::ProjectionsArguments,
};
use crate::{
    reducer::{
        Fault, FoldFailure, FoldOutcome, FoldResult, ReducerLimits, ReducerThread, ThreadError,
        dead_letter_digest,
    },
    upcast::{UpcastFault, Upcasted, Upcasts},
};

/// States that are loaded at once.
const LOADS_IN_FLIGHT_MAX: usize = 16;

/// Why a fold step was not stored. Nothing of it is in the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum FoldError {
    #[error(transparent)]
    Store(#[from] ReadError),
    #[error(transparent)]
    Reducer(#[from] ThreadError),
}

/// Which events may be passed without being folded, and what is noted where none may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) on_error: OnError,
    /// When the projection was told to go on last.
    pub(super) resumed: LogIndex,
}

/// Folds batches and stores what comes of it. After an error it is not to be
/// used again: what the engine holds may be ahead of the store.
pub(super) struct Fold {
    group: GroupId,
    id: ProjectionId,
    views: Arc<dyn ViewStore>,
    reducer: ReducerThread,
    definition: Arc<ProjectionDefinition>,
    /// Those that stood when it was deployed.
    upcasts: Arc<Upcasts>,
    policy: Policy,
    tables: Option<IntoTables>,
    limits: ReducerLimits,
    /// The one partition that is folded, where it is not all.
    only: Option<PartitionKey>,
}

/// Where a step ends.
struct Settled {
    next: Checkpoint,
    passed: usize,
    dead_letters: Vec<BadEvent>,
}

/// What a step came to.
pub(super) struct Folded {
    pub(super) checkpoint: Checkpoint,
    /// Events of the batch that are behind us.
    pub(super) passed: usize,
    pub(super) unkeyed: u64,
    /// Partitions with a new state.
    pub(super) changed: Vec<PartitionKey>,
}

impl Fold {
    /// A fold of one generation; it begins where `stands_on` says what is kept of it ends.
    pub(super) async fn start(
        stands_on: &ProjectionsArguments,
        id: ProjectionId,
        definition: Arc<ProjectionDefinition>,
        upcasts: Arc<Upcasts>,
        resumed: LogIndex,
    ) -> Result<Self, FoldError> {
        let policy = Policy { on_error: definition.on_error, resumed };
        let tables = IntoTables::of(&id, &definition, stands_on.tables.clone()).await?;
        let reducer = ReducerThread::new(definition.clone(), stands_on.limits);
        let (group, views, limits) = (stands_on.group, stands_on.views.clone(), stands_on.limits);
        Ok(Self { group, id, views, reducer, definition, upcasts, policy, tables, limits, only: None })
    }

    /// The same of one partition alone: events of others are passed, and those that are of none.
    pub(super) fn only(self, partition: PartitionKey) -> Self {
        let only = Some(partition);
        let reducer = ReducerThread::only(self.definition.clone(), self.limits, only.clone());
        Self { reducer, only, ..self }
    }

    /// Lets go of all states: the next step reads what it needs from the store.
    pub(super) fn forget_states(&mut self) {
        self.reducer = ReducerThread::only(self.definition.clone(), self.limits, self.only.clone());
    }

    /// The checkpoint that is stored, set right by the tables if there are some.
    pub(super) async fn settle(&self, stored: Checkpoint) -> Result<Checkpoint, FoldError> {
        match &self.tables {
            None => Ok(stored),
            Some(tables) => Ok(tables.settle(self.group, &self.views, stored).await?),
        }
    }

    /// Finds the tables that are in a sink. `false` when it lacks what is stored here, which is forgotten then.
    pub(super) async fn reach(&self, stored: &Checkpoint) -> Result<bool, FoldError> {
        let Some(tables) = &self.tables else { return Ok(true) };
        Ok(tables.reach(self.group, &self.views, stored).await? == Reached::Whole)
    }

    /// Folds events that follow `checkpoint` without a hole, all or a first
    /// part of them, and stores views and checkpoint in one.
    pub(super) async fn step(
        &self,
        checkpoint: &Checkpoint,
        events: Arc<Vec<RecordedEvent>>,
    ) -> Result<Folded, FoldError> {
        for (event, expected) in events.iter().zip(checkpoint.position.next().0..) {
            assert_eq!(event.position.0, expected, "P2: events are folded in position order without a hole");
        }
        let result = self.upcast_and_reduce(&events).await?;
        let (result, settled) = match &self.tables {
            None => {
                let settled = self.judged(checkpoint, &events, &result);
                (result, settled)
            }
            Some(tables) => self.carried_out(tables, checkpoint, &events, result).await?,
        };
        let Settled { next, passed, dead_letters } = settled;
        assert!(next.position >= checkpoint.position, "P1: a checkpoint never falls");
        let changed = result.views.iter().map(|(partition, _)| partition.clone()).collect();
        let change =
            ViewChange { checkpoint: next.clone(), views: result.views, dead_letters, rebuilt: None };
        self.views.commit(self.group, &self.id, change).await?;
        Ok(Folded { checkpoint: next, passed, unkeyed: result.unkeyed, changed })
    }

    /// The checkpoint after what was folded, and what becomes of the event that was not.
    fn judged(&self, checkpoint: &Checkpoint, events: &[RecordedEvent], result: &FoldResult) -> Settled {
        let mut next = advance(checkpoint, events, result);
        let mut passed = result.passed;
        let mut dead_letters = Vec::new();
        if let Some(failure) = &result.failure {
            let bad = bad_event(&events[passed], &failure.fault);
            match judge(self.policy, &next, &failure.fault) {
                Judgement::Skip => {
                    passed += 1;
                    skip(&mut next, &bad);
                    dead_letters.push(bad);
                }
                Judgement::Park => next.parked = Some(Box::new(self.parked(bad))),
                Judgement::ParkFull => next.parked = Some(Box::new(self.parked(full(bad)))),
            }
        }
        Settled { next, passed, dead_letters }
    }

    /// Carries out the statements that a batch led to, up to the first event whose statements are to blame.
    async fn carried_out(
        &self,
        tables: &IntoTables,
        checkpoint: &Checkpoint,
        events: &[RecordedEvent],
        result: FoldResult,
    ) -> Result<(FoldResult, Settled), FoldError> {
        let (mut result, mut statements) = tables.statements(result, events);
        let mut blamed: Option<SqlFault> = None;
        loop {
            let settled = self.judged(checkpoint, events, &result);
            let is_passed = |fault: &SqlFault| settled.next.position >= fault.position;
            let (steps, skipped) = ((checkpoint, &settled.next), blamed.take().filter(is_passed));
            let Some(fault) = tables.commit(&statements, steps, skipped).await? else {
                return Ok((result, settled));
            };
            // Each time it is an event further ahead: what came before it was carried out, and undone. Or it is the
            // same, which another node has passed first: its words count.
            (result, statements) = sql::cut(result, statements, events, &fault);
            blamed = Some(fault);
        }
    }

    /// Folds events as they are by the upcasters that stood when the projection was deployed. An event that they
    /// cannot lead on is one that cannot be folded.
    async fn upcast_and_reduce(&self, events: &Arc<Vec<RecordedEvent>>) -> Result<FoldResult, FoldError> {
        let folds = |event: &RecordedEvent| self.definition.folds(&event.name);
        if !events.iter().any(|event| folds(event) && self.upcasts.concerns(event)) {
            return self.reduce(events.clone()).await;
        }
        let Upcasted { events: upcast, fault } = self.upcasts.upcast_where(events.to_vec(), folds).await;
        let there = upcast.len();
        let mut result = match there {
            0 => FoldResult::default(),
            _ => self.reduce(Arc::new(upcast)).await?,
        };
        if let (None, Some(UpcastFault { error, of_event })) = (&result.failure, fault)
            && result.passed == there
        {
            if of_event && self.only.is_some() {
                // What it would be upcast to says whose it is: it is of no partition.
                result.passed += 1;
                return Ok(result);
            }
            let (position, event) = (events[there].position, events[there].name.to_string());
            let fault = Fault { of_event, ..Fault::new(error.to_string()) };
            result.failure = Some(FoldFailure { position, event, fault });
        }
        Ok(result)
    }

    /// Notes, in one write, that this generation answers from `checkpoint` on.
    pub(super) async fn serve(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, FoldError> {
        let next = Checkpoint { serves: true, ..checkpoint.clone() };
        let change = ViewChange { checkpoint: next.clone(), ..ViewChange::default() };
        self.views.commit(self.group, &self.id, change).await?;
        Ok(next)
    }

    fn parked(&self, event: BadEvent) -> Parked {
        Parked { event, resumed: self.policy.resumed }
    }

    async fn reduce(&self, events: Arc<Vec<RecordedEvent>>) -> Result<FoldResult, FoldError> {
        let mut take = events.len();
        loop {
            let missing = self.reducer.prepare(events.clone(), take).await?;
            let states = self.load(missing).await?;
            match self.reducer.run(states).await? {
                FoldOutcome::Done(result) => return Ok(result),
                FoldOutcome::Again { take: fewer } => take = fewer,
            }
        }
    }

    async fn load(
        &self,
        missing: Vec<PartitionKey>,
    ) -> Result<Vec<(PartitionKey, Option<Bytes>)>, ReadError> {
        let loads = missing.into_iter().map(|partition| async move {
            let view = self.views.view(self.group, &self.id, &partition).await?;
            Ok((partition, view.map(|view| view.state)))
        });
        stream::iter(loads).buffer_unordered(LOADS_IN_FLIGHT_MAX).try_collect().await
    }
}

fn advance(checkpoint: &Checkpoint, events: &[RecordedEvent], result: &FoldResult) -> Checkpoint {
    let position = match result.passed {
        0 => checkpoint.position,
        passed => events[passed - 1].position,
    };
    Checkpoint {
        position,
        events: checkpoint.events + result.handled,
        digest: checkpoint.digest.wrapping_add(result.digest_delta),
        parked: None,
        dead_letters: checkpoint.dead_letters,
        serves: checkpoint.serves,
    }
}

/// What is done about an event that cannot be folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    Skip,
    Park,
    /// It would be skipped, and no more may be.
    ParkFull,
}

/// Only what is a fault on every replica is skipped: else they would differ for ever.
pub(super) fn judge(policy: Policy, so_far: &Checkpoint, fault: &Fault) -> Judgement {
    match policy.on_error {
        OnError::Skip if !fault.of_event => Judgement::Park,
        OnError::Skip if so_far.dead_letters >= limits::PROJECTION_DEAD_LETTERS_MAX => Judgement::ParkFull,
        OnError::Skip => Judgement::Skip,
        OnError::Park => Judgement::Park,
    }
}

fn skip(checkpoint: &mut Checkpoint, bad: &BadEvent) {
    checkpoint.position = bad.position;
    checkpoint.dead_letters += 1;
    checkpoint.digest = checkpoint.digest.wrapping_add(dead_letter_digest(bad));
}

pub(super) fn full(bad: BadEvent) -> BadEvent {
    let max = limits::PROJECTION_DEAD_LETTERS_MAX;
    BadEvent {
        message: format!("{} (not skipped: there are {max} dead letters already)", bad.message),
        ..bad
    }
}

pub(super) fn bad_event(event: &RecordedEvent, fault: &Fault) -> BadEvent {
    BadEvent {
        id: event.id,
        name: event.name.clone(),
        entity_id: event.entity_id.clone(),
        version: event.version,
        position: event.position,
        message: fault.message.clone(),
        stack: fault.stack.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_replica_would_skip_is_skipped_and_not_without_end() {
        let of_event = Fault::new("no");
        let of_clock = Fault { of_event: false, ..of_event.clone() };
        let max = limits::PROJECTION_DEAD_LETTERS_MAX;
        for (on_error, fault, dead_letters, expected) in [
            (OnError::Park, &of_event, 0, Judgement::Park),
            (OnError::Park, &of_clock, max, Judgement::Park),
            (OnError::Skip, &of_event, 0, Judgement::Skip),
            (OnError::Skip, &of_event, max - 1, Judgement::Skip),
            (OnError::Skip, &of_event, max, Judgement::ParkFull),
            (OnError::Skip, &of_clock, 0, Judgement::Park),
        ] {
            let policy = Policy { on_error, resumed: LogIndex::ZERO };
            let so_far = Checkpoint { dead_letters, ..Checkpoint::default() };
            assert_eq!(judge(policy, &so_far, fault), expected, "{on_error:?} {fault:?} {dead_letters}");
        }
    }
}
