use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::{Instant, timeout_at},
};
use weir_types::Position;

/// Stops a fold between two steps, and lets it go on to an exact position.
///
/// Invariants:
/// - While a hold stands, no event after its position is folded.
/// - A hold ends by itself: whoever made it may be gone.
#[derive(Default)]
pub(super) struct Brake {
    holds: watch::Sender<Holds>,
    /// Whoever has it is folding a step, or is making a hold.
    step: Mutex<()>,
}

#[derive(Default)]
struct Holds {
    /// Whether the fold is told to end.
    closed: bool,
    made: u64,
    standing: BTreeMap<u64, Limit>,
}

#[derive(Clone, Copy)]
struct Limit {
    position: Position,
    until: Instant,
}

impl Holds {
    /// The lowest of the limits that stand.
    fn limit(&self, now: Instant) -> Option<Limit> {
        let live = self.standing.values().filter(|limit| limit.until > now);
        live.copied().min_by_key(|limit| limit.position)
    }
}

/// Leave for one step.
pub(super) struct Permit<'a> {
    _step: MutexGuard<'a, ()>,
    /// The last position that it may fold.
    pub(super) upto: Position,
}

impl Brake {
    /// Waits until the event at `next` may be folded; `None` when the fold is to end.
    pub(super) async fn permit(&self, next: Position) -> Option<Permit<'_>> {
        let mut holds = self.holds.subscribe();
        loop {
            let step = self.step.lock().await;
            let limit = {
                let now = holds.borrow_and_update();
                if now.closed {
                    return None;
                }
                now.limit(Instant::now())
            };
            match limit {
                None => return Some(Permit { _step: step, upto: Position(u64::MAX) }),
                Some(limit) if limit.position >= next => {
                    return Some(Permit { _step: step, upto: limit.position });
                }
                Some(limit) => {
                    drop(step);
                    // Whether it ended by itself or was changed: it is looked at again.
                    drop(timeout_at(limit.until, holds.changed()).await);
                }
            }
        }
    }

    /// Waits for the step at hand, and stops the fold where it is then, at most for `patience`.
    pub(super) async fn hold(
        self: &Arc<Self>,
        folded: impl FnOnce() -> Position + Send,
        patience: Duration,
    ) -> Hold {
        let _step = self.step.lock().await;
        let limit = Limit { position: folded(), until: Instant::now() + patience };
        let mut id = 0;
        self.holds.send_modify(|holds| {
            holds.made += 1;
            id = holds.made;
            holds.standing.insert(id, limit);
        });
        Hold { brake: self.clone(), id, limit }
    }

    /// The fold ends at its next step.
    pub(super) fn close(&self) {
        self.holds.send_modify(|holds| holds.closed = true);
    }

    /// It may begin again.
    pub(super) fn open(&self) {
        self.holds.send_modify(|holds| holds.closed = false);
    }
}

/// A fold that is stopped, until this is dropped or its time is over.
pub(super) struct Hold {
    brake: Arc<Brake>,
    id: u64,
    limit: Limit,
}

impl Hold {
    /// The position up to which the fold may go.
    pub(super) fn position(&self) -> Position {
        self.limit.position
    }

    /// Whether it stands for this long still.
    pub(super) fn stands_for(&self, time: Duration) -> bool {
        Instant::now() + time < self.limit.until
    }

    /// Lets the fold go on, up to `position` and no further.
    pub(super) fn lift(&mut self, position: Position) {
        self.change(|limit| limit.position = limit.position.max(position));
    }

    /// Begins its time anew.
    pub(super) fn extend(&mut self, patience: Duration) {
        self.change(|limit| limit.until = Instant::now() + patience);
    }

    fn change(&mut self, change: impl FnOnce(&mut Limit)) {
        change(&mut self.limit);
        self.brake.holds.send_modify(|holds| {
            holds.standing.insert(self.id, self.limit);
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.brake.holds.send_modify(|holds| {
            holds.standing.remove(&self.id);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn upto(brake: &Brake, next: u64) -> Option<u64> {
        let permit = tokio::time::timeout(Duration::from_secs(1), brake.permit(Position(next))).await;
        permit.ok().flatten().map(|permit| permit.upto.0)
    }

    #[tokio::test(start_paused = true)]
    async fn the_lowest_hold_counts_until_it_is_lifted_dropped_or_over() {
        let brake = Arc::new(Brake::default());
        assert_eq!(upto(&brake, 1).await, Some(u64::MAX));
        let mut low = brake.hold(|| Position(5), LONG).await;
        let high = brake.hold(|| Position(9), LONG).await;
        assert_eq!((upto(&brake, 5).await, upto(&brake, 6).await), (Some(5), None));
        low.lift(Position(7));
        assert_eq!((upto(&brake, 6).await, upto(&brake, 8).await), (Some(7), None));
        low.lift(Position(3));
        assert_eq!(low.position(), Position(7), "a fold never goes back");
        drop(low);
        assert_eq!((upto(&brake, 8).await, upto(&brake, 10).await), (Some(9), None));
        assert!(high.stands_for(Duration::from_secs(10)) && !high.stands_for(LONG));
        tokio::time::advance(LONG).await;
        assert_eq!(upto(&brake, 10).await, Some(u64::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_brake_lets_nobody_wait() {
        let brake = Arc::new(Brake::default());
        let _hold = brake.hold(|| Position(5), LONG).await;
        brake.close();
        assert!(brake.permit(Position(6)).await.is_none());
        brake.open();
        assert_eq!((upto(&brake, 5).await, upto(&brake, 6).await), (Some(5), None));
    }
}
