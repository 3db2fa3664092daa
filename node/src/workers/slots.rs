use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use weir_types::ProjectionName;

type Slot<T> = Arc<Turn<Option<T>>>;

/// A place for the desk of each projection. Whoever works at one holds its place, and no other waits.
pub(super) struct Slots<T> {
    all: Mutex<HashMap<ProjectionName, Slot<T>>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { all: Mutex::default() }
    }
}

impl<T> Slots<T> {
    /// The place of a projection, once nobody else holds it.
    pub(super) async fn hold(&self, name: &ProjectionName) -> Held<'_, T> {
        let slot = self.all().entry(name.clone()).or_default().clone();
        Held { slots: self, name: name.clone(), place: Some(slot.lock_owned().await) }
    }

    /// The projections that may have a desk.
    pub(super) fn names(&self) -> Vec<ProjectionName> {
        self.all().keys().cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ProjectionName, Slot<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place, held.
pub(super) struct Held<'a, T> {
    slots: &'a Slots<T>,
    name: ProjectionName,
    /// It is there until this is dropped.
    place: Option<OwnedMutexGuard<Option<T>>>,
}

impl<T> Held<'_, T> {
    pub(super) fn get(&self) -> Option<&T> {
        self.place.as_ref().and_then(|place| place.as_ref())
    }

    pub(super) fn get_mut(&mut self) -> Option<&mut T> {
        self.place.as_mut().and_then(|place| place.as_mut())
    }

    pub(super) fn set(&mut self, desk: Option<T>) {
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
