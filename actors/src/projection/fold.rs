use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use weir_types::{
    GroupId, PartitionKey, ProjectionDefinition, ProjectionId, ReadError, RecordedEvent,
    ports::{Checkpoint, ViewChange, ViewStore},
};

use crate::reducer::{FoldFailure, FoldOutcome, FoldResult, ReducerGone, ReducerLimits, ReducerThread};

/// States that are loaded at once.
const LOADS_IN_FLIGHT_MAX: usize = 16;

/// Why a fold step was not stored. Nothing of it is in the store.
#[derive(Debug, thiserror::Error)]
pub(super) enum FoldError {
    #[error(transparent)]
    Store(#[from] ReadError),
    #[error(transparent)]
    Reducer(#[from] ReducerGone),
    #[error("reducer thread does not start: {0}")]
    Thread(#[from] std::io::Error),
}

/// Folds batches and stores what comes of it. After an error it is not to be
/// used again: what the engine holds may be ahead of the store.
pub(super) struct Fold {
    group: GroupId,
    id: ProjectionId,
    views: Arc<dyn ViewStore>,
    reducer: ReducerThread,
}

/// What a step came to.
pub(super) struct Folded {
    pub(super) checkpoint: Checkpoint,
    /// Events of the batch that are behind us.
    pub(super) passed: usize,
    pub(super) unkeyed: u64,
}

impl Fold {
    pub(super) fn start(
        group: GroupId,
        id: ProjectionId,
        definition: Arc<ProjectionDefinition>,
        views: Arc<dyn ViewStore>,
        limits: ReducerLimits,
    ) -> Result<Self, FoldError> {
        let reducer = ReducerThread::start(definition, limits)?;
        Ok(Self { group, id, views, reducer })
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
        let result = self.reduce(events.clone()).await?;
        let next = advance(checkpoint, &events, &result);
        assert!(next.position >= checkpoint.position, "P1: a checkpoint never falls");
        let change = ViewChange { checkpoint: next.clone(), views: result.views };
        self.views.commit(self.group, &self.id, change).await?;
        let FoldResult { passed, unkeyed, .. } = result;
        Ok(Folded { checkpoint: next, passed, unkeyed })
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
        parked: result.failure.as_ref().map(parked),
    }
}

fn parked(failure: &FoldFailure) -> String {
    format!("event `{}` at position {}: {}", failure.event, failure.position, failure.fault)
}
