//! Work that may block.

use tokio::task::{JoinError, spawn_blocking, yield_now};

/// Does it on a thread that may block; over a simulated disk, which never
/// blocks, it is done here, so that every run is the same.
///
/// # Errors
/// When it panicked.
pub(crate) async fn off_runtime<T: Send + 'static>(
    simulated: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if !simulated {
        return spawn_blocking(work).await;
    }
    yield_now().await;
    Ok(work())
}
