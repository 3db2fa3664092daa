use std::collections::{BTreeMap, HashMap};

use weir_types::{EventId, limits};

/// Which delivery of an event a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) position: u64,
    pub(super) attempt: u32,
    pub(super) desk: u64,
}

/// What a client of a consumer group has and has not settled.
///
/// No group has more with its consumers at once than [`limits::CONSUMER_IN_FLIGHT_MAX`]: of more than that, the
/// oldest are with others by now, and are forgotten.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    by_event: HashMap<EventId, Held>,
    /// In the order in which they were given.
    order: BTreeMap<u64, EventId>,
}

#[derive(Debug)]
struct Held {
    holding: Holding,
    /// When it was given, as a number that rises.
    turn: u64,
    sent: bool,
}

impl Holdings {
    /// The client is about to be given an event. A later delivery takes the place of an earlier one.
    pub(super) fn hold(&mut self, event: EventId, holding: Holding, turn: u64) {
        if let Some(before) = self.by_event.insert(event, Held { holding, turn, sent: false }) {
            self.order.remove(&before.turn);
        }
        self.order.insert(turn, event);
        while self.order.len() > limits::CONSUMER_IN_FLIGHT_MAX as usize
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.by_event.remove(&oldest);
        }
    }

    /// The client was sent an event.
    pub(super) fn sent(&mut self, event: EventId) {
        if let Some(held) = self.by_event.get_mut(&event) {
            held.sent = true;
        }
    }

    /// When the client was given an event, if it has it.
    pub(super) fn turn(&self, event: EventId) -> Option<u64> {
        self.by_event.get(&event).map(|held| held.turn)
    }

    /// Takes an event from the client, if it has it.
    pub(super) fn release(&mut self, event: EventId) -> Option<Holding> {
        let held = self.by_event.remove(&event)?;
        self.order.remove(&held.turn);
        Some(held.holding)
    }

    /// Takes all, each with whether it was sent.
    pub(super) fn drain(&mut self) -> Vec<(Holding, bool)> {
        self.order.clear();
        self.by_event.drain().map(|(_, held)| (held.holding, held.sent)).collect()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn event(number: u64) -> EventId {
        EventId(Uuid::from_u128(u128::from(number)))
    }

    fn holding(position: u64) -> Holding {
        Holding { position, attempt: 1, desk: 7 }
    }

    #[test]
    fn what_was_never_sent_is_told_apart_when_the_client_goes() {
        let mut holdings = Holdings::default();
        holdings.hold(event(1), holding(1), 1);
        holdings.hold(event(2), holding(2), 2);
        holdings.sent(event(1));
        let mut left = holdings.drain();
        left.sort_unstable_by_key(|(holding, _)| holding.position);
        assert_eq!(left, [(holding(1), true), (holding(2), false)]);
        assert_eq!(holdings.drain(), []);
    }

    #[test]
    fn a_client_that_settles_nothing_does_not_make_it_grow() {
        let max = u64::from(limits::CONSUMER_IN_FLIGHT_MAX);
        let mut holdings = Holdings::default();
        for number in 0..max + 5 {
            holdings.hold(event(number), holding(number), number);
        }
        assert_eq!((holdings.by_event.len() as u64, holdings.order.len() as u64), (max, max));
        assert_eq!(holdings.release(event(4)), None);
        assert_eq!(holdings.release(event(5)), Some(holding(5)));
    }

    #[test]
    fn a_later_delivery_takes_the_place_of_an_earlier_one() {
        let mut holdings = Holdings::default();
        holdings.hold(event(1), holding(1), 1);
        holdings.hold(event(1), Holding { attempt: 2, ..holding(1) }, 9);
        assert_eq!((holdings.turn(event(1)), holdings.order.len()), (Some(9), 1));
        assert_eq!(holdings.release(event(1)).map(|held| held.attempt), Some(2));
        assert_eq!((holdings.turn(event(1)), holdings.order.len()), (None, 0));
    }
}
