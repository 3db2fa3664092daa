//! Work that is too long for the runtime.

#[cfg(feature = "sim")]
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{JoinError, spawn_blocking};

#[cfg(feature = "sim")]
static SIMULATED: AtomicBool = AtomicBool::new(false);

/// From now on this process waits for its other threads: on a simulated clock their work takes no time, and every run
/// of a seed is the same.
#[cfg(feature = "sim")]
pub fn simulate() {
    SIMULATED.store(true, Ordering::Relaxed);
}

/// Whether [`simulate`] was called.
pub(crate) fn is_simulated() -> bool {
    #[cfg(feature = "sim")]
    return SIMULATED.load(Ordering::Relaxed);
    #[cfg(not(feature = "sim"))]
    false
}

/// Does what runs an author's code, or may take long, on a thread that may block.
///
/// # Errors
/// When it panicked.
pub async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if is_simulated() { Ok(work()) } else { spawn_blocking(work).await }
}
