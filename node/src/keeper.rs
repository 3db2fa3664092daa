//! The keeper of the buckets: on the leader, it has dropped what is due.
//!
//! When an entry is due is a matter of the log's own time, which only commands
//! move. So that what is due is gone although nobody writes, the leader's
//! keeper puts a command into the log, which drops it on every replica alike.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_raft::BucketReader;
use weir_types::{KvCommand, KvOutcome, limits, ports::Ports};

use crate::buckets::Buckets;

/// How often it looks: an entry is gone so much later than it is due, where nobody writes.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks until `closing`.
pub(crate) async fn keep(
    ports: Ports,
    reader: Arc<BucketReader>,
    buckets: Arc<Buckets>,
    closing: CancellationToken,
) {
    while closing.run_until_cancelled(sleep(LOOK_EVERY)).await.is_some() {
        if !ports.leadership.current().decides {
            continue;
        }
        match reader.is_due(buckets.now()).await {
            Ok(true) => sweep(&buckets).await,
            Ok(false) => {}
            Err(error) => warn!(%error, "buckets cannot be looked at for what is due"),
        }
    }
}

/// Drops what is due, one bounded command after the other.
async fn sweep(buckets: &Buckets) {
    loop {
        match buckets.decide(KvCommand::Sweep { keys_max: limits::KV_SWEEP_KEYS_MAX }).await {
            Ok(KvOutcome::Swept { keys, more }) => {
                metrics::counter!("weir_kv_swept_total").increment(u64::from(keys));
                if !more {
                    return;
                }
            }
            Ok(other) => return warn!(?other, "a sweep was answered with something else"),
            // Whoever leads now looks for itself.
            Err(error) => return debug!(%error, "what is due was not dropped"),
        }
    }
}
