//! A group's real stores in a temporary folder, with one record appended,
//! flushed, committed and applied at a time, or in runs.
#![allow(dead_code, reason = "each test uses a part")]

use std::{path::Path, sync::mpsc};

use bytes::Bytes;
use tempfile::TempDir;
use uuid::Uuid;
use weir_raft::apply::{Applier, ApplyError, CommandOutcome};
use weir_storage::{
    codec::command::encode_appends,
    folder::{DataFolder, Identity},
    group_store::{GroupStore, Opened, Rebuilt},
    log::{LogConfig, LogRecord, LogThread, RecordKind},
};
use weir_types::{
    AppendOutcome, ClusterId, ContentType, DecidedAppend, DecidedEvent, EntityId, EntityType, EventId,
    EventName, EventSource, GroupId, Idempotency, IdempotencyKey, LogId, LogIndex, NodeId, StreamVersion,
    Term, Timestamp, WriteOutcome,
};

/// No memory for old records, so that reads go to the disk.
pub const CONFIG: LogConfig = LogConfig { segment_bytes: 1024 * 1024, cache_bytes: 0 };

/// A group of one node.
pub struct Scene {
    pub store: GroupStore,
    pub applier: Applier,
    pub rebuilt: Vec<Rebuilt>,
    pub replayed: u64,
    window: u64,
    thread: LogThread,
    dir: TempDir,
}

impl Scene {
    /// A new group.
    pub fn new(window: u64) -> Self {
        Self::open(tempfile::tempdir().unwrap(), window)
    }

    fn open(dir: TempDir, window: u64) -> Self {
        let identity = Identity { cluster: ClusterId(Uuid::from_u128(7)), node: NodeId(1) };
        let folder = DataFolder::open(dir.path(), identity).unwrap();
        let thread = LogThread::start(Box::new(|error| panic!("log failed: {error}"))).unwrap();
        let Opened { store, rebuilt } = GroupStore::open(&folder, GroupId::DEFAULT, CONFIG, &thread).unwrap();
        let mut applier = Applier::with_window(&store, window).unwrap();
        let replayed = store
            .replay_committed::<ApplyError>(|records| applier.apply(records).map(drop), |_, _| {})
            .unwrap();
        Self { store, applier, rebuilt, replayed, window, thread, dir }
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Closes everything, lets `change` at the files, and opens it again.
    pub fn reopen(self, change: impl FnOnce(&Path)) -> Self {
        let Self { store, applier, window, thread, dir, .. } = self;
        drop((applier, store));
        drop(thread);
        change(dir.path());
        Self::open(dir, window)
    }

    /// Appends records and makes them durable and committed, without applying them.
    pub fn write(&self, kinds: Vec<(RecordKind, Bytes)>) -> Vec<LogRecord> {
        let next = self.store.log.last().map_or(1, |last| last.index.0 + 1);
        let records: Vec<LogRecord> = (next..)
            .zip(kinds)
            .map(|(index, (kind, payload))| LogRecord {
                id: LogId { term: Term(1), leader: NodeId(1), index: LogIndex(index) },
                kind,
                payload,
            })
            .collect();
        let (done, told) = mpsc::channel();
        self.store.log.append(records.clone(), Box::new(move |result| done.send(result).unwrap())).unwrap();
        told.recv().unwrap().unwrap();
        self.store.log.save_committed(records.last().map(|record| record.id));
        records
    }

    /// Writes and applies one command.
    pub fn command(&mut self, payload: Bytes) -> CommandOutcome {
        let records = self.write(vec![(RecordKind::Command, payload)]);
        self.applier.apply(&records).unwrap().pop().unwrap()
    }

    /// Writes and applies one entry of appends.
    pub fn append(&mut self, appends: &[DecidedAppend]) -> Vec<AppendOutcome> {
        match self.command(encode_appends(appends)) {
            CommandOutcome::Writes(outcomes) => outcomes.into_iter().map(append_outcome).collect(),
            other => panic!("appends, not {other:?}"),
        }
    }

    /// What tells two indexes apart: the mark, and all contents but places.
    pub fn fingerprint(&self) -> (Option<weir_storage::index::AppliedMark>, u64) {
        (self.store.index.applied().unwrap(), self.store.index.content_digest().unwrap())
    }
}

/// The outcome of an append.
pub fn append_outcome(outcome: WriteOutcome) -> AppendOutcome {
    match outcome {
        WriteOutcome::Append(outcome) => outcome,
        other => panic!("an append, not {other:?}"),
    }
}

/// An append of `count` events whose data names the stream and version.
pub fn append(entity: &str, kind: &str, base: u64, count: u64, key: Option<(&str, u64)>) -> DecidedAppend {
    let event = |version: u64| DecidedEvent {
        id: EventId(Uuid::from_u128(u128::from(version))),
        name: EventName::new(format!("{kind}.happened")).unwrap(),
        schema_version: 1,
        content_type: ContentType::Json,
        data: data(entity, version),
        metadata: Bytes::from_static(b"{\"by\":\"test\"}"),
        occurred_at: Some(Timestamp(5)),
        source: EventSource::Api,
        tags: Vec::new(),
    };
    DecidedAppend {
        judged: None,
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new(kind).unwrap(),
        base: StreamVersion(base),
        idempotency: key.map(|(key, digest)| Idempotency { key: IdempotencyKey::new(key).unwrap(), digest }),
        recorded_at: Timestamp(1_000),
        events: (base + 1..=base + count).map(event).collect(),
    }
}

/// The data of an event of [`append`].
pub fn data(entity: &str, version: u64) -> Bytes {
    Bytes::from(format!("{{\"of\":\"{entity}\",\"version\":{version}}}"))
}
