//! Who gives other clients of a workload something to read.

use std::time::Duration;

use anyhow::Result;

use super::{caller::Caller, draft::Draft};

/// Appends one to three events at a time to any of `streams` streams, `name-0`, `name-1` and so on, until it is told
/// to stop. Their entity type is the name.
pub(super) async fn write(mut caller: Caller, name: &str, streams: u64, pace: Duration) -> Result<()> {
    while caller.pace(pace).await {
        let stream = format!("{name}-{}", caller.rng.within(0..streams));
        let count = caller.rng.within(1..4);
        let draft = Draft::new(&stream, name, &caller.marks(count));
        caller.append(&draft).await;
    }
    caller.end()
}
