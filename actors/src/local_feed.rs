//! The feed without a bus: the node's own log.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use weir_types::{
    GroupId, Position, ProjectionId, RecordedEvent,
    ports::{BusError, EventReader, Feed, Subscription},
};

/// Events of one batch.
const BATCH_EVENTS: usize = 1_000;

/// Feeds projections from the local log: no duplicates, no holes, nothing to acknowledge.
#[derive(Clone)]
pub struct LocalLogFeed {
    reader: Arc<dyn EventReader>,
}

impl LocalLogFeed {
    /// A feed over this log.
    #[must_use]
    pub fn new(reader: Arc<dyn EventReader>) -> Self {
        Self { reader }
    }
}

#[async_trait]
impl Feed for LocalLogFeed {
    async fn subscribe(
        &self,
        group: GroupId,
        _projection: &ProjectionId,
        checkpoint: Position,
    ) -> Result<Box<dyn Subscription>, BusError> {
        let applied = self.reader.applied_changes(group);
        Ok(Box::new(LogSubscription { group, reader: self.reader.clone(), applied, given: checkpoint }))
    }

    async fn unsubscribe(&self, _group: GroupId, _projection: &ProjectionId) -> Result<(), BusError> {
        Ok(())
    }
}

struct LogSubscription {
    group: GroupId,
    reader: Arc<dyn EventReader>,
    applied: BoxStream<'static, Position>,
    given: Position,
}

#[async_trait]
impl Subscription for LogSubscription {
    async fn next(&mut self) -> Result<Vec<RecordedEvent>, BusError> {
        while self.reader.applied(self.group) <= self.given {
            let ended =
                || BusError::Unavailable { reason: "applied position is not followed any more".into() };
            self.applied.next().await.ok_or_else(ended)?;
        }
        let read = self.reader.read_log(self.group, self.given.next(), BATCH_EVENTS).await;
        let events = read.map_err(|error| BusError::Unavailable { reason: error.to_string() })?;
        match events.last() {
            Some(last) => self.given = last.position,
            None => return Err(BusError::Diverged { reason: "an applied position holds no event".into() }),
        }
        Ok(events)
    }

    async fn done(&mut self, _position: Position) -> Result<(), BusError> {
        Ok(())
    }
}
