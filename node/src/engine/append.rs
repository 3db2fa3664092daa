//! Appends: decided here when this node leads, else forwarded once to the leader.

use std::{sync::atomic::Ordering, time::Duration};

use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use weir_types::{AppendAck, AppendError, AppendRequest, Planted, planted, ports::Leadership};

use super::Engine;

/// Before an append that was refused for want of a leader is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

impl Engine {
    /// Appends to one stream. While no leader is known or reachable it waits
    /// and tries again, as long as nothing can have been written.
    ///
    /// Appends whose futures are first polled in some order reach their
    /// stream's actor in that order.
    ///
    /// # Errors
    /// [`AppendError`]; after `OutcomeUnknown` the append may or may not be in the stream.
    pub async fn append(&self, request: AppendRequest) -> Result<AppendAck, AppendError> {
        request.check_limits()?;
        let began = Instant::now();
        let events = request.events.len();
        let result = self.append_by(request, began + self.leader_wait).await;
        self.meter.note(began.elapsed(), events, &result);
        result
    }

    async fn append_by(&self, request: AppendRequest, deadline: Instant) -> Result<AppendAck, AppendError> {
        loop {
            let seen = self.ports.leadership.current();
            let refusal = match self.attempt(seen, &request).await {
                Err(error @ (AppendError::NotLeader { .. } | AppendError::Unavailable { .. })) => error,
                Err(error @ AppendError::OutcomeUnknown { .. }) if planted(Planted::UnknownIsRetried) => {
                    error
                }
                result => return result,
            };
            if !self.leader_may_have_changed(seen, deadline).await {
                return Err(refusal);
            }
        }
    }

    async fn attempt(&self, seen: Leadership, request: &AppendRequest) -> Result<AppendAck, AppendError> {
        match seen.leader {
            _ if seen.decides => self.router.append(request.clone()).await,
            Some(leader) if leader != self.node => self.forward_append(leader, request.clone()).await,
            Some(_) => {
                Err(AppendError::Unavailable { reason: "the leader is catching up with its log".to_owned() })
            }
            None => Err(AppendError::Unavailable { reason: "none is known".to_owned() }),
        }
    }

    /// Waits until leadership is not as it was `seen`, or a pause has passed
    /// (the leader may be the same and reachable again). False at the deadline,
    /// and where no leader is to come.
    pub(super) async fn leader_may_have_changed(&self, seen: Leadership, deadline: Instant) -> bool {
        let now = Instant::now();
        if now >= deadline || self.hopeless.load(Ordering::Acquire) {
            return false;
        }
        let changed = async {
            let other = self.ports.leadership.changes().any(|current| async move { current != seen });
            if !other.await {
                // Raft has ended: nothing changes any more, and only time passes.
                std::future::pending::<()>().await;
            }
        };
        // A pause that ends is no failure: it is time to look again.
        let _ = timeout_at(deadline.min(now + RETRY_PAUSE), changed).await;
        true
    }
}
