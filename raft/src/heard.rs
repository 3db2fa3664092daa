//! When this node last heard its leader.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// When the leader was last heard. Noting it costs two atomic accesses, unless
/// somebody waits for a leader that was silent.
pub(crate) struct Heard {
    began: Instant,
    /// Milliseconds from `began`, plus one; zero when it was never heard.
    at: AtomicU64,
    awaited: AtomicBool,
    again: Notify,
}

impl Heard {
    pub(crate) fn new() -> Self {
        let (at, awaited) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { began: Instant::now(), at, awaited, again: Notify::new() }
    }

    /// Notes that the leader was heard just now.
    pub(crate) fn note(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.at.fetch_max(millis + 1, SeqCst);
        if self.awaited.load(SeqCst) {
            self.again.notify_one();
        }
    }

    /// When it was last heard, if ever.
    pub(crate) fn last(&self) -> Option<Instant> {
        let millis = self.at.load(SeqCst).checked_sub(1)?;
        Some(self.began + Duration::from_millis(millis))
    }

    /// From now on [`Heard::again`] resolves when the leader is heard, or no more.
    /// Look at [`Heard::last`] after this, so that nothing is missed.
    pub(crate) fn awaits(&self, awaited: bool) {
        self.awaited.store(awaited, SeqCst);
    }

    /// Resolves when the leader is heard while it is awaited. One waiter only.
    pub(crate) async fn again(&self) {
        self.again.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_leader_that_is_awaited_wakes_when_it_is_heard() {
        let heard = Heard::new();
        assert_eq!(heard.last(), None);
        heard.note();
        assert!(heard.last().is_some_and(|last| last <= Instant::now()));
        assert!(timeout(Duration::from_millis(10), heard.again()).await.is_err());
        heard.awaits(true);
        heard.note();
        assert!(timeout(Duration::from_secs(20), heard.again()).await.is_ok());
    }
}
