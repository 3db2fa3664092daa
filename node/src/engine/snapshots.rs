//! Snapshots of streams: kept in a key-value bucket of Weir's own, so they are replicated and judged by apply as any
//! other bucket's values are. They are named by the stream's first position, which no other stream has.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use weir_actors::moment::last_version;
use weir_api::{
    ApiError, ErrorCode, JsonText,
    v1::{ReadPage, ReadQuery, Snapshot, SnapshotBody, SnapshotRead},
};
use weir_types::{
    BucketConfig, BucketName, Consistency, Direction, EntityId, EntityType, KvCommand, KvError, KvFilter,
    KvGuard, KvKey, KvOutcome, KvRead, KvReadError, KvWrite, StreamHead, StreamVersion, Timestamp, limits,
};

use super::Engine;

const BUCKET: &str = "_weir-snapshots";
/// How often a snapshot is looked for that was dropped while it was read.
const TRIES: usize = 8;

/// A snapshot as it is stored; its form is named so that another one is told from it.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    form: u32,
    entity_id: &'a str,
    entity_type: &'a str,
    created_at: i64,
    #[serde(borrow)]
    state: &'a RawValue,
}

const FORM: u32 = 1;

impl Engine {
    /// Keeps the state of a stream at a version, in the place of any other of that version. The oldest go where there
    /// are more than [`limits::SNAPSHOTS_MAX`].
    ///
    /// # Errors
    /// `stream_not_found`, `version_conflict` beyond the stream's version, `entity_type_conflict`, `too_large`,
    /// `invalid_request`, or what a change of a bucket may be refused with.
    pub async fn create_snapshot(
        &self,
        entity: &EntityId,
        body: SnapshotBody,
    ) -> Result<(String, StreamVersion), ApiError> {
        let (entity_type, version, state) = body.checked()?;
        let head = self.head(entity, Consistency::Linearizable).await?;
        let head = head.ok_or_else(ApiError::stream_not_found)?;
        check_fits(&head, entity_type.as_ref(), version)?;
        let stored = Stored {
            form: FORM,
            entity_id: entity.as_str(),
            entity_type: head.entity_type.as_str(),
            created_at: self.now().0,
            state: serde_json::from_str(state.get()).map_err(|error| ApiError::invalid(error.to_string()))?,
        };
        let value = serde_json::to_vec(&stored).map_err(|error| internal(&error))?;
        let mut kept = self.snapshot_keys(&head).await?;
        kept.retain(|(known, _)| *known != version);
        let too_many = (kept.len() + 1).saturating_sub(limits::SNAPSHOTS_MAX);
        let mut writes: Vec<_> = kept.drain(..too_many).map(|(_, key)| KvWrite::purge(key)).collect();
        writes.truncate(limits::KV_CHANGE_KEYS_MAX - 1);
        writes.push(KvWrite::put(key_of(&head, version), value));
        self.change_snapshots(writes).await?;
        Ok((id_of(&head, version), version))
    }

    /// The newest snapshot of a stream that is not beyond a version.
    ///
    /// # Errors
    /// `stream_not_found`, `snapshot_not_found`, or those of a read.
    pub async fn snapshot(
        &self,
        entity: &EntityId,
        before: Option<StreamVersion>,
        consistency: Consistency,
    ) -> Result<Snapshot, ApiError> {
        let head = self.head(entity, consistency).await?.ok_or_else(ApiError::stream_not_found)?;
        self.newest_snapshot(&head, before).await?.ok_or_else(not_found)
    }

    /// The versions of which snapshots are kept, rising.
    ///
    /// # Errors
    /// `stream_not_found`, or those of a read.
    pub async fn snapshot_versions(
        &self,
        entity: &EntityId,
        consistency: Consistency,
    ) -> Result<Vec<StreamVersion>, ApiError> {
        let head = self.head(entity, consistency).await?.ok_or_else(ApiError::stream_not_found)?;
        Ok(self.snapshot_keys(&head).await?.into_iter().map(|(version, _)| version).collect())
    }

    /// Drops a snapshot.
    ///
    /// # Errors
    /// `stream_not_found`, `snapshot_not_found`, or what a change of a bucket may be refused with.
    pub async fn delete_snapshot(&self, entity: &EntityId, version: StreamVersion) -> Result<(), ApiError> {
        let head = self.head(entity, Consistency::Linearizable).await?;
        let head = head.ok_or_else(ApiError::stream_not_found)?;
        let (bucket, key) = (bucket(), key_of(&head, version));
        let purge = KvCommand::Delete { bucket, key, guard: KvGuard::Exists, purge: true };
        match self.kv(purge).await? {
            KvOutcome::Deleted { .. } => Ok(()),
            KvOutcome::Refused(
                KvError::KeyNotFound | KvError::BucketNotFound | KvError::RevisionConflict { .. },
            ) => Err(not_found()),
            other => Err(odd(other)),
        }
    }

