//! Live subscriptions: what is asked is checked here, and what must end is ended.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use weir_actors::live::{EndReason, NotSubscribed, Subscriber};
use weir_api::{ApiError, ErrorCode};
use weir_types::{SubscribeRequest, SubscriptionStart};

use super::Engine;

/// Between two looks at whether this node still serves subscriptions; reads memory only.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How long a node that hears no leader keeps its subscriptions: what is appended elsewhere does not reach it.
const LEADERLESS_MAX: Duration = Duration::from_secs(10);
const STOPPING: &str = "node is stopping";

impl Engine {
    /// Subscribes.
    ///
    /// # Errors
    /// `not_initialized`, `unavailable`, `invalid_cursor`, `invalid_filter`, `subscriptions_full`, or why the start is not found.
    pub async fn subscribe(&self, request: SubscribeRequest) -> Result<Subscriber, ApiError> {
        self.must_be_in_cluster()?;
        if let Some(reason) = self.why_not_live() {
            return Err(ApiError::new(ErrorCode::Unavailable, reason));
        }
        if let SubscriptionStart::Cursor(cursor) = request.start {
            self.live.scope(&request.selector).check(cursor)?;
        }
        let subscriber = self.live.subscribe(request).await.map_err(|error| match error {
            NotSubscribed::Full(full) => ApiError::new(ErrorCode::SubscriptionsFull, full.to_string()),
            NotSubscribed::Filter(error) => error.into(),
            NotSubscribed::Read(error) => error.into(),
        })?;
        // Those that come after the last end are told no other.
        if self.closing.is_cancelled() {
            return Err(ApiError::new(ErrorCode::Unavailable, STOPPING));
        }
        metrics::counter!("weir_subscriptions_total").increment(1);
        Ok(subscriber)
    }

    /// Ends subscriptions when this node stops, leaves the cluster, fails, or hears no leader. Returns when
    /// the edge closes.
    pub async fn tend_subscriptions(&self) {
        let mut looks = interval(LOOK_PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                () = self.closing.cancelled() => break,
                _ = looks.tick() => {}
            }
            metrics::gauge!("weir_subscriptions").set(u32::try_from(self.live.active()).unwrap_or(u32::MAX));
            if self.live.active() == 0 || self.hears_a_leader() {
                heard = Instant::now();
            }
            let silent = (heard.elapsed() > LEADERLESS_MAX).then(|| "node hears no leader".to_owned());
            if let Some(reason) = self.why_not_live().or(silent).filter(|_| self.live.active() > 0) {
                heard = Instant::now();
                self.live.end_all(&EndReason::Unavailable(reason));
            }
        }
        self.live.end_all(&EndReason::Unavailable(STOPPING.to_owned()));
    }

    /// Ends what reads the log for subscriptions and consumer groups: it holds the stores.
    pub async fn stop_live(&self) {
        self.consumers.ended().await;
        self.live.stop().await;
    }

    /// Why this node follows the log no more.
    fn why_not_live(&self) -> Option<String> {
        let serves = ["serving", "running", "member"];
        let failing = self.readiness().into_iter().filter(|(name, _)| serves.contains(name));
        failing.filter_map(|(_, state)| state.err()).next()
    }
}
