use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};
use weir_types::EntityId;

/// Streams remembered before those without waiters are forgotten.
const SWEEP_AT: usize = 2_048;

/// Gives the appends of one stream their turns in the order of asking, one at
/// a time; appends of different streams do not wait for each other.
#[derive(Debug, Default)]
pub(super) struct StreamOrder {
    streams: Mutex<HashMap<EntityId, Arc<Turns<()>>>>,
}

impl StreamOrder {
    /// Waits for the stream's turn, which lasts until the guard is dropped.
    pub(super) async fn turn(&self, stream: &EntityId) -> OwnedMutexGuard<()> {
        // Tokio's mutex is fair: who asks first is served first.
        self.turns(stream).lock_owned().await
    }

    fn turns(&self, stream: &EntityId) -> Arc<Turns<()>> {
        let mut streams = self.streams.lock().expect("nothing panics while it holds this lock");
        if streams.len() >= SWEEP_AT {
            streams.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        streams.entry(stream.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn turns_of_one_stream_come_in_the_order_of_asking() {
        let order = StreamOrder::default();
        let (a, b) = (EntityId::new("a").unwrap(), EntityId::new("b").unwrap());
        let first = order.turn(&a).await;
        let mut second = Box::pin(order.turn(&a));
        let mut third = Box::pin(order.turn(&a));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(order.turn(&b).now_or_never().is_some());
        drop(first);
        assert!(third.as_mut().now_or_never().is_none());
        let second = second.await;
        drop(second);
        third.await;
    }

    #[tokio::test]
    async fn streams_without_waiters_are_forgotten() {
        let order = StreamOrder::default();
        for id in 0..SWEEP_AT * 2 {
            drop(order.turn(&EntityId::new(id.to_string()).unwrap()).await);
        }
        assert!(order.streams.lock().unwrap().len() <= SWEEP_AT);
    }
}
