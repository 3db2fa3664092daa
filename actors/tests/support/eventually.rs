//! Waiting for conditions, never for time.

use std::{fmt::Debug, future::Future, time::Duration};

use tokio::time::Instant;

/// A machine that does much else is slow; only what fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until `look` gives what `good` accepts.
pub async fn eventually<T: Debug, F: Future<Output = T>>(
    what: &str,
    look: impl Fn() -> F,
    good: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if good(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not in time, last seen {seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
