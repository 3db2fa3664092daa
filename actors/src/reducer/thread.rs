use std::sync::Arc;

use bytes::Bytes;
use weir_types::{PartitionKey, ProjectionDefinition, RecordedEvent};

use super::{
    OwnThread, ReducerLimits, ThreadError,
    fold::{FoldOutcome, Folder},
};

/// A projection's engine on a thread of its own. Dropping it ends the thread after the job at hand.
///
/// A batch is folded in two steps: [`ReducerThread::prepare`] says whose states
/// are needed, [`ReducerThread::run`] gets them and folds.
pub struct ReducerThread(OwnThread<Folder>);

impl ReducerThread {
    /// A thread that begins, and loads the module, with its first event.
    #[must_use]
    pub fn new(definition: Arc<ProjectionDefinition>, limits: ReducerLimits) -> Self {
        Self::only(definition, limits, None)
    }

    /// The same of one partition alone, if there is one: events of others are passed.
    #[must_use]
    pub fn only(
        definition: Arc<ProjectionDefinition>,
        limits: ReducerLimits,
        partition: Option<PartitionKey>,
    ) -> Self {
        let folder = move || Folder::new(Arc::clone(&definition), limits, partition.clone());
        Self(OwnThread::new("reducer", folder))
    }

    /// Takes the first `take` events of a batch and tells whose states are missing.
    ///
    /// # Errors
    /// [`ThreadError`].
    pub async fn prepare(
        &self,
        events: Arc<Vec<RecordedEvent>>,
        take: usize,
    ) -> Result<Vec<PartitionKey>, ThreadError> {
        self.0.ask(move |folder| folder.prepare(events, take)).await
    }

    /// Folds what was prepared, given the states that were missing. The result
    /// must be stored, or the thread dropped.
    ///
    /// # Errors
    /// [`ThreadError`].
    pub async fn run(&self, states: Vec<(PartitionKey, Option<Bytes>)>) -> Result<FoldOutcome, ThreadError> {
        self.0.ask(move |folder| folder.run(states)).await
    }
}
