use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use weir_types::ConsumerGroupName;

/// A place for each group's desk. Whoever opens, makes or removes a group holds its place, and no other group waits.
pub(super) struct Slots<T> {
    all: Mutex<HashMap<ConsumerGroupName, Slot<T>>>,
}

type Slot<T> = Arc<Turn<Option<Arc<T>>>>;

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { all: Mutex::default() }
    }
}

impl<T> Slots<T> {
    /// The place of a group, once nobody else holds it.
    pub(super) async fn hold(&self, name: &ConsumerGroupName) -> Held<'_, T> {
        let slot = self.all().entry(name.clone()).or_default().clone();
        Held { slots: self, name: name.clone(), place: Some(slot.lock_owned().await) }
    }

    /// Forgets all desks, once nobody holds their places.
    pub(super) async fn clear(&self) {
        let slots: Vec<Slot<T>> = self.all().drain().map(|(_, slot)| slot).collect();
        for slot in slots {
            *slot.lock().await = None;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ConsumerGroupName, Slot<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group's place, held.
pub(super) struct Held<'a, T> {
    slots: &'a Slots<T>,
    name: ConsumerGroupName,
    /// It is there until this is dropped.
    place: Option<OwnedMutexGuard<Option<Arc<T>>>>,
}

impl<T> Held<'_, T> {
    pub(super) fn desk(&self) -> Option<&Arc<T>> {
        self.place.as_ref().and_then(|place| place.as_ref())
    }

    pub(super) fn set(&mut self, desk: Option<Arc<T>>) {
        if let Some(place) = &mut self.place {
            **place = desk;
        }
    }
}

impl<T> Drop for Held<'_, T> {
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
    async fn who_holds_one_group_does_not_hold_up_another() {
        let slots = Slots::<u8>::default();
        let name = |name: &str| ConsumerGroupName::new(name).unwrap();
        let mut first = slots.hold(&name("a")).await;
        first.set(Some(Arc::new(7)));
        assert!(timeout(LONG, slots.hold(&name("b"))).await.is_ok());
        assert!(timeout(Duration::from_millis(20), slots.hold(&name("a"))).await.is_err());
        drop(first);
        assert_eq!(slots.hold(&name("a")).await.desk().map(|desk| **desk), Some(7));
        assert_eq!(slots.all().len(), 1, "an empty place is not kept");
        slots.hold(&name("a")).await.set(None);
        assert_eq!(slots.all().len(), 0);
    }
}
