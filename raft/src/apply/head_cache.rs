//! Heads of the streams that are hot, so that an append to one reads no disk.

use std::collections::HashMap;

use weir_storage::index::IndexHead;
use weir_types::{EntityId, limits};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

type Heads = HashMap<EntityId, IndexHead, Xxh3DefaultBuilder>;

/// Two generations: what was not used while the younger one filled is dropped.
/// The applier is the only writer of heads, so a cached head is the head.
#[derive(Default)]
pub(super) struct HeadCache {
    young: Heads,
    old: Heads,
}

impl HeadCache {
    pub(super) fn get(&self, entity: &EntityId) -> Option<&IndexHead> {
        self.young.get(entity).or_else(|| self.old.get(entity))
    }

    pub(super) fn put(&mut self, head: &IndexHead) {
        if self.young.len() >= limits::APPLIED_HEADS_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(head.head.entity_id.clone(), head.clone());
    }
}
