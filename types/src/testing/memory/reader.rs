//! The way out of the log.

use async_trait::async_trait;
use futures::{StreamExt, channel::mpsc, stream::BoxStream};

use super::{Inner, MemoryLog};
use crate::{
    Condition, Consistency, Direction, EntityId, EntityType, GroupId, IdempotencyKey, LogRead, LogSlice,
    Position, ReadError, RecordedEvent, StreamGuard, StreamHead, StreamPage, StreamRead, Violation, limits,
    ports::{EventReader, RememberedAppend},
};

impl Inner {
    fn event(&self, position: Position) -> &RecordedEvent {
        &self.events[position.0 as usize - 1]
    }

    fn head(&self, entity: &EntityId) -> Option<StreamHead> {
        let positions = self.streams.get(entity)?;
        let first = self.event(*positions.first()?);
        let last = self.event(*positions.last()?);
        Some(StreamHead {
            entity_id: entity.clone(),
            entity_type: first.entity_type.clone(),
            version: last.version,
            first_position: first.position,
            last_position: last.position,
            created_at: first.recorded_at,
            updated_at: last.recorded_at,
        })
    }

    fn page(&self, read: &StreamRead) -> StreamPage {
        let all = self.streams.get(&read.entity_id).map_or(&[][..], Vec::as_slice);
        let limit = read.limit.clamp(1, limits::READ_EVENTS_MAX);
        let mut events: Vec<_> = match read.direction {
            Direction::Forward => {
                let from = read.from.map_or(0, |version| version.0.saturating_sub(1) as usize);
                all.iter().skip(from).take(limit + 1).map(|p| self.event(*p).clone()).collect()
            }
            Direction::Backward => {
                let end = read.from.map_or(all.len(), |version| all.len().min(version.0 as usize));
                all[..end].iter().rev().take(limit + 1).map(|p| self.event(*p).clone()).collect()
            }
        };
        let next = events.get(limit).map(|event| event.version);
        events.truncate(limit);
        StreamPage { events, head: self.head(&read.entity_id), next, applied: self.applied() }
    }
}

#[async_trait]
impl EventReader for MemoryLog {
    async fn ready(&self, group: GroupId, consistency: Consistency) -> Result<Position, ReadError> {
        match consistency {
            Consistency::Local => Ok(self.applied(group)),
            Consistency::Linearizable if self.inner().now_led().decides => Ok(self.applied(group)),
            Consistency::Linearizable => Err(ReadError::Unavailable { reason: "node does not lead".into() }),
            Consistency::AtLeast(wanted) => {
                let mut changes = self.applied_changes(group);
                while let Some(applied) = changes.next().await {
                    if applied >= wanted {
                        return Ok(applied);
                    }
                }
                Err(ReadError::Stale { wanted, applied: self.applied(group) })
            }
        }
    }

    async fn head(&self, _group: GroupId, entity: &EntityId) -> Result<Option<StreamHead>, ReadError> {
        let mut inner = self.inner();
        inner.head_reads += 1;
        Ok(inner.head(entity))
    }

    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage, ReadError> {
        Ok(self.inner().page(&read))
    }

    async fn read_log(
        &self,
        _group: GroupId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let (inner, mut bytes) = (self.inner(), 0);
        let from = inner.events.iter().skip(from.0.saturating_sub(1) as usize).take(limit);
        let page = from.take_while(|event| {
            let fits = bytes < limits::READ_BYTES_MAX;
            bytes += event.data.len() + event.metadata.len();
            fits
        });
        Ok(page.cloned().collect())
    }

    async fn search_log(&self, read: LogRead) -> Result<LogSlice, ReadError> {
        let inner = self.inner();
        let applied = inner.applied();
        let limit = read.limit.clamp(1, limits::READ_EVENTS_MAX);
        let fits = |event: &&RecordedEvent| read.filter.matches(event);
        let (events, next): (Vec<_>, _) = match read.direction {
            Direction::Forward => {
                let from = read.from.map_or(0, |from| from.0.saturating_sub(1) as usize);
                let all = inner.events.iter().skip(from).filter(fits);
                let events: Vec<_> = all.take(limit).cloned().collect();
                let whole = events.len() < limit;
                let last = events.last().map_or(applied, |last: &RecordedEvent| last.position);
                (events, if whole { applied.next() } else { last.next() })
            }
            Direction::Backward => {
                let end = read.from.map_or(applied, |from| from.min(applied)).0 as usize;
                let events: Vec<_> =
                    inner.events[..end].iter().rev().filter(fits).take(limit).cloned().collect();
                let whole = events.len() < limit;
                let last = events.last().map_or(Position(1), |last: &RecordedEvent| last.position);
                (events, if whole { Position::ZERO } else { Position(last.0 - 1) })
            }
        };
        Ok(LogSlice { events, next, applied })
    }

    async fn list_streams(
        &self,
        _group: GroupId,
        entity_type: Option<&EntityType>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<StreamHead>, u64), ReadError> {
        let inner = self.inner();
        let heads = inner.created.iter().filter_map(|entity| inner.head(entity));
        let all: Vec<_> =
            heads.filter(|head| entity_type.is_none_or(|wanted| *wanted == head.entity_type)).collect();
        let total = all.len() as u64;
        Ok((all.into_iter().skip(offset).take(limit).collect(), total))
    }

    async fn remembered(
        &self,
        _group: GroupId,
        entity: &EntityId,
        key: &IdempotencyKey,
    ) -> Result<Option<RememberedAppend>, ReadError> {
        Ok(self.inner().keys.get(&(entity.clone(), key.clone())).cloned())
    }

    async fn violations(
        &self,
        _group: GroupId,
        guards: Vec<StreamGuard>,
        conditions: Vec<Condition>,
    ) -> Result<Vec<Violation>, ReadError> {
        Ok(self.inner().violated(&guards, &conditions))
    }

    fn applied(&self, _group: GroupId) -> Position {
        self.inner().applied()
    }

    fn applied_changes(&self, _group: GroupId) -> BoxStream<'static, Position> {
        let (sender, receiver) = mpsc::unbounded();
        let mut inner = self.inner();
        let now = inner.applied();
        if !inner.ended {
            inner.applied_watchers.push(sender);
        }
        futures::stream::once(async move { now }).chain(receiver).boxed()
    }
}
