use std::{collections::VecDeque, sync::Arc};

use weir_types::{
    Position,
    limits::{SUBSCRIPTION_RING_BYTES_MAX as BYTES_MAX, SUBSCRIPTION_RING_EVENTS_MAX as EVENTS_MAX},
};

use super::event::SharedEvent;

/// The newest events that the tail has read, without a hole, bounded in number and bytes.
#[derive(Debug, Default)]
pub(super) struct Ring {
    events: VecDeque<Arc<SharedEvent>>,
    bytes: usize,
    /// The last position that the tail has read.
    tail: Position,
}

impl Ring {
    /// Begins anew after a position.
    pub(super) fn begin(&mut self, tail: Position) {
        *self = Self { tail, ..Self::default() };
    }

    /// The last position that was read.
    pub(super) fn tail(&self) -> Position {
        self.tail
    }

    /// The first position that is here; the one after the tail when there is none.
    pub(super) fn first(&self) -> Position {
        self.events.front().map_or(self.tail.next(), |event| event.event().position)
    }

    /// Takes the event after the tail; the oldest make room.
    pub(super) fn push(&mut self, event: Arc<SharedEvent>) {
        assert_eq!(event.event().position, self.tail.next(), "the tail reads without a hole");
        self.tail = event.event().position;
        self.bytes += event.weight();
        self.events.push_back(event);
        while self.events.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.events.len() > 1) {
            let oldest = self.events.pop_front();
            self.bytes -= oldest.map_or(0, |event| event.weight());
        }
    }

    /// The events after a position that is not before the ring.
    pub(super) fn after(&self, position: Position) -> impl Iterator<Item = &Arc<SharedEvent>> {
        let skip = (position.0 + 1).saturating_sub(self.first().0);
        self.events.range(usize::try_from(skip).unwrap_or(usize::MAX).min(self.events.len())..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::flow::tests::event;

    #[test]
    fn the_ring_is_bounded_and_gives_what_follows_a_position() {
        let mut ring = Ring::default();
        ring.begin(Position(9));
        assert_eq!((ring.first(), ring.tail()), (Position(10), Position(9)));
        for position in 10..10 + EVENTS_MAX as u64 + 5 {
            ring.push(event(position, "a", position));
        }
        assert_eq!(ring.first(), Position(15));
        assert_eq!(ring.after(Position(14)).count(), EVENTS_MAX);
        let last = ring.tail();
        assert_eq!(ring.after(Position(last.0 - 1)).count(), 1);
        assert_eq!(ring.after(last).count() + ring.after(Position(last.0 + 50)).count(), 0);
    }
}
