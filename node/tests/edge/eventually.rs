use std::time::{Duration, Instant};

/// Looks until it is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "in 30 s it was never so that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
