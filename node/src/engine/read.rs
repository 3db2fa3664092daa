//! Reads: answered by this node, once what it has applied is fresh enough.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, sleep, timeout_at};
use weir_types::{
    Consistency, Direction, EntityId, EntityType, LogRead, LogSlice, Position, ReadError, StreamHead,
    StreamPage, StreamRead,
};

use super::Engine;

/// Between two looks of a read that waits: a busy group changes far more often than that.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

impl Engine {
    /// One page of a stream. When it is empty, waits up to `wait` for an event to be there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(
        &self,
        read: StreamRead,
        consistency: Consistency,
        wait: Duration,
    ) -> Result<StreamPage, ReadError> {
        let _timer = Timer::start("stream");
        let deadline = Instant::now() + wait;
        self.ready(consistency).await?;
        let mut page = self.ports.reader.read_stream(read.clone()).await?;
        if !page.events.is_empty() || wait.is_zero() || read.direction == Direction::Backward {
            return Ok(page);
        }
        let applied = self.ports.reader.applied_changes(self.group).take_until(self.closing.cancelled());
        let mut applied = std::pin::pin!(applied);
        while let Ok(Some(_)) = timeout_at(deadline, applied.next()).await {
            if self.reaches(&read).await? {
                page = self.ports.reader.read_stream(read.clone()).await?;
                break;
            }
            sleep(LOOK_PAUSE).await;
        }
        Ok(page)
    }

    /// Whether the stream has an event that the read would return.
    async fn reaches(&self, read: &StreamRead) -> Result<bool, ReadError> {
        let head = self.ports.reader.head(self.group, &read.entity_id).await?;
        let from = read.from.map_or(1, |version| version.0.max(1));
        Ok(head.is_some_and(|head| head.version.0 >= from))
    }

    /// A stream's head.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn head(
        &self,
        entity: &EntityId,
        consistency: Consistency,
    ) -> Result<Option<StreamHead>, ReadError> {
        let _timer = Timer::start("head");
        self.ready(consistency).await?;
        self.ports.reader.head(self.group, entity).await
    }

    /// Heads in order of creation, and their number in all.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn list(
        &self,
        entity_type: Option<&EntityType>,
        offset: usize,
        limit: usize,
        consistency: Consistency,
    ) -> Result<(Vec<StreamHead>, u64), ReadError> {
        let _timer = Timer::start("list");
        self.ready(consistency).await?;
        self.ports.reader.list_streams(self.group, entity_type, offset, limit).await
    }

    /// One page of the log, through a filter.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn log(&self, read: LogRead, consistency: Consistency) -> Result<LogSlice, ReadError> {
        let _timer = Timer::start("log");
        self.ready(consistency).await?;
        self.ports.reader.search_log(read).await
    }

    /// Waits until this node is fresh enough, over a change of leaders if need be.
    pub(super) async fn ready(&self, consistency: Consistency) -> Result<Position, ReadError> {
        let deadline = Instant::now() + self.leader_wait;
        loop {
            let seen = self.ports.leadership.current();
            let refusal = match self.ports.reader.ready(self.group, consistency).await {
                Err(error @ ReadError::Unavailable { .. }) => error,
                result => return result,
            };
            if !self.leader_may_have_changed(seen, deadline).await {
                return Err(refusal);
            }
        }
    }
}

/// Measures a read from its making to its drop.
pub(super) struct Timer {
    kind: &'static str,
    began: Instant,
}

impl Timer {
    pub(super) fn start(kind: &'static str) -> Self {
        Self { kind, began: Instant::now() }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        metrics::histogram!("weir_read_duration_seconds", "kind" => self.kind).record(seconds);
    }
}
