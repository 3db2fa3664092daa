use std::{collections::HashMap, sync::Arc};

use weir_types::{
    EntityId,
    limits::{SUBSCRIPTION_BYTES_MAX, SUBSCRIPTION_EVENTS_MAX},
};

use super::event::SharedEvent;

/// Of each stream the newest event, and how many were left out for it.
#[derive(Debug, Default)]
pub(super) struct Newest {
    places: HashMap<EntityId, usize>,
    kept: Vec<Option<Arc<SharedEvent>>>,
    bytes: usize,
    left_out: u64,
}

impl Newest {
    /// Takes the next event in order of position, in the place of an older one of its stream.
    pub(super) fn take(&mut self, event: Arc<SharedEvent>) {
        self.bytes += event.weight();
        let place = self.kept.len();
        if let Some(older) = self.places.insert(event.event().entity_id.clone(), place)
            && let Some(older) = self.kept[older].take()
        {
            self.bytes -= older.weight();
            self.left_out += 1;
        }
        self.kept.push(Some(event));
    }

    /// Whether there is no room for more: what is here is given then, and the rest after it.
    pub(super) fn is_full(&self) -> bool {
        // What was left out has left its place behind, which costs memory too.
        self.places.len() >= SUBSCRIPTION_EVENTS_MAX
            || self.kept.len() >= 2 * SUBSCRIPTION_EVENTS_MAX
            || self.bytes >= SUBSCRIPTION_BYTES_MAX
    }

    /// How many were left out, and the others in order of position.
    pub(super) fn end(self) -> (u64, impl Iterator<Item = Arc<SharedEvent>>) {
        (self.left_out, self.kept.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::flow::tests::event;

    #[test]
    fn the_newest_of_each_stream_stays_in_order() {
        let mut newest = Newest::default();
        for (position, stream) in [(1, "a"), (2, "b"), (3, "a"), (4, "c"), (5, "a")] {
            newest.take(event(position, stream, position));
        }
        let (left_out, kept) = newest.end();
        let positions: Vec<u64> = kept.map(|event| event.event().position.0).collect();
        assert_eq!((left_out, positions), (2, vec![2, 4, 5]));
    }
}
