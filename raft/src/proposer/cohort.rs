//! When the next entry leaves.
//!
//! An entry costs its flushes and wake-ups whatever its size. Callers that were answered together ask again
//! together, a moment after the next entry could leave: without them it would hold the half of them that
//! waited, and so would each one after it. So the next entry waits for that cohort, at most
//! [`limits::COHORT_WAIT_MAX`] after the answers, and not at all where cohorts did not come back. What fills an
//! entry waits for nobody.

use tokio::time::Instant;
use weir_types::limits;

/// Of a hundred callers that were answered together, so many are waited for.
const EXPECTED_PERCENT: usize = 95;
/// Entries that leave without waiting after a cohort did not come back; four times as many each time.
const ENTRIES_UNGATHERED: u32 = 4;
const ENTRIES_UNGATHERED_MAX: u32 = 256;

/// Decides from what is in flight, what waits, and what was answered last.
#[derive(Debug, Default)]
pub(super) struct Cohort {
    in_flight: usize,
    expected: Option<Expected>,
    /// Entries that do not wait after the next cohort that stays away.
    penalty: u32,
    /// Entries that still do not wait.
    ungathered: u32,
}

#[derive(Debug, Clone, Copy)]
struct Expected {
    waiting: usize,
    until: Instant,
}

/// What waits, of which there is at least one item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Queued {
    fn fills_an_entry(self) -> bool {
        self.items >= limits::ENTRY_APPENDS_MAX || self.bytes >= limits::ENTRY_BYTES_MAX
    }
}

/// When an entry of what waits may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    Now,
    At(Instant),
    /// When more wait, or an entry in flight was answered.
    Later,
}

impl Cohort {
    /// When an entry of what waits may leave.
    pub(super) fn departure(&self, queued: Queued, now: Instant) -> Departure {
        if self.in_flight >= limits::ENTRIES_IN_FLIGHT_MAX {
            return Departure::Later;
        }
        if queued.fills_an_entry() {
            return Departure::Now;
        }
        if self.in_flight > 0 && queued.items < limits::ENTRY_BESIDE_MIN {
            return Departure::Later;
        }
        match self.expected {
            Some(expected) if queued.items < expected.waiting && now < expected.until => {
                Departure::At(expected.until)
            }
            _ => Departure::Now,
        }
    }

    /// An entry leaves of what waited.
    pub(super) fn left(&mut self, queued: Queued) {
        self.in_flight += 1;
        if let Some(expected) = self.expected.take() {
            if queued.items >= expected.waiting || queued.fills_an_entry() {
                self.penalty /= 2;
            } else {
                self.penalty = (self.penalty * 4).clamp(ENTRIES_UNGATHERED, ENTRIES_UNGATHERED_MAX);
                self.ungathered = self.penalty;
            }
        }
    }

    /// An entry is answered, to so many callers, while others wait.
    pub(super) fn answered(&mut self, callers: usize, waiting: usize, now: Instant) {
        self.in_flight -= 1;
        let back = callers * EXPECTED_PERCENT / 100;
        if self.ungathered > 0 {
            self.ungathered -= 1;
        } else if back > 0 {
            self.expected = Some(Expected { waiting: waiting + back, until: now + limits::COHORT_WAIT_MAX });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MANY: usize = limits::ENTRY_BESIDE_MIN;

    fn small(items: usize) -> Queued {
        Queued { items, bytes: items }
    }

    #[test]
    fn what_comes_to_an_idle_log_leaves_at_once() {
        assert_eq!(Cohort::default().departure(small(1), Instant::now()), Departure::Now);
    }

    #[test]
    fn a_lone_caller_never_waits_for_anybody() {
        let (mut cohort, now) = (Cohort::default(), Instant::now());
        for _ in 0..3 {
            cohort.left(small(1));
            cohort.answered(1, 0, now);
            assert_eq!(cohort.departure(small(1), now), Departure::Now);
        }
    }

    #[test]
    fn a_second_entry_is_worth_it_only_when_it_is_large() {
        let (mut cohort, now) = (Cohort::default(), Instant::now());
        cohort.left(small(1));
        assert_eq!(cohort.departure(small(MANY - 1), now), Departure::Later);
        assert_eq!(cohort.departure(small(MANY), now), Departure::Now);
        for _ in 1..limits::ENTRIES_IN_FLIGHT_MAX {
            cohort.left(small(MANY));
        }
        assert_eq!(cohort.departure(small(MANY * 10), now), Departure::Later, "and not beyond the limit");
    }

    #[test]
    fn those_who_waited_leave_with_those_who_were_answered() {
        let (mut cohort, now) = (Cohort::default(), Instant::now());
        cohort.left(small(8));
        cohort.answered(8, 8, now);
        let until = now + limits::COHORT_WAIT_MAX;
        assert_eq!(cohort.departure(small(14), now), Departure::At(until));
        assert_eq!(cohort.departure(small(15), now), Departure::Now, "nearly all are back");
        assert_eq!(cohort.departure(small(9), until), Departure::Now, "nobody waits longer");
    }

    #[test]
    fn what_fills_an_entry_waits_for_nobody_but_for_room() {
        let large = Queued { items: 2, bytes: limits::ENTRY_BYTES_MAX };
        let many = small(limits::ENTRY_APPENDS_MAX);
        for full in [large, many] {
            let (mut cohort, now) = (Cohort::default(), Instant::now());
            cohort.left(full);
            assert_eq!(cohort.departure(full, now), Departure::Now, "beside another");
            cohort.answered(limits::ENTRY_APPENDS_MAX, full.items, now);
            assert_eq!(
                cohort.departure(full, now),
                Departure::Now,
                "before those who were answered are back"
            );
            for _ in 0..limits::ENTRIES_IN_FLIGHT_MAX {
                cohort.left(full);
            }
            assert_eq!(cohort.departure(full, now), Departure::Later);
            assert_eq!(cohort.penalty, 0, "and nobody stayed away");
        }
    }

    #[test]
    fn a_cohort_that_stays_away_is_waited_for_ever_more_seldom() {
        let (mut cohort, now) = (Cohort::default(), Instant::now());
        let mut gaps = Vec::new();
        let mut gap = 0;
        cohort.left(small(16));
        for _ in 0..2_000 {
            cohort.answered(16, 0, now);
            match cohort.departure(small(1), now) {
                Departure::Now => gap += 1,
                _ => gaps.push(std::mem::take(&mut gap)),
            }
            cohort.left(small(1));
        }
        assert_eq!(gaps, [0, 4, 16, 64, 256, 256, 256, 256, 256, 256, 256]);
    }

    #[test]
    fn cohorts_that_come_back_are_trusted_again() {
        let (mut cohort, now) = (Cohort::default(), Instant::now());
        cohort.left(small(16));
        for away in [true, false, false, false] {
            while cohort.ungathered > 0 {
                cohort.answered(16, 0, now);
                cohort.left(small(16));
            }
            cohort.answered(16, 0, now);
            cohort.left(small(if away { 1 } else { 16 }));
        }
        assert_eq!(cohort.penalty, 0);
        assert!(limits::COHORT_WAIT_MAX <= Duration::from_millis(2), "a cohort is one round trip away");
    }
}
