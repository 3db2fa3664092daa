use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use weir_client::ClientError;

/// The longest time that is told apart: an hour.
const MICROS_MAX: u64 = 3_600_000_000;
/// A window that ends when the work does.
const ENDLESS: Duration = Duration::from_secs(7 * 24 * 3_600);

/// When a run measures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) until: Instant,
    /// Whether a call counts by its begin alone, as in an open loop, where the
    /// slowest answers come after the window.
    pub(super) by_begin: bool,
}

impl Window {
    pub(super) fn new(warmup: Duration, duration: Duration, by_begin: bool) -> Self {
        let from = Instant::now() + warmup;
        Self { from, until: from + duration, by_begin }
    }

    /// From now to whenever the work is done.
    pub(super) fn endless() -> Self {
        Self::new(Duration::ZERO, ENDLESS, false)
    }

    fn holds(&self, begin: Instant, end: Instant) -> bool {
        let last = if self.by_begin { begin } else { end };
        begin >= self.from && last <= self.until
    }
}

/// What all callers saw. They share it: a histogram each would not fit the caches.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    window: Window,
    seen: Arc<Mutex<Seen>>,
}

/// What was seen within the window.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) micros: Histogram<u64>,
    pub(super) events: u64,
    pub(super) errors: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn new(window: Window) -> Self {
        let micros = Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("the bounds are legal");
        let seen = Seen { micros, events: 0, errors: BTreeMap::new() };
        Self { window, seen: Arc::new(Mutex::new(seen)) }
    }

    /// Counts a call that began at `begin`, or was due then, unless it lies outside the window.
    pub(super) fn count(&self, begin: Instant, outcome: Result<u64, &ClientError>) {
        let end = Instant::now();
        if !self.window.holds(begin, end) {
            return;
        }
        self.with(|seen| match outcome {
            Ok(events) => {
                let micros = u64::try_from((end - begin).as_micros()).unwrap_or(u64::MAX);
                seen.micros.saturating_record(micros);
                seen.events += events;
            }
            Err(error) => {
                let name = error.code().map_or("no_answer", |code| code.as_str());
                *seen.errors.entry(name.to_owned()).or_default() += 1;
            }
        });
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use weir_client::{ApiError, ErrorCode};

    use super::*;

    #[test]
    fn only_the_window_counts() {
        let now = Instant::now();
        let window = Window { from: now, until: now + Duration::from_secs(3_600), by_begin: false };
        let tally = Tally::new(window);
        tally.count(now, Ok(3));
        tally.count(now, Err(&ClientError::Api(ApiError::new(ErrorCode::Overloaded, ""))));
        tally.count(now - Duration::from_secs(1), Ok(5));
        tally.with(|seen| {
            assert_eq!((seen.micros.len(), seen.events), (1, 3));
            assert_eq!(seen.errors, BTreeMap::from([("overloaded".to_owned(), 1)]));
        });
    }

    #[test]
    fn a_late_answer_counts_in_an_open_loop_and_not_in_a_closed_one() {
        let begin = Instant::now();
        let end = begin + Duration::from_secs(10);
        let closed = Window { from: begin, until: begin + Duration::from_secs(5), by_begin: false };
        assert!(!closed.holds(begin, end));
        assert!(Window { by_begin: true, ..closed }.holds(begin, end));
        assert!(!Window { by_begin: true, ..closed }.holds(end, end));
    }
}
