//! The word that clients are to be silent for a while.

use std::sync::Arc;

use tokio::sync::watch;

/// Told and taken back, by as many as like; clones share it. An idle cluster is
/// another one: its outbox believes what it knew, its sessions wait, its actors end.
#[derive(Debug, Clone)]
pub struct Lull(Arc<watch::Sender<u64>>);

impl Default for Lull {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Lull {
    /// Clients are to be silent from now on.
    pub fn begin(&self) {
        self.0.send_modify(|wanted| *wanted += 1);
    }

    /// One who told them so takes it back.
    pub fn end(&self) {
        self.0.send_modify(|wanted| *wanted = wanted.saturating_sub(1));
    }

    /// Waits until nobody wants silence.
    pub async fn over(&self) {
        // The sender lives as long as this does.
        let _ = self.0.subscribe().wait_for(|wanted| *wanted == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn two_lulls_are_over_when_both_are() {
        let lull = Lull::default();
        lull.over().await;
        lull.begin();
        lull.begin();
        lull.end();
        assert!(lull.over().now_or_never().is_none());
        lull.end();
        lull.over().await;
    }
}
