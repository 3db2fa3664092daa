//! Reads: answered by this node, once what it has applied is fresh enough.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, sleep, timeout_at};
use weir_actors::moment::{Past, read_past};
use weir_api::{ApiError, v1::ReadQuery};
use weir_types::{
    Consistency, Direction, EntityId, EntityType, LogRead, LogSlice, Moment, Position, ReadError, StreamHead,
    StreamPage, StreamRead, StreamVersion,
};

use super::Engine;

/// Between two looks of a read that waits: a busy group changes far more often than that.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

impl Engine {
    /// One page of a stream, as [`Engine::read_raw`], of the newest schema versions.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read(
        &self,
        read: StreamRead,
        consistency: Consistency,
        wait: Duration,
    ) -> Result<StreamPage, ReadError> {
        let page = self.read_raw(read, consistency, wait).await?;
        self.live.upcasting().stream_page(page).await
    }

    /// One page of a stream as of a moment of its past.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_past(
        &self,
        read: StreamRead,
        moment: Moment,
        raw: bool,
        consistency: Consistency,
    ) -> Result<Past, ReadError> {
        let _timer = Timer::start("past");
        self.ready(consistency).await?;
        let Past { page, last } = read_past(&*self.ports.reader, read, moment).await?;
        let page = if raw { page } else { self.live.upcasting().stream_page(page).await? };
        Ok(Past { page, last })
    }

    /// A page of a stream as a query asks for it, and of its past the last version of the moment.
    ///
    /// # Errors
    /// Those of the query, and of a read.
    pub async fn page(
        &self,
        entity: EntityId,
        query: &ReadQuery,
    ) -> Result<(StreamPage, Option<StreamVersion>), ApiError> {
        let (read, moment) = (query.to_read(self.group, entity)?, query.to_moment()?);
        let (consistency, wait) = (query.to_consistency()?, query.to_wait()?);
        if !moment.is_now() {
            let past = self.read_past(read, moment, query.raw, consistency).await?;
            return Ok((past.page, Some(past.last)));
        }
        let page = match query.raw {
            true => self.read_raw(read, consistency, wait).await?,
            false => self.read(read, consistency, wait).await?,
        };
        Ok((page, None))
    }

    /// One page of a stream as it is in the log. When it is empty, waits up to `wait` for an event to be there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_raw(
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

    /// One page of the log, through a filter, of the newest schema versions.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn log(&self, read: LogRead, consistency: Consistency) -> Result<LogSlice, ReadError> {
        let slice = self.log_raw(read, consistency).await?;
        self.live.upcasting().log_slice(slice).await
    }

    /// The same as it is in the log.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn log_raw(&self, read: LogRead, consistency: Consistency) -> Result<LogSlice, ReadError> {
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
