//! Look-ups through the buffer into the engine.

use fjall::Slice;

use super::{
    Index, IndexError,
    merge::{Entry, Order, all_keys, merge},
};
use crate::schema::IndexKey;

impl Index {
    pub(super) fn get(&self, key: IndexKey<'_>) -> Result<Option<Slice>, IndexError> {
        match self.inner.buffer.get(&key.encode(self.inner.group)) {
            Some(value) => Ok(value),
            None => self.stored(key),
        }
    }

    /// What the engine says of a key.
    pub(super) fn stored(&self, key: IndexKey<'_>) -> Result<Option<Slice>, IndexError> {
        let key = key.encode(self.inner.group);
        self.inner.keys.get(key).map_err(|error| self.failed("key", error))
    }

    /// Keys and values from `first` to `last`, both included. The caller takes at most `limit` of them.
    pub(super) fn scan(
        &self,
        first: IndexKey<'_>,
        last: IndexKey<'_>,
        order: Order,
        limit: usize,
    ) -> impl Iterator<Item = Result<(Slice, Slice), IndexError>> + '_ {
        let group = self.inner.group;
        self.scan_keys(first.encode(group)..=last.encode(group), order, limit)
    }

    /// All of them, in order.
    pub(super) fn scan_all(&self) -> impl Iterator<Item = Result<(Slice, Slice), IndexError>> + '_ {
        self.scan_keys(all_keys(), Order::Rising, usize::MAX)
    }

    pub(super) fn scan_keys(
        &self,
        keys: std::ops::RangeInclusive<Vec<u8>>,
        order: Order,
        limit: usize,
    ) -> impl Iterator<Item = Result<(Slice, Slice), IndexError>> + '_ {
        // Opened while the buffer stands still, so that nothing is missed on its way from one to the other.
        let (buffered, stored) =
            self.inner.buffer.scan(&keys, order, limit, || self.inner.keys.range(keys.clone()));
        let stored = Stored { stored, order }.map(|entry| entry.map_err(|error| self.failed("range", error)));
        let merged = merge(buffered.into_iter().map(Ok), stored, order);
        merged.filter_map(|entry: Result<Entry, IndexError>| match entry {
            Ok((key, value)) => value.map(|value| Ok((key, value))),
            Err(error) => Some(Err(error)),
        })
    }
}

/// The engine's entries, in either order.
struct Stored {
    stored: fjall::Iter,
    order: Order,
}

impl Iterator for Stored {
    type Item = fjall::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = match self.order {
            Order::Rising => self.stored.next(),
            Order::Falling => self.stored.next_back(),
        };
        entry.map(|entry| entry.into_inner().map(|(key, value)| (key, Some(value))))
    }
}
