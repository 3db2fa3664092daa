use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    ops::RangeInclusive,
};

use fjall::Slice;
use weir_types::{EntityId, GroupId, Planted, planted};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::{Writes, key::Key};
use crate::{
    codec::{StoredHead, encode},
    index::{
        IndexHead,
        merge::{Entry, Order, all_keys, merge},
    },
    schema::IndexKey,
};

/// What an entry costs beside its key and value.
const ENTRY_BYTES: usize = 112;
/// What a head costs beside its stream's name.
const HEAD_BYTES: usize = 256;

/// Heads as they are, by their streams.
pub(super) type Heads = HashMap<EntityId, IndexHead, Xxh3DefaultBuilder>;

/// What a buffer holds: heads by name, because every append puts one and asks for one, and all else in order.
/// Heads are encoded when they leave it, however often they were put.
pub(in crate::index) struct Table {
    group: GroupId,
    pub(super) heads: Heads,
    /// `None` removes the key from what lies below.
    rest: BTreeMap<Key, Option<Slice>>,
    /// About what it takes in memory.
    pub(super) bytes: usize,
}

impl Table {
    pub(super) fn new(group: GroupId) -> Self {
        Self { group, heads: Heads::default(), rest: BTreeMap::new(), bytes: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.rest.is_empty()
    }

    /// Entries.
    pub(in crate::index) fn len(&self) -> usize {
        self.heads.len() + self.rest.len()
    }

    pub(super) fn take(&mut self, writes: Writes) {
        for (key, value) in writes.keys {
            self.bytes += key.bytes.len() + value.as_ref().map_or(0, |value| value.len()) + ENTRY_BYTES;
            self.rest.insert(key, value);
        }
        for head in writes.heads {
            let name = &head.head.entity_id;
            if planted(Planted::HeadCacheNotUpdated) && self.heads.contains_key(name) {
                continue;
            }
            let bytes = HEAD_BYTES + name.as_str().len();
            if self.heads.insert(name.clone(), head).is_none() {
                self.bytes += bytes;
            }
        }
    }

    /// What it says of a key that is no head's: `None` when it says nothing.
    pub(super) fn get(&self, key: &Key) -> Option<&Option<Slice>> {
        self.rest.get(key)
    }

    /// Entries of a range, in order.
    pub(in crate::index) fn range(
        &self,
        keys: &RangeInclusive<Vec<u8>>,
        order: Order,
    ) -> Box<dyn Iterator<Item = Result<Entry, Infallible>> + '_> {
        let bounds = Key::from(keys.start().as_slice())..=Key::from(keys.end().as_slice());
        let rest = self.rest.range(bounds).map(|(key, value)| Ok((key.bytes.clone(), value.clone())));
        let heads = self.heads_within(keys).into_iter().map(Ok);
        match order {
            Order::Rising if heads.len() == 0 => Box::new(rest),
            Order::Falling if heads.len() == 0 => Box::new(rest.rev()),
            Order::Rising => Box::new(merge(rest, heads, order)),
            Order::Falling => Box::new(merge(rest.rev(), heads.rev(), order)),
        }
    }

    /// All entries, in order.
    pub(in crate::index) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.range(&all_keys(), Order::Rising).map(|Ok(entry)| entry)
    }

    /// Heads whose keys are in a range, encoded and in order. Only what walks the whole index has any.
    fn heads_within(&self, keys: &RangeInclusive<Vec<u8>>) -> Vec<Entry> {
        let first = self.head_key("");
        let may_hold = *keys.start() <= first || keys.start().starts_with(&first);
        if !may_hold || *keys.end() < first {
            return Vec::new();
        }
        let within = self.heads.values().filter_map(|head| {
            let key = self.head_key(head.head.entity_id.as_str());
            keys.contains(&key).then(|| (key.into(), Some(encode(&StoredHead::from(head)).into())))
        });
        let mut heads: Vec<Entry> = within.collect();
        heads.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        heads
    }

    fn head_key(&self, name: &str) -> Vec<u8> {
        IndexKey::Head(name).encode(self.group)
    }
}
