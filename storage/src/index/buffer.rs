//! What is applied and not in the engine yet. The log is the journal of the
//! index, so a batch only changes this buffer; a full buffer is spilled to the
//! engine as one sorted run, by a thread of its own. What a crash loses is
//! replayed from the log.
//!
//! Invariant: the engine holds a prefix of what was committed, batch by batch. A
//! buffer is sealed between batches, and ingested whole or not at all, with the
//! mark that belongs to it.

mod key;
mod table;

#[cfg(not(all(test, shuttle)))]
use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{
    convert::Infallible,
    ops::RangeInclusive,
    sync::{Arc, PoisonError},
};

use fjall::Slice;
#[cfg(all(test, shuttle))]
use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use weir_types::{EntityId, GroupId};

use self::table::Heads;
pub(super) use self::{key::Key, table::Table};
use super::{
    IndexHead,
    merge::{Entry, Order, merge},
};

/// Bytes of a buffer, with what its tree costs, at which it is sealed. While
/// one is spilled another fills, and the heads of the one before stay: the index holds at most about three times as
/// much.
const BUFFER_BYTES: usize = 24 * 1024 * 1024;

/// What a batch puts, or takes away (`None`).
#[derive(Debug, Default)]
pub(super) struct Writes {
    pub(super) keys: Vec<(Key, Option<Slice>)>,
    pub(super) heads: Vec<IndexHead>,
}

/// The buffer of one index.
pub(super) struct Buffer {
    group: GroupId,
    tables: RwLock<Tables>,
    spill: Mutex<Spill>,
    changed: Condvar,
}

struct Tables {
    active: Table,
    sealed: Option<Arc<Table>>,
    /// Heads of the buffer that was spilled last: who appended lately appends again.
    recent: Heads,
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
    pub(super) fn new(group: GroupId) -> Self {
        let tables = Tables { active: Table::new(group), sealed: None, recent: Heads::default() };
        Self { group, tables: RwLock::new(tables), spill: Mutex::default(), changed: Condvar::default() }
    }

    /// Takes a batch in, whole. Waits while the buffer before it is still being spilled.
    ///
    /// # Errors
    /// The reason, when spilling has failed.
    pub(super) fn put(&self, writes: Writes) -> Result<(), String> {
        let full = {
            let mut tables = self.write();
            tables.active.take(writes);
            tables.active.bytes >= BUFFER_BYTES
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
        let sealed = std::mem::replace(&mut tables.active, Table::new(self.group));
        tables.sealed = Some(Arc::new(sealed));
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

    /// Says what became of the sealed buffer, which the caller holds no more.
    pub(super) fn spilled(&self, result: Result<(), String>) {
        let spent;
        let mut spill = self.spill.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                spent = Some(self.write().settle());
                spill.pending = false;
            }
            Err(reason) => {
                spent = None;
                spill.failed = Some(reason);
            }
        }
        self.changed.notify_all();
        drop(spill);
        drop(spent);
    }

    /// Ends the spilling, once nothing waits.
    pub(super) fn close(&self) {
        self.spill.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    /// What the buffer says of a key that is no head's: `None` when it says nothing.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Slice>> {
        let (key, tables) = (Key::from(key), self.read());
        let sealed = || tables.sealed.as_ref().and_then(|sealed| sealed.get(&key));
        tables.active.get(&key).or_else(sealed).cloned()
    }

