//! Runs that never were: a small model of a store, asked by many clients at
//! once, gives a history and a final state in which nothing is broken.
//!
//! The checkers are tested on them, and on what is left after something in them
//! was broken on purpose. The same seed gives the same run.

mod consumers;
mod drive;
mod model;

pub use model::COUNT;

use serde_json::{Value, json};

use crate::{
    history::History,
    invariants::Fold,
    state::{FinalState, StoredEvent},
};

/// The size and shape of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The seed.
    pub seed: u64,
    /// Operations to record, about.
    pub operations: u64,
    /// Clients, each with one operation under way.
    pub clients: u64,
    /// Streams that they share.
    pub streams: u64,
    /// Keys of the key-value bucket that they share.
    pub keys: u64,
}

impl Shape {
    /// A run of this many operations by 8 clients over 5 streams and 3 keys.
    #[must_use]
    pub const fn small(seed: u64, operations: u64) -> Self {
        Self { seed, operations, clients: 8, streams: 5, keys: 3 }
    }
}

/// Makes a run.
#[must_use]
pub fn run(shape: Shape) -> (History, FinalState) {
    drive::run(shape)
}

/// The fold of the run's one projection, [`COUNT`]: events and their positions summed up, per stream.
#[derive(Debug, Clone, Default)]
pub struct Count(std::collections::HashMap<String, (u64, u64)>);

impl Fold for Count {
    fn fold(&mut self, event: &StoredEvent) {
        let (count, sum) = self.0.entry(event.stream.clone()).or_default();
        *count += 1;
        *sum += event.position;
    }

    fn view(&self, partition: &str) -> Option<Value> {
        self.0.get(partition).map(|(count, sum)| json!({ "count": count, "sum": sum }))
    }
}

/// The folds of a run.
#[must_use]
pub fn folds(projection: &str) -> Option<Box<dyn Fold>> {
    (projection == COUNT).then(|| Box::new(Count::default()) as Box<dyn Fold>)
}
