use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{
    Mutex,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::tally::Window;

/// A thread cannot be woken more exactly than this at a bearable price: calls
/// that are due within it begin together.
const GRAIN: Duration = Duration::from_micros(100);

/// When calls begin: as soon as a caller is free, or by the clock. Callers share one.
#[derive(Debug, Clone)]
pub(super) enum Pace {
    /// Until the window ends.
    Closed(Window),
    /// When a call is due, whether the ones before are answered or not.
    Open(Arc<Mutex<UnboundedReceiver<Instant>>>),
}

impl Pace {
    /// A clock that begins `rate` calls a second from now to the window's end.
    pub(super) fn open(rate: u32, window: Window) -> Self {
        let (due, calls) = unbounded_channel();
        let begin = Instant::now();
        thread::spawn(move || tick(begin, rate, window.until, &due));
        Self::Open(Arc::new(Mutex::new(calls)))
    }

    /// Waits for a call to make; the time from which it is measured, or `None` after the last.
    pub(super) async fn next(&self) -> Option<Instant> {
        match self {
            Self::Closed(window) => Some(Instant::now()).filter(|now| *now < window.until),
            Self::Open(calls) => calls.lock().await.recv().await,
        }
    }
}

fn tick(begin: Instant, rate: u32, until: Instant, calls: &UnboundedSender<Instant>) {
    let mut number = 0;
    loop {
        let due = due_at(begin, rate, number);
        if due >= until {
            return;
        }
        let wait = due.saturating_duration_since(Instant::now());
        if wait > Duration::ZERO {
            thread::park_timeout(wait.max(GRAIN));
            continue;
        }
        // Without callers nobody is left to measure.
        if calls.send(due).is_err() {
            return;
        }
        number += 1;
    }
}

/// When the call of this number, from 0, is due.
pub(super) fn due_at(begin: Instant, rate: u32, number: u64) -> Instant {
    begin + Duration::from_secs_f64(number as f64 / f64::from(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_loop_begins_as_many_calls_as_the_clock_says() {
        let begin = Instant::now();
        let window = Window { from: begin, until: begin + Duration::from_millis(50), by_begin: true };
        let pace = Pace::open(1_000, window);
        let mut due = Vec::new();
        while let Some(when) = pace.next().await {
            due.push(when);
        }
        assert!((49..=50).contains(&due.len()), "{}", due.len());
        let gaps = due.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            gaps.into_iter().all(|gap| gap.abs_diff(Duration::from_millis(1)) < Duration::from_micros(2))
        );
    }

    #[tokio::test]
    async fn a_closed_loop_ends_with_its_window() {
        let now = Instant::now();
        let open = Window { from: now, until: now + Duration::from_secs(60), by_begin: false };
        assert!(Pace::Closed(open).next().await.is_some());
        assert!(Pace::Closed(Window { until: now, ..open }).next().await.is_none());
    }
}
