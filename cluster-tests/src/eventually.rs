//! Waiting for conditions. The only place of the harness that lets time pass.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `probe` succeeds; its last error tells what was still wrong at the deadline.
///
/// # Errors
/// The probe's last error, under a sentence that names `what` and the deadline.
pub async fn eventually<T, F, Fut>(what: &str, within: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let begun = Instant::now();
    loop {
        match probe().await {
            Ok(found) => return Ok(found),
            Err(error) if begun.elapsed() >= within => {
                return Err(error).with_context(|| format!("{what}: not so within {within:?}"));
            }
            Err(_) => pause().await,
        }
    }
}

/// Lets a writer that was just refused breathe, so that its retries do not take the cores.
pub async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

/// Lets a measurement run, or an outage last, for as long as it is meant to:
/// the length is the experiment, nothing is waited for.
pub async fn window(length: Duration) {
    tokio::time::sleep(length).await;
}
