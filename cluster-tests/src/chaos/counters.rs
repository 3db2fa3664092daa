//! What happened how often: the proof that a run exercised something.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Named counts, shared by all clones. A name is `part.what`: `appends.conflict`.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counters {
    /// One more.
    pub fn count(&self, name: &str) {
        self.add(name, 1);
    }

    /// This many more.
    pub fn add(&self, name: &str, more: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(name) {
            Some(count) => *count += more,
            None => {
                counts.insert(name.to_owned(), more);
            }
        }
    }

    /// How often so far.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or(0)
    }

    /// All counts.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
