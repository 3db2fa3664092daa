//! The time of the buckets, where it is made: on the node that leads.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use weir_types::{Term, Timestamp, ports::Clock};

/// Tells what the clock says. Where another node's clock was ahead of it, the time goes on from there: what was put with
/// a time to live would live longer by as much if it stood still.
pub(crate) struct BucketClock {
    clock: Arc<dyn Clock>,
    told: Mutex<Option<Told>>,
}

/// What was told last.
#[derive(Debug, Clone, Copy)]
struct Told {
    term: Term,
    time: Timestamp,
    at: Instant,
}

impl BucketClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, told: Mutex::default() }
    }

    /// The time in a term, with the latest that was applied.
    pub(crate) fn now(&self, term: Term, applied: Timestamp) -> Timestamp {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        let going = told.filter(|told| told.term == term).map(|told| (told.time, at - told.at));
        let time = later(self.clock.now(), applied, going);
        *told = Some(Told { term, time, at });
        time
    }
}

/// The time by a clock, by what was applied, and by what was told so long ago.
fn later(clock: Timestamp, applied: Timestamp, going: Option<(Timestamp, Duration)>) -> Timestamp {
    let going = going.map_or(applied, |(time, since)| {
        Timestamp(time.0.saturating_add(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
    });
    clock.max(applied).max(going)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use super::*;

    struct Set(AtomicI64);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Relaxed))
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const SECOND_US: i64 = 1_000_000;

    #[tokio::test(start_paused = true)]
    async fn the_time_of_buckets_goes_on_where_another_clock_was_ahead() {
        let hand = Arc::new(Set(AtomicI64::new(100 * SECOND_US)));
        let clock = BucketClock::new(hand.clone());
        let now =
            |term: u64, applied: i64| clock.now(Term(term), Timestamp(applied * SECOND_US)).0 / SECOND_US;
        assert_eq!(now(1, 3_700), 3_700, "never before what was applied");
        for gone in 1..=5 {
            tokio::time::advance(SECOND).await;
            hand.0.fetch_add(SECOND_US, Relaxed);
            // What this node stamps is applied before it is asked again, or not.
            assert_eq!(now(1, 3_700 + gone - 1), 3_700 + gone);
        }
        hand.0.store(5_000 * SECOND_US, Relaxed);
        assert_eq!(now(1, 3_705), 5_000, "the clock is ahead");
        hand.0.store(200 * SECOND_US, Relaxed);
        tokio::time::advance(SECOND).await;
        assert_eq!(now(1, 3_705), 5_001, "it never falls");
        assert_eq!(now(2, 3_705), 3_705, "what came to nothing in another term does not count");
    }
}
