use tokio::sync::OwnedSemaphorePermit;

/// A connection's share of the bound on connections, and of their gauge.
pub(super) struct Held {
    _slot: OwnedSemaphorePermit,
}

impl Held {
    pub(super) fn new(slot: OwnedSemaphorePermit) -> Self {
        metrics::gauge!("weir_connections").increment(1.0);
        Self { _slot: slot }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        metrics::gauge!("weir_connections").decrement(1.0);
    }
}
