use std::collections::VecDeque;

use weir_types::{PartitionKey, Position};

/// Changes that are remembered; who is behind them looks through all partitions instead.
const CHANGES_MAX: usize = 4_096;

/// The partitions that changed last, bounded in number.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentChanges {
    /// Each with the checkpoint of the step that changed it.
    changes: VecDeque<(PartitionKey, Position)>,
    /// Of what was changed up to here, something may be missing.
    missing: Position,
}

impl RecentChanges {
    /// Nothing is known of what was changed up to a checkpoint.
    pub(super) fn after(checkpoint: Position) -> Self {
        Self { changes: VecDeque::new(), missing: checkpoint }
    }

    /// A step that ended at `checkpoint` changed these.
    pub(super) fn put(&mut self, partitions: impl IntoIterator<Item = PartitionKey>, checkpoint: Position) {
        for partition in partitions {
            self.changes.push_back((partition, checkpoint));
            if self.changes.len() > CHANGES_MAX
                && let Some((_, forgotten)) = self.changes.pop_front()
            {
                self.missing = forgotten;
            }
        }
    }

    /// The partitions that changed after a checkpoint, newest first, some perhaps several times; `None` when that is
    /// not known any more.
    pub(super) fn since(&self, checkpoint: Position) -> Option<impl Iterator<Item = &PartitionKey>> {
        let newer = move |change: &&(PartitionKey, Position)| change.1 > checkpoint;
        (checkpoint >= self.missing).then(|| self.changes.iter().rev().take_while(newer).map(|(key, _)| key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> PartitionKey {
        PartitionKey::new(number.to_string()).unwrap()
    }

    #[test]
    fn changes_are_known_after_every_checkpoint_that_is_not_forgotten() {
        let mut recent = RecentChanges::after(Position(5));
        recent.put([key(1), key(2)], Position(7));
        recent.put([key(1)], Position(9));
        let since = |recent: &RecentChanges, at| recent.since(Position(at)).map(|found| found.count());
        assert_eq!([4, 5, 6, 7, 9].map(|at| since(&recent, at)), [None, Some(3), Some(3), Some(1), Some(0)]);
        recent.put((0..CHANGES_MAX).map(key), Position(11));
        assert_eq!([7, 8, 9, 11].map(|at| since(&recent, at)), [None, None, Some(CHANGES_MAX), Some(0)]);
        // A step that is larger than what is remembered is not known in part.
        recent.put((0..=CHANGES_MAX).map(key), Position(13));
        assert_eq!([11, 12, 13].map(|at| since(&recent, at)), [None, None, Some(0)]);
    }
}
