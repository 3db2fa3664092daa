//! The word that a run is over.

use std::time::Duration;

use tokio::sync::watch;

/// Told once, heard by all clones. Dropping the [`Stopper`] tells it too.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Who tells it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// A pair of them.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (tell, hear) = watch::channel(false);
    (Stopper(tell), Stop(hear))
}

impl Stopper {
    /// Tells all.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was told.
    #[must_use]
    pub fn is_told(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is told.
    pub async fn told(&self) {
        // An error says that the teller is gone, which is told as well.
        let _ = self.0.clone().wait_for(|told| *told).await;
    }

    /// Lets a client breathe for as long, or until it is told. Whether to go on.
    pub async fn pause(&self, length: Duration) -> bool {
        tokio::select! {
            () = crate::window(length) => !self.is_told(),
            () = self.told() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_hear_it_and_a_gone_teller_is_heard_too() {
        let (stopper, stop) = stop();
        assert!(!stop.is_told());
        stopper.stop();
        stop.told().await;
        assert!(stop.is_told() && !stop.pause(Duration::from_secs(60)).await);
        let (stopper, stop) = super::stop();
        drop(stopper);
        stop.told().await;
        assert!(stop.is_told());
    }
}
