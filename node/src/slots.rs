//! A place for each of what a leader serves: whoever opens, makes or removes one holds its place, and no other waits.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// Places, by name.
pub(crate) struct Slots<K, T> {
    all: Mutex<HashMap<K, Slot<T>>>,
}

type Slot<T> = Arc<Turn<Option<T>>>;

impl<K, T> Default for Slots<K, T> {
    fn default() -> Self {
        Self { all: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash, T> Slots<K, T> {
    /// A place, once nobody else holds it.
    pub(crate) async fn hold(&self, name: &K) -> Held<'_, K, T> {
        let slot = self.all().entry(name.clone()).or_default().clone();
        Held { slots: self, name: name.clone(), place: Some(slot.lock_owned().await) }
    }

    /// The names whose places may hold something.
    pub(crate) fn names(&self) -> Vec<K> {
        self.all().keys().cloned().collect()
    }

    /// Empties all places, once nobody holds them.
    pub(crate) async fn clear(&self) {
        let slots: Vec<Slot<T>> = self.all().drain().map(|(_, slot)| slot).collect();
        for slot in slots {
            *slot.lock().await = None;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<K, Slot<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, held.
pub(crate) struct Held<'a, K: Clone + Eq + Hash, T> {
    slots: &'a Slots<K, T>,
    name: K,
    /// It is there until this is dropped.
    place: Option<OwnedMutexGuard<Option<T>>>,
}

impl<K: Clone + Eq + Hash, T> Held<'_, K, T> {
    pub(crate) fn get(&self) -> Option<&T> {
        self.place.as_ref().and_then(|place| place.as_ref())
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.place.as_mut().and_then(|place| place.as_mut())
    }

    pub(crate) fn set(&mut self, what: Option<T>) {
        if let Some(place) = &mut self.place {
            **place = what;
        }
    }
}

impl<K: Clone + Eq + Hash, T> Drop for Held<'_, K, T> {
    /// A place that holds nothing, and that nobody waits for, is not kept: anybody may ask for any name.
    fn drop(&mut self) {
        let mut all = self.slots.all();
        let Some(place) = self.place.take() else { return };
        let empty = place.is_none();
        drop(place);
        if empty && all.get(&self.name).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn who_holds_one_place_does_not_hold_up_another() {
        let slots = Slots::<&str, u8>::default();
        let mut first = slots.hold(&"a").await;
        first.set(Some(7));
        assert!(timeout(LONG, slots.hold(&"b")).await.is_ok());
        assert!(timeout(Duration::from_millis(20), slots.hold(&"a")).await.is_err());
        drop(first);
        assert_eq!(slots.hold(&"a").await.get(), Some(&7));
        assert_eq!(slots.names(), ["a"], "an empty place is not kept");
        slots.hold(&"a").await.set(None);
        assert_eq!(slots.all().len(), 0);
    }
}