    /// A stream's head, if the buffer has it.
    pub(super) fn head(&self, entity: &EntityId) -> Option<IndexHead> {
        let tables = self.read();
        let sealed = || tables.sealed.as_ref().and_then(|sealed| sealed.heads.get(entity));
        let head = tables.active.heads.get(entity).or_else(sealed);
        head.or_else(|| tables.recent.get(entity)).cloned()
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
        let sealed = tables.sealed.iter().flat_map(|sealed| sealed.range(keys, order));
        let merged = merge(tables.active.range(keys, order), sealed, order);
        (until_live(merged, limit), below())
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// The engine has what is sealed; its heads stay at hand. Gives what is to be dropped, which takes time.
    fn settle(&mut self) -> (Option<Table>, Heads) {
        let mut spent = self.sealed.take().and_then(Arc::into_inner);
        let heads = spent.as_mut().map(|table| std::mem::take(&mut table.heads)).unwrap_or_default();
        (spent, std::mem::replace(&mut self.recent, heads))
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
    use weir_types::{EntityType, Position, StreamHead, StreamVersion, Timestamp};

    use super::*;
    use crate::{
        index::merge::all_keys,
        schema::{IndexKey, StreamNo},
    };

    fn entry(key: &str, value: Option<&str>) -> Entry {
        (Slice::from(key), value.map(Slice::from))
    }

    fn batch(entries: Vec<Entry>) -> Writes {
        let keys = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Writes { keys, heads: Vec::new() }
    }

    #[test]
    fn what_is_sealed_is_seen_until_the_engine_has_it_and_newer_entries_hide_it() {
        let buffer = Buffer::new(GroupId::DEFAULT);
        buffer.put(batch(vec![entry("a", Some("1")), entry("b", Some("1"))])).unwrap();
        buffer.seal().unwrap();
        buffer.put(batch(vec![entry("b", None)])).unwrap();
        assert_eq!(buffer.get(b"a"), Some(Some(Slice::from("1"))));
        assert_eq!(buffer.get(b"b"), Some(None));
        assert_eq!(buffer.get(b"c"), None);
        assert_eq!(buffer.next_sealed().unwrap().len(), 2);
        buffer.spilled(Ok(()));
        assert_eq!((buffer.get(b"a"), buffer.get(b"b")), (None, Some(None)));
    }

    #[test]
    fn a_failed_spill_is_told_to_all_and_ends_the_spiller() {
        let buffer = Buffer::new(GroupId::DEFAULT);
        buffer.put(batch(vec![entry("a", Some("1"))])).unwrap();
        buffer.seal().unwrap();
        buffer.spilled(Err("disk is gone".to_owned()));
        assert!(buffer.next_sealed().is_none());
        assert_eq!(buffer.drain(), Err("disk is gone".to_owned()));
        assert_eq!(buffer.get(b"a"), Some(Some(Slice::from("1"))), "it is still the newest");
    }

    #[test]
    fn a_removal_takes_no_place_of_what_is_sealed_behind_it() {
        let buffer = Buffer::new(GroupId::DEFAULT);
        buffer.put(batch(vec![entry("a", Some("1")), entry("b", Some("2"))])).unwrap();
        buffer.seal().unwrap();
        buffer.put(batch(vec![entry("a", None)])).unwrap();
        let (entries, ()) = buffer.scan(&(b"a".to_vec()..=b"z".to_vec()), Order::Rising, 1, || ());
        assert_eq!(entries, [entry("a", None), entry("b", Some("2"))]);
    }

    #[test]
    fn a_scan_ends_at_its_limit_of_live_entries_and_keeps_the_removals_before() {
        let buffer = Buffer::new(GroupId::DEFAULT);
        buffer.put(batch(vec![entry("a", Some("1")), entry("c", Some("3"))])).unwrap();
        buffer.seal().unwrap();
        buffer.put(batch(vec![entry("a", None), entry("b", Some("2")), entry("d", Some("4"))])).unwrap();
        let keys = b"a".to_vec()..=b"z".to_vec();
        let (entries, ()) = buffer.scan(&keys, Order::Rising, 2, || ());
        assert_eq!(entries, [entry("a", None), entry("b", Some("2")), entry("c", Some("3"))]);
        let (entries, ()) = buffer.scan(&keys, Order::Falling, 1, || ());
        assert_eq!(entries, [entry("d", Some("4"))]);
    }

    fn head(name: &str, version: u64) -> IndexHead {
        let head = StreamHead {
            entity_id: EntityId::new(name).expect("it is legal"),
            entity_type: EntityType::new("t").expect("it is legal"),
            version: StreamVersion(version),
            first_position: Position(1),
            last_position: Position(version),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        IndexHead { stream_no: StreamNo(1), head, last_event: weir_types::EventId(uuid::Uuid::nil()) }
    }

    fn version(buffer: &Buffer, name: &str) -> Option<u64> {
        let name = EntityId::new(name).expect("it is legal");
        buffer.head(&name).map(|found| found.head.version.0)
    }

    #[test]
    fn the_newest_head_is_found_in_every_generation_until_another_buffer_is_spilled() {
        let buffer = Buffer::new(GroupId::DEFAULT);
        let put = |name, version| {
            buffer.put(Writes { keys: Vec::new(), heads: vec![head(name, version)] }).unwrap();
        };
        let spill = || {
            buffer.seal().unwrap();
            drop(buffer.next_sealed().unwrap());
            buffer.spilled(Ok(()));
        };
        put("a", 1);
        put("a", 2);
        buffer.seal().unwrap();
        assert_eq!(version(&buffer, "a"), Some(2), "in the sealed one");
        put("a", 3);
        assert_eq!(version(&buffer, "a"), Some(3));
        buffer.spilled(Ok(()));
        assert_eq!(version(&buffer, "a"), Some(3), "an older one that was spilled does not hide it");
        spill();
        assert_eq!(version(&buffer, "a"), Some(3), "spilled, and still at hand");
        put("b", 1);
        spill();
        assert_eq!((version(&buffer, "a"), version(&buffer, "b")), (None, Some(1)));
    }

    #[test]
    fn a_walk_over_everything_meets_heads_encoded_and_in_their_place() {
        let buffer = Buffer::new(GroupId::DEFAULT);
        let key = |key: IndexKey<'_>| Slice::from(key.encode(GroupId::DEFAULT));
        let before = (key(IndexKey::StreamRun(StreamNo(1), StreamVersion(1))), Some(Slice::from("run")));
        let after = (key(IndexKey::Mark), Some(Slice::from("mark")));
        let keys = [&before, &after].map(|(key, value)| (key.clone().into(), value.clone()));
        let heads = vec![head("b", 1), head("a", 7)];
        buffer.put(Writes { keys: keys.into(), heads }).unwrap();
        let (mut entries, ()) = buffer.scan(&all_keys(), Order::Rising, usize::MAX, || ());
        let names = entries.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let heads = ["a", "b"].map(|name| key(IndexKey::Head(name)));
        assert_eq!(names, [before.0.clone(), heads[0].clone(), heads[1].clone(), after.0.clone()]);
        let (falling, ()) = buffer.scan(&all_keys(), Order::Falling, usize::MAX, || ());
        entries.reverse();
        assert_eq!(falling, entries);
        let (runs, ()) = buffer.scan(&(before.0.to_vec()..=before.0.to_vec()), Order::Rising, 9, || ());
        assert_eq!(runs, [before]);
    }
}
