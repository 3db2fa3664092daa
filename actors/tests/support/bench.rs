//! A reducer with a store in memory beside it, folded batch by batch.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weir_actors::reducer::{FoldFailure, FoldOutcome, ReducerLimits, ReducerThread, inspect, state_digest};
use weir_types::{PartitionKey, ProjectionDefinition, RecordedEvent};

/// Folds like a projection does, without its actor.
pub struct Bench {
    definition: Arc<ProjectionDefinition>,
    limits: ReducerLimits,
    reducer: ReducerThread,
    pub views: BTreeMap<PartitionKey, Bytes>,
    pub digest: u64,
    pub passed: usize,
    pub unkeyed: u64,
    pub failure: Option<FoldFailure>,
}

#[allow(dead_code, reason = "not every test file asks for all")]
impl Bench {
    pub fn of(source: &str) -> Self {
        Self::with(source, ReducerLimits::default())
    }

    pub fn with(source: &str, limits: ReducerLimits) -> Self {
        Self::deployed(inspect(source).unwrap_or_else(|error| panic!("{error}")), limits)
    }

    /// Of a definition as it is stored, which this build did not inspect.
    pub fn deployed(definition: ProjectionDefinition, limits: ReducerLimits) -> Self {
        let definition = Arc::new(definition);
        let reducer = ReducerThread::new(definition.clone(), limits);
        Self {
            definition,
            limits,
            reducer,
            views: BTreeMap::new(),
            digest: 0,
            passed: 0,
            unkeyed: 0,
            failure: None,
        }
    }

    /// As after a restart of the node: only what is stored is left.
    pub fn restart(&mut self) {
        self.reducer = ReducerThread::new(self.definition.clone(), self.limits);
    }

    /// Folds all of a batch, or up to a failure, in as many steps as it takes.
    pub async fn fold(&mut self, batch: &[RecordedEvent]) {
        let mut rest = batch.to_vec();
        while !rest.is_empty() && self.failure.is_none() {
            let events = Arc::new(rest.clone());
            let mut take = events.len();
            let result = loop {
                let missing = self.reducer.prepare(events.clone(), take).await.unwrap();
                let states = missing.into_iter().map(|key| (key.clone(), self.views.get(&key).cloned()));
                match self.reducer.run(states.collect()).await.unwrap() {
                    FoldOutcome::Done(result) => break result,
                    FoldOutcome::Again { take: fewer } => take = fewer,
                }
            };
            self.digest = self.digest.wrapping_add(result.digest_delta);
            self.passed += result.passed;
            self.unkeyed += result.unkeyed;
            self.views.extend(result.views.into_iter().map(|(key, view)| (key, view.state)));
            self.failure = result.failure;
            rest.drain(..result.passed);
        }
        let sum = self.views.iter().map(|(key, state)| state_digest(key, state));
        assert_eq!(self.digest, sum.fold(0, u64::wrapping_add), "the digest is the sum over all partitions");
    }

    /// A partition's state, as text.
    pub fn state(&self, partition: &str) -> Option<&str> {
        let view = self.views.get(&PartitionKey::new(partition).unwrap());
        view.map(|state| std::str::from_utf8(state).unwrap())
    }

    /// The state of the one partition of a projection without a key.
    pub fn global(&self) -> &str {
        self.state("__global__").unwrap_or("none")
    }
}
