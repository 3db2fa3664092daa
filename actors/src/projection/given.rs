//! What a follower of states was given, so that each state is given once and none is missed.

use std::collections::BTreeMap;

use weir_types::{PartitionKey, Position, ports::View};

use super::watch::ViewFrame;

/// What one follower was given. It looks in rounds: each gives what is newer than the round before and reaches a
/// target at least. A state may be newer than the target; the next round knows that it is given.
#[derive(Debug, Default)]
pub struct Given {
    seen: Position,
    target: Position,
    beyond: BTreeMap<PartitionKey, Position>,
    told_caught_up: bool,
}

impl Given {
    /// A follower that has all states up to a position.
    #[must_use]
    pub fn up_to(seen: Position) -> Self {
        Self { seen, ..Self::default() }
    }

    /// Up to here every state is given.
    #[must_use]
    pub fn seen(&self) -> Position {
        self.seen
    }

    /// Up to here every state is given once the round is over.
    pub fn aim(&mut self, target: Position) {
        self.target = target;
    }

    /// Gives a state, unless it is given.
    pub fn give(&mut self, partition: PartitionKey, view: View) -> Option<ViewFrame> {
        if view.position <= self.seen || self.beyond.get(&partition) == Some(&view.position) {
            return None;
        }
        if view.position > self.target {
            self.beyond.insert(partition.clone(), view.position);
        }
        Some(ViewFrame::State { partition, view })
    }

    /// The round is over: every state up to its target is given. Tells so after the first.
    pub fn end_round(&mut self) -> Option<ViewFrame> {
        self.seen = self.seen.max(self.target);
        let seen = self.seen;
        self.beyond.retain(|_, position| *position > seen);
        let first = !std::mem::replace(&mut self.told_caught_up, true);
        first.then_some(ViewFrame::CaughtUp { checkpoint: self.seen })
    }

    /// Another deployment is followed, and nothing of it is given.
    pub fn forget(&mut self) {
        *self = Self { told_caught_up: self.told_caught_up, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(position: u64) -> View {
        View { state: bytes::Bytes::new(), position: Position(position) }
    }

    fn key(name: &str) -> PartitionKey {
        PartitionKey::new(name).unwrap()
    }

    #[test]
    fn each_state_is_given_once() {
        let mut given = Given::up_to(Position(3));
        given.aim(Position(5));
        assert_eq!(given.give(key("a"), view(3)), None, "the follower has it");
        assert!(given.give(key("a"), view(5)).is_some());
        assert!(given.give(key("b"), view(8)).is_some(), "a round may find what is newer");
        assert_eq!(given.end_round(), Some(ViewFrame::CaughtUp { checkpoint: Position(5) }));
        given.aim(Position(8));
        assert_eq!(given.give(key("b"), view(8)), None);
        assert!(given.give(key("a"), view(7)).is_some());
        assert_eq!(given.end_round(), None, "it is told once");
        assert_eq!(given.seen(), Position(8));
    }

    #[test]
    fn of_another_deployment_nothing_is_given() {
        let mut given = Given::default();
        given.aim(Position(5));
        assert!(given.give(key("a"), view(9)).is_some());
        assert!(given.end_round().is_some());
        given.forget();
        given.aim(Position(9));
        assert!(given.give(key("a"), view(9)).is_some());
        assert_eq!(given.end_round(), None);
    }
}
