//! One task of a node reads what is applied, once, for all who follow.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{event::SharedEvent, hub::Inner, subscriber::EndReason};

/// Events of one read.
const PAGE_EVENTS: usize = 512;
/// Events that are handed out before others get a turn.
const TURN_EVENTS: usize = 64;
/// After a read that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// Follows until `stop`. Rests while nobody subscribes.
pub(super) async fn follow(hub: Arc<Inner>, stop: CancellationToken) {
    let hub = Arc::downgrade(&hub);
    let following = async {
        while let Some(hub) = hub.upgrade() {
            if !hub.is_wanted() {
                hub.wanted.notified().await;
                continue;
            }
            if !while_wanted(&hub).await {
                // The node is ending: there is nothing to follow any more.
                hub.end_all(EndReason::Unavailable("node follows its log no more".to_owned()));
                return;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = following => {}
    }
}

/// Whether there may be more to follow when somebody wants it again.
async fn while_wanted(hub: &Inner) -> bool {
    let mut applied = hub.reader.applied_changes(hub.group);
    while applied.next().await.is_some() {
        if !hub.is_wanted() {
            return true;
        }
        while hub.reader.applied(hub.group) > hub.tail() {
            let from = hub.tail().next();
            match hub.reader.read_log(hub.group, from, PAGE_EVENTS).await {
                Ok(events) => {
                    let events: Vec<_> =
                        events.into_iter().map(|event| Arc::new(SharedEvent::new(event))).collect();
                    for turn in events.chunks(TURN_EVENTS) {
                        hub.publish(turn);
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) => {
                    warn!(%error, position = from.0, "log not readable for subscriptions");
                    hub.end_all(EndReason::Failed(error));
                    tokio::time::sleep(FAILED_PAUSE).await;
                }
            }
        }
    }
    false
}
