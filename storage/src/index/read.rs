//! Reading the index.

use fjall::Slice;
use weir_types::{
    Direction, EntityId, EntityType, IdempotencyKey, Planted, Position, StreamHead, StreamVersion, planted,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Expiring, Index, IndexError, IndexHead, Located, RUN_EVENTS_MAX, Remembered, Run, merge::Order};
use crate::{
    codec::{StoredExpiry, StoredHead, StoredRemembered, StoredRun, decode},
    schema::{IndexKey, StreamNo},
};

impl Index {
    /// A stream's head, or `None` when it has no events.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn head(&self, entity: &EntityId) -> Result<Option<IndexHead>, IndexError> {
        if let Some(head) = self.inner.buffer.head(entity) {
            return Ok(Some(head));
        }
        let Some(bytes) = self.stored(IndexKey::Head(entity.as_str()))? else { return Ok(None) };
        let stored: StoredHead<'_> = decode("head", &bytes).map_err(|e| self.damaged("head", e))?;
        stored.read(entity.clone()).map(Some).map_err(|e| self.damaged("head", e))
    }

    /// What an idempotency key led to. Keys that fell out of the window may
    /// still be found: see [`Remembered::counts_at`].
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn remembered(
        &self,
        entity: &EntityId,
        key: &IdempotencyKey,
    ) -> Result<Option<Remembered>, IndexError> {
        let key = IndexKey::Idempotency(entity.as_str(), key.as_str());
        let Some(bytes) = self.get(key)? else { return Ok(None) };
        let stored: StoredRemembered =
            decode("idempotency", &bytes).map_err(|e| self.damaged("idempotency", e))?;
        Ok(Some(stored.into()))
    }

    /// The number of streams of a type, or of all.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn count(&self, entity_type: Option<&EntityType>) -> Result<u64, IndexError> {
        let key = IndexKey::Count(entity_type.map(EntityType::as_str));
        let Some(bytes) = self.get(key)? else { return Ok(0) };
        decode("count", &bytes).map_err(|e| self.damaged("count", e))
    }

    /// Where a stream's events lie, from `from` on (or from its start, or its
    /// end when backward), at most `limit`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn stream_places(
        &self,
        stream: StreamNo,
        from: Option<StreamVersion>,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<Located>, IndexError> {
        match direction {
            Direction::Forward => self.stream_forward(stream, from.unwrap_or(StreamVersion(1)), limit),
            Direction::Backward => {
                self.stream_backward(stream, from.unwrap_or(StreamVersion(u64::MAX)), limit)
            }
        }
    }

    fn stream_forward(
        &self,
        stream: StreamNo,
        from: StreamVersion,
        limit: usize,
    ) -> Result<Vec<Located>, IndexError> {
        let key = |version| IndexKey::StreamRun(stream, version);
        // The run that holds `from` may begin before it; a run is bounded, so its start is near.
        let start = StreamVersion(from.0.saturating_sub(RUN_EVENTS_MAX as u64 - 1));
        let mut places = Vec::new();
        let most = limit.saturating_add(RUN_EVENTS_MAX);
        for entry in self.scan(key(start), key(StreamVersion(u64::MAX)), Order::Rising, most) {
            let (first, run) = self.stream_run(entry?)?;
            for number in 0..run.frames.len() {
                let version = first.plus(number as u64);
                if places.len() == limit {
                    return Ok(places);
                }
                if version >= from {
                    places.extend(run.locate(number, version));
                }
            }
        }
        Ok(places)
    }

    fn stream_backward(
        &self,
        stream: StreamNo,
        from: StreamVersion,
        limit: usize,
    ) -> Result<Vec<Located>, IndexError> {
        let key = |version| IndexKey::StreamRun(stream, version);
        let mut places = Vec::new();
        for entry in self.scan(key(StreamVersion::ZERO), key(from), Order::Falling, limit) {
            let (first, run) = self.stream_run(entry?)?;
            for number in (0..run.frames.len()).rev() {
                let version = first.plus(number as u64);
                if places.len() == limit {
                    return Ok(places);
                }
                if version <= from {
                    places.extend(run.locate(number, version));
                }
            }
        }
        Ok(places)
    }

    fn stream_run(&self, (key, value): (Slice, Slice)) -> Result<(StreamVersion, Run), IndexError> {
        match IndexKey::decode(&key) {
            Some((_, IndexKey::StreamRun(_, first))) => Ok((first, self.run(&value)?)),
            _ => Err(self.damaged("stream run", "its key is malformed")),
        }
    }

    fn run(&self, value: &[u8]) -> Result<Run, IndexError> {
        let stored: StoredRun = decode("run", value).map_err(|e| self.damaged("run", e))?;
        stored.try_into().map_err(|e| self.damaged("run", e))
    }

    /// Where the log's events lie, from position `from` on, at most `limit`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn log_places(&self, from: Position, limit: usize) -> Result<Vec<Located>, IndexError> {
        let start = Position(from.0.saturating_sub(RUN_EVENTS_MAX as u64 - 1));
        let mut places = Vec::new();
        let (first, last) = (IndexKey::LogRun(start), IndexKey::LogRun(Position(u64::MAX)));
        for entry in self.scan(first, last, Order::Rising, limit.saturating_add(RUN_EVENTS_MAX)) {
            let run = self.run(&entry?.1)?;
            for number in 0..run.frames.len() {
                if places.len() == limit {
                    return Ok(places);
                }
                if run.first_position.plus(number as u64) >= from {
                    places.extend(run.locate(number, StreamVersion::ZERO));
                }
            }
        }
        Ok(places)
    }

    pub(super) fn log_runs_back(&self) -> impl Iterator<Item = Result<Run, IndexError>> + '_ {
        let (first, last) = (IndexKey::LogRun(Position::ZERO), IndexKey::LogRun(Position(u64::MAX)));
        self.scan(first, last, Order::Falling, usize::MAX).map(|entry| self.run(&entry?.1))
    }

    /// Idempotency keys that were remembered at positions over `after` and up to `until`.
    /// Returns whole expiry records that overlap, by their first positions.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn expiring(
        &self,
        after: Position,
        until: Position,
    ) -> Result<Vec<(Position, Vec<Expiring>)>, IndexError> {
        let start = Position((after.0 + 1).saturating_sub(RUN_EVENTS_MAX as u64 - 1));
        let mut records = Vec::new();
        for entry in self.scan(IndexKey::Expiry(start), IndexKey::Expiry(until), Order::Rising, usize::MAX) {
            let (key, value) = entry?;
            let Some((_, IndexKey::Expiry(first))) = IndexKey::decode(&key) else {
                return Err(self.damaged("expiry", "its key is malformed"));
            };
            let stored: StoredExpiry<'_> = decode("expiry", &value).map_err(|e| self.damaged("expiry", e))?;
            records.push((first, stored.try_into().map_err(|e| self.damaged("expiry", e))?));
        }
        Ok(records)
    }

    /// Heads in order of creation, of one type or of all, and their number in
    /// all. The offset is walked: it costs its length.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn list(
        &self,
        entity_type: Option<&EntityType>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<StreamHead>, u64), IndexError> {
        let total = self.count(entity_type)?;
        let key = |stream| match entity_type {
            Some(entity_type) => IndexKey::TypeMember(entity_type.as_str(), stream),
            None => IndexKey::Name(stream),
        };
        let mut heads = Vec::new();
        let most = offset.saturating_add(limit);
        let members = self.scan(key(StreamNo(0)), key(StreamNo(u64::MAX)), Order::Rising, most);
        let offset = offset + usize::from(planted(Planted::ListMissesOne));
        for entry in members.skip(offset).take(limit) {
            let (_, value) = entry?;
            let entity: &str = decode("list", &value).map_err(|e| self.damaged("list", e))?;
            let entity = EntityId::new(entity).map_err(|e| self.damaged("list", e))?;
            // A stream that is being created may be listed a moment before it has its head.
            heads.extend(self.head(&entity)?.map(|found| found.head));
        }
        Ok((heads, total))
    }

    /// A digest over every key and value, in order. Walks the whole index: for
    /// tests, and to compare an index with a rebuilt one.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn content_digest(&self) -> Result<u64, IndexError> {
        let mut digest = 0;
        for entry in self.scan_all() {
            let (key, value) = entry?;
            digest = xxh3_64_with_seed(&value, xxh3_64_with_seed(&key, digest));
        }
        Ok(digest)
    }
}
