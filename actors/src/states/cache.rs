//! States that were folded, by who folded them, stream and version: bounded in bytes, and the longest unused go first.

use std::{collections::BTreeMap, sync::Arc};

use weir_types::{EntityId, EntityType, LogIndex, ProjectionId, StreamVersion};

/// What a state costs beside its text.
const OVERHEAD_BYTES: usize = 512;

/// What folds: the same for as long as it gives the same states.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Folder {
    /// The invariant of an entity type, as a log index left it.
    Invariant(EntityType, LogIndex),
    /// A deployment of a virtual projection.
    Projection(ProjectionId),
}

type Key = (Folder, EntityId, StreamVersion);

/// The states.
pub(super) struct Cache {
    bytes_max: usize,
    bytes: usize,
    states: BTreeMap<Key, (Arc<str>, u64)>,
    /// By when they were used last.
    turns: BTreeMap<u64, Key>,
    turn: u64,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, states: BTreeMap::new(), turns: BTreeMap::new(), turn: 0 }
    }

    /// The state of the newest version that is not beyond one.
    pub(super) fn newest(
        &mut self,
        folder: &Folder,
        entity: &EntityId,
        last: StreamVersion,
    ) -> Option<(StreamVersion, Arc<str>)> {
        let from = (folder.clone(), entity.clone(), StreamVersion::ZERO);
        let to = (folder.clone(), entity.clone(), last);
        let (key, (state, turn)) = self.states.range_mut(from..=to).next_back()?;
        self.turn += 1;
        self.turns.remove(&*turn);
        self.turns.insert(self.turn, key.clone());
        *turn = self.turn;
        Some((key.2, Arc::clone(state)))
    }

    pub(super) fn keep(&mut self, folder: Folder, entity: EntityId, version: StreamVersion, state: Arc<str>) {
        let key = (folder, entity, version);
        self.forget(&key);
        if state.len() + OVERHEAD_BYTES > self.bytes_max {
            return;
        }
        self.turn += 1;
        self.bytes += state.len() + OVERHEAD_BYTES;
        self.turns.insert(self.turn, key.clone());
        self.states.insert(key, (state, self.turn));
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.turns.first_key_value() else { break };
            let oldest = oldest.clone();
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some((state, turn)) = self.states.remove(key) {
            self.bytes -= state.len() + OVERHEAD_BYTES;
            self.turns.remove(&turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(set: u64) -> Folder {
        Folder::Invariant(EntityType::new("t").unwrap(), LogIndex(set))
    }

    fn entity(name: &str) -> EntityId {
        EntityId::new(name).unwrap()
    }

    #[test]
    fn the_newest_that_is_not_beyond_is_found_of_the_same_folder_and_stream() {
        let mut cache = Cache::new(1_000_000);
        for (set, name, version) in [(1, "a", 3), (1, "a", 7), (2, "a", 5), (1, "b", 6)] {
            let state = format!("{set}{name}{version}").into();
            cache.keep(folder(set), entity(name), StreamVersion(version), state);
        }
        let mut newest = |set, name, last| {
            cache.newest(&folder(set), &entity(name), StreamVersion(last)).map(|(version, state)| {
                assert_eq!(*state, format!("{set}{name}{version}"));
                version.0
            })
        };
        assert_eq!(
            [2, 3, 6, 7, 99].map(|last| newest(1, "a", last)),
            [None, Some(3), Some(3), Some(7), Some(7)]
        );
        assert_eq!((newest(2, "a", 9), newest(1, "b", 5), newest(3, "a", 9)), (Some(5), None, None));
    }

    #[test]
    fn the_longest_unused_goes_first_and_bytes_are_bounded() {
        let mut cache = Cache::new(10 * (1_000 + OVERHEAD_BYTES));
        let state = |byte: char| -> Arc<str> { Arc::from(byte.to_string().repeat(1_000)) };
        for number in 0..30 {
            cache.keep(folder(1), entity(&format!("e{number}")), StreamVersion(1), state('x'));
            assert!(cache.newest(&folder(1), &entity("e0"), StreamVersion(1)).is_some());
            assert!(cache.bytes <= cache.bytes_max && cache.states.len() == cache.turns.len());
        }
        assert_eq!(cache.states.len(), 10);
        cache.keep(folder(1), entity("e0"), StreamVersion(1), state('y'));
        assert_eq!(cache.states.len(), 10, "in the place of the same");
        cache.keep(folder(1), entity("large"), StreamVersion(1), Arc::from("x".repeat(1_000_000)));
        assert_eq!(cache.states.len(), 10, "what is too large is not kept");
    }
}
