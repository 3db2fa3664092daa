//! What is applied and not in the engine yet. The log is the journal of the
//! index, so a batch only changes this buffer; a full buffer is spilled to the
//! engine as one sorted run, by a thread of its own. What a crash loses is
//! replayed from the log.
//!
//! Invariant: the engine holds a prefix of what was committed, batch by batch. A
//! buffer is sealed between batches, and ingested whole or not at all, with the
//! mark that belongs to it.

#[cfg(not(all(test, shuttle)))]
use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    ops::{Bound, RangeInclusive},
    sync::{Arc, PoisonError},
};

use fjall::Slice;
#[cfg(all(test, shuttle))]
use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::merge::{Entry, Order, merge};

/// Bytes of a buffer, with what its tree costs, at which it is sealed. While
/// one is spilled another fills, so the index holds at most about twice as much.
const BUFFER_BYTES: usize = 24 * 1024 * 1024;
/// What an entry costs beside its key and value.
const ENTRY_BYTES: usize = 96;

/// Sorted entries; `None` removes the key from what lies below.
pub(super) type Table = BTreeMap<Slice, Option<Slice>>;

/// The buffer of one index.
#[derive(Default)]
pub(super) struct Buffer {
    tables: RwLock<Tables>,
    spill: Mutex<Spill>,
    changed: Condvar,
}

#[derive(Default)]
struct Tables {
    active: Table,
    active_bytes: usize,
    sealed: Option<Arc<Table>>,
}

/// Where the spilling stands.
#[derive(Default)]
struct Spill {
    /// A sealed buffer waits, or is being spilled.
    pending: bool,
    /// Why nothing is spilled any more.
    failed: Option<String>,
    closed: bool,
}

impl Buffer {
    /// Takes a batch in, whole. Waits while the buffer before it is still being spilled.
    ///
    /// # Errors
    /// The reason, when spilling has failed.
    pub(super) fn put(&self, writes: Vec<(Slice, Option<Slice>)>) -> Result<(), String> {
        let full = {
            let mut tables = self.write();
            for (key, value) in writes {
                tables.active_bytes +=
                    key.len() + value.as_ref().map_or(0, |value| value.len()) + ENTRY_BYTES;
                tables.active.insert(key, value);
            }
            tables.active_bytes >= BUFFER_BYTES
        };
        if full { self.seal() } else { Ok(()) }
    }

    /// Seals what there is and waits until all of it is in the engine.
    ///
    /// # Errors
    /// The reason, when spilling has failed.
    pub(super) fn drain(&self) -> Result<(), String> {
        self.seal()?;
        self.settled().map(drop)
    }

    fn seal(&self) -> Result<(), String> {
        let mut spill = self.settled()?;
        let mut tables = self.write();
        if tables.active.is_empty() {
            return Ok(());
        }
        tables.sealed = Some(Arc::new(std::mem::take(&mut tables.active)));
        tables.active_bytes = 0;
        spill.pending = true;
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until nothing is being spilled.
    fn settled(&self) -> Result<MutexGuard<'_, Spill>, String> {
        let spill = self.spill.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |spill: &mut Spill| spill.pending && spill.failed.is_none();
        let spill = self.changed.wait_while(spill, busy).unwrap_or_else(PoisonError::into_inner);
        match &spill.failed {
            Some(reason) => Err(reason.clone()),
            None => Ok(spill),
        }
    }

    /// The next sealed buffer, waiting for it; `None` when the index is closed or spilling has failed.
    pub(super) fn next_sealed(&self) -> Option<Arc<Table>> {
        let spill = self.spill.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |spill: &mut Spill| !spill.pending && !spill.closed;
        let spill = self.changed.wait_while(spill, idle).unwrap_or_else(PoisonError::into_inner);
        if spill.pending && spill.failed.is_none() { self.read().sealed.clone() } else { None }
    }