    /// The newest snapshot that is not beyond what is asked for, and a page of the events after it.
    ///
    /// # Errors
    /// `invalid_request` where the query goes another way than from a snapshot on, or those of a read.
    pub async fn read_from_snapshot(
        &self,
        entity: EntityId,
        query: &ReadQuery,
    ) -> Result<SnapshotRead, ApiError> {
        let mut read = query.to_read(self.group, entity.clone())?;
        let moment = query.to_moment()?;
        if moment.at.is_some() || read.from.is_some() || read.direction == Direction::Backward {
            let message = "a read from a snapshot has no `at`, no `from_version`, and goes forward";
            return Err(ApiError::invalid(message));
        }
        if query.to_wait()?.as_millis() > 0 {
            return Err(ApiError::invalid("a read from a snapshot waits for nothing"));
        }
        let head = self.head(&entity, query.to_consistency()?).await?;
        let snapshot = match &head {
            None => None,
            Some(head) => {
                let last = last_version(&*self.ports.reader, &read, moment, head).await?;
                self.newest_snapshot(head, Some(last)).await?
            }
        };
        read.from = snapshot.as_ref().map(|snapshot| snapshot.version.next());
        // What the head waited for is here.
        let past = self.read_past(read, moment, query.raw, Consistency::Local).await?;
        let as_of = (!moment.is_now()).then_some(past.last);
        Ok(SnapshotRead::new(snapshot.as_ref(), ReadPage::new(&entity, &past.page, as_of)))
    }

    async fn newest_snapshot(
        &self,
        head: &StreamHead,
        before: Option<StreamVersion>,
    ) -> Result<Option<Snapshot>, ApiError> {
        for _ in 0..TRIES {
            let mut kept = self.snapshot_keys(head).await?;
            kept.retain(|(version, _)| before.is_none_or(|before| *version <= before));
            let Some((version, key)) = kept.pop() else { return Ok(None) };
            match self.raft.buckets().get(&bucket(), &key, KvRead::Latest).await {
                Ok(entry) => return read(head, version, &entry.value).map(Some),
                Err(KvReadError::Refused(KvError::KeyNotFound | KvError::BucketNotFound)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::new(ErrorCode::Unavailable, "snapshots of the stream change too fast"))
    }

    /// Versions that are kept and their keys, rising.
    async fn snapshot_keys(&self, head: &StreamHead) -> Result<Vec<(StreamVersion, KvKey)>, ApiError> {
        let filter =
            KvFilter::new(&format!("{}.*", head.first_position)).map_err(|error| internal(&error))?;
        let keys = match self.raft.buckets().keys(&bucket(), filter, None, limits::KV_LIST_MAX).await {
            Ok(page) => page.keys,
            Err(KvReadError::Refused(KvError::BucketNotFound)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let version = |key: &KvKey| Some(StreamVersion(key.as_str().rsplit('.').next()?.parse().ok()?));
        Ok(keys.into_iter().filter_map(|key| Some((version(&key)?, key))).collect())
    }

    async fn change_snapshots(&self, writes: Vec<KvWrite>) -> Result<(), ApiError> {
        let change = KvCommand::Change { bucket: bucket(), checks: Vec::new(), writes };
        let outcome = match self.kv(change.clone()).await? {
            KvOutcome::Refused(KvError::BucketNotFound) => {
                self.make_bucket().await?;
                self.kv(change).await?
            }
            outcome => outcome,
        };
        match outcome {
            KvOutcome::Changed { .. } => Ok(()),
            other => Err(odd(other)),
        }
    }

    async fn make_bucket(&self) -> Result<(), ApiError> {
        let description = "snapshots of streams".to_owned();
        let config = BucketConfig { description, ..BucketConfig::new(bucket()) };
        match self.kv(KvCommand::CreateBucket(config)).await? {
            KvOutcome::BucketCreated(_) | KvOutcome::Refused(KvError::BucketExists) => Ok(()),
            other => Err(odd(other)),
        }
    }
}

/// A snapshot is of what the stream has.
fn check_fits(
    head: &StreamHead,
    entity_type: Option<&EntityType>,
    version: StreamVersion,
) -> Result<(), ApiError> {
    if let Some(given) = entity_type.filter(|given| **given != head.entity_type) {
        let message = format!("entity has type `{}`, not `{given}`", head.entity_type);
        let actual = head.entity_type.as_str();
        return Err(ApiError::new(ErrorCode::EntityTypeConflict, message).with("actualType", actual));
    }
    if version > head.version {
        let message = format!("stream is at version {}, before {version}", head.version);
        return Err(ApiError::new(ErrorCode::VersionConflict, message)
            .with("expectedVersion", version.0)
            .with("actualVersion", head.version.0));
    }
    Ok(())
}

fn bucket() -> BucketName {
    BucketName::new(BUCKET).expect("the name is legal")
}

/// Byte order of a stream's keys is the order of versions.
fn key_of(head: &StreamHead, version: StreamVersion) -> KvKey {
    KvKey::new(format!("{}.{:020}", head.first_position, version.0)).expect("numbers are legal in a key")
}

fn id_of(head: &StreamHead, version: StreamVersion) -> String {
    format!("{}-{version}", head.first_position)
}

fn read(head: &StreamHead, version: StreamVersion, value: &[u8]) -> Result<Snapshot, ApiError> {
    let stored: Stored<'_> = serde_json::from_slice(value).map_err(|error| internal(&error))?;
    if stored.form != FORM || stored.entity_id != head.entity_id.as_str() {
        return Err(internal(&format!("it is of form {} and of `{}`", stored.form, stored.entity_id)));
    }
    Ok(Snapshot {
        id: id_of(head, version),
        entity_id: head.entity_id.clone(),
        entity_type: EntityType::new(stored.entity_type)?,
        version,
        state: JsonText::of_stored(stored.state.get().as_bytes()),
        created_at: Timestamp(stored.created_at),
    })
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::SnapshotNotFound, "snapshot not found")
}

fn internal(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("what is stored of the snapshot is not readable: {error}"))
}

/// An outcome that nothing here leads to.
fn odd(outcome: KvOutcome) -> ApiError {
    match outcome {
        KvOutcome::Refused(error) => error.into(),
        other => ApiError::new(ErrorCode::Internal, format!("change was answered with {other:?}")),
    }
}
