//! States that are kept in memory: bounded, and the longest unused go first.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use weir_types::{EventId, LogIndex, StreamVersion, Timestamp, limits};

/// What a state costs beside its text.
const OVERHEAD_BYTES: usize = 256;

/// A stream, folded up to a version.
#[derive(Clone)]
pub(crate) struct Folded {
    /// The log index of the rules whose invariant folded it.
    pub(crate) set: LogIndex,
    /// The last version that is folded.
    pub(crate) version: StreamVersion,
    /// The id of that event; `None` when there is none.
    pub(crate) last: Option<EventId>,
    /// When the latest of its events occurred.
    pub(crate) newest: Timestamp,
    /// JSON; empty is the initial state.
    pub(crate) state: Arc<str>,
}

/// Where one stream's state is kept: with its actor, which alone goes on from it.
#[derive(Default)]
pub(crate) struct Slot {
    kept: Mutex<Option<(Folded, Weight)>>,
    used: AtomicBool,
    listed: AtomicBool,
}

/// Bytes that are taken as long as this lives.
struct Weight(Arc<AtomicUsize>, usize);

impl Drop for Weight {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Relaxed);
    }
}

/// All states that a node keeps.
pub(crate) struct Memory {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    /// In turns: one that was used since its last turn has another.
    ring: Mutex<VecDeque<Weak<Slot>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(limits::INVARIANT_STATES_BYTES_MAX)
    }
}

impl Slot {
    /// Takes the state out.
    pub(crate) fn take(&self) -> Option<Folded> {
        lock(&self.kept).take().map(|(folded, _)| folded)
    }
}

impl Memory {
    fn of(bytes_max: usize) -> Self {
        Self { bytes: Arc::default(), bytes_max, ring: Mutex::default() }
    }

    /// Keeps a state in a slot, in the place of any other.
    pub(crate) fn keep(&self, slot: &Arc<Slot>, folded: Folded) {
        let bytes = folded.state.len() + OVERHEAD_BYTES;
        self.bytes.fetch_add(bytes, Relaxed);
        *lock(&slot.kept) = Some((folded, Weight(Arc::clone(&self.bytes), bytes)));
        slot.used.store(true, Relaxed);
        let mut ring = lock(&self.ring);
        if !slot.listed.swap(true, Relaxed) {
            ring.push_back(Arc::downgrade(slot));
        }
        // More turns than new slots: what is left of streams that are gone does not pile up.
        for _ in 0..2 {
            self.turn(&mut ring, false);
        }
        for _ in 0..2 * ring.len() {
            if self.bytes.load(Relaxed) <= self.bytes_max {
                break;
            }
            self.turn(&mut ring, true);
        }
    }

    /// Looks at the slot whose turn it is, and empties it where room is wanted and it was not used.
    fn turn(&self, ring: &mut VecDeque<Weak<Slot>>, wanted: bool) {
        let Some(first) = ring.pop_front() else { return };
        let Some(slot) = first.upgrade() else { return };
        if wanted && !slot.used.swap(false, Relaxed) {
            drop(slot.take());
        }
        ring.push_back(first);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(bytes: usize) -> Folded {
        let (set, version, last, newest) = (LogIndex(1), StreamVersion(1), None, Timestamp(0));
        Folded { set, version, last, newest, state: "x".repeat(bytes).into() }
    }

    #[test]
    fn states_are_kept_within_bounds_and_the_unused_go_first() {
        let memory = Memory::of(10 * (1_000 + OVERHEAD_BYTES));
        let slots: Vec<Arc<Slot>> = (0..30).map(|_| Arc::default()).collect();
        for slot in &slots {
            memory.keep(slot, folded(1_000));
            memory.keep(&slots[0], folded(1_000));
            assert!(memory.bytes.load(Relaxed) <= memory.bytes_max);
        }
        let kept = |slot: &Arc<Slot>| lock(&slot.kept).is_some();
        assert!(kept(&slots[29]) && kept(&slots[0]), "the newest, and the one that is used all the time");
        assert!(slots.iter().filter(|slot| kept(slot)).count() >= 5);
        drop(slots);
        assert_eq!(memory.bytes.load(Relaxed), 0, "what is gone takes no room");
        let slot = Arc::default();
        for _ in 0..40 {
            memory.keep(&slot, folded(10));
        }
        assert_eq!(lock(&memory.ring).len(), 1, "slots of streams that are gone do not pile up");
    }
}