    /// Says what became of the sealed buffer.
    pub(super) fn spilled(&self, result: Result<(), String>) {
        let mut spill = self.spill.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                self.write().sealed = None;
                spill.pending = false;
            }
            Err(reason) => spill.failed = Some(reason),
        }
        self.changed.notify_all();
    }

    /// Ends the spilling, once nothing waits.
    pub(super) fn close(&self) {
        self.spill.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    /// What the buffer says of a key: `None` when it says nothing.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Slice>> {
        let tables = self.read();
        let sealed = || tables.sealed.as_ref().and_then(|sealed| sealed.get(key));
        tables.active.get(key).or_else(sealed).cloned()
    }

    /// Entries of a range, in order: up to the one that makes `limit` that are no
    /// removals, and what `below` gives while the buffer stands still.
    pub(super) fn scan<T>(
        &self,
        keys: &RangeInclusive<Vec<u8>>,
        order: Order,
        limit: usize,
        below: impl FnOnce() -> T,
    ) -> (Vec<Entry>, T) {
        let tables = self.read();
        let sealed = tables.sealed.iter().flat_map(|sealed| entries(sealed, keys, order));
        let merged = merge(entries(&tables.active, keys, order), sealed, order);
        (until_live(merged, limit), below())
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entries<'a>(
    table: &'a Table,
    keys: &RangeInclusive<Vec<u8>>,
    order: Order,
) -> Box<dyn Iterator<Item = Result<Entry, Infallible>> + 'a> {
    let bounds = (Bound::Included(keys.start().as_slice()), Bound::Included(keys.end().as_slice()));
    let range = table.range::<[u8], _>(bounds).map(|(key, value)| Ok((key.clone(), value.clone())));
    match order {
        Order::Rising => Box::new(range),
        Order::Falling => Box::new(range.rev()),
    }
}

fn until_live(merged: impl Iterator<Item = Result<Entry, Infallible>>, limit: usize) -> Vec<Entry> {
    let mut live = 0;
    let mut taken = Vec::new();
    for Ok(entry) in merged {
        live += usize::from(entry.1.is_some());
        taken.push(entry);
        if live >= limit {
            break;
        }
    }
    taken
}

#[cfg(all(test, shuttle))]
mod handover;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn entry(key: &str, value: Option<&str>) -> Entry {
        (Slice::from(key), value.map(Slice::from))
    }

    #[test]
    fn what_is_sealed_is_seen_until_the_engine_has_it_and_newer_entries_hide_it() {
        let buffer = Buffer::default();
        buffer.put(vec![entry("a", Some("1")), entry("b", Some("1"))]).unwrap();
        buffer.seal().unwrap();
        buffer.put(vec![entry("b", None)]).unwrap();
        assert_eq!(buffer.get(b"a"), Some(Some(Slice::from("1"))));
        assert_eq!(buffer.get(b"b"), Some(None));
        assert_eq!(buffer.get(b"c"), None);
        assert_eq!(buffer.next_sealed().unwrap().len(), 2);
        buffer.spilled(Ok(()));
        assert_eq!((buffer.get(b"a"), buffer.get(b"b")), (None, Some(None)));
    }

    #[test]
    fn a_failed_spill_is_told_to_all_and_ends_the_spiller() {
        let buffer = Buffer::default();
        buffer.put(vec![entry("a", Some("1"))]).unwrap();
        buffer.seal().unwrap();
        buffer.spilled(Err("disk is gone".to_owned()));
        assert!(buffer.next_sealed().is_none());
        assert_eq!(buffer.drain(), Err("disk is gone".to_owned()));
        assert_eq!(buffer.get(b"a"), Some(Some(Slice::from("1"))), "it is still the newest");
    }

    #[test]
    fn a_removal_takes_no_place_of_what_is_sealed_behind_it() {
        let buffer = Buffer::default();
        buffer.put(vec![entry("a", Some("1")), entry("b", Some("2"))]).unwrap();
        buffer.seal().unwrap();
        buffer.put(vec![entry("a", None)]).unwrap();
        let (entries, ()) = buffer.scan(&(b"a".to_vec()..=b"z".to_vec()), Order::Rising, 1, || ());
        assert_eq!(entries, [entry("a", None), entry("b", Some("2"))]);
    }

    #[test]
    fn a_scan_ends_at_its_limit_of_live_entries_and_keeps_the_removals_before() {
        let buffer = Buffer::default();
        buffer.put(vec![entry("a", Some("1")), entry("c", Some("3"))]).unwrap();
        buffer.seal().unwrap();
        buffer.put(vec![entry("a", None), entry("b", Some("2")), entry("d", Some("4"))]).unwrap();
        let keys = b"a".to_vec()..=b"z".to_vec();
        let (entries, ()) = buffer.scan(&keys, Order::Rising, 2, || ());
        assert_eq!(entries, [entry("a", None), entry("b", Some("2")), entry("c", Some("3"))]);
        let (entries, ()) = buffer.scan(&keys, Order::Falling, 1, || ());
        assert_eq!(entries, [entry("d", Some("4"))]);
    }
}
