//! Reads at the edges of the numbers, beside a model that counts on its fingers.

use std::sync::OnceLock;

use bytes::Bytes;
use weir_raft::apply::Applier;
use weir_storage::{
    codec::command::encode_appends,
    disk::{Disk, sim::SimDisk},
    folder::{DataFolder, Identity},
    group_store::GroupStore,
    log::{LogConfig, LogRecord, LogThread, RecordKind},
};
use weir_types::{
    ClusterId, ContentType, DecidedAppend, DecidedEvent, Direction, EntityId, EntityType, EventId, EventName,
    EventSource, GroupId, LogId, LogIndex, NodeId, Position, StreamRead, StreamVersion, Term, Timestamp,
    limits,
};

use crate::{Target, memory::Bound};

pub(super) const READS: Target = Target {
    name: "reads",
    about: "pages of a stream and of the log, from any number in any direction, as a naive model reads them",
    run: reads,
    memory: Bound { fixed: 1024 * 1024, per_byte: 64 },
    seeds: &[],
    slow_ms: 0,
};

/// Events of each stream.
const STREAMS: [(&str, u64); 3] = [("a", 1), ("b", 7), ("c", 300)];

/// A store that holds them; its threads live as long as the process.
fn store() -> &'static GroupStore {
    static STORE: OnceLock<(GroupStore, LogThread)> = OnceLock::new();
    &STORE.get_or_init(filled).0
}

fn filled() -> (GroupStore, LogThread) {
    let dir = tempfile::tempdir().expect("the system gives a folder");
    let owner = Identity { cluster: ClusterId(uuid::Uuid::from_u128(7)), node: NodeId(1) };
    let folder = DataFolder::open_on(Disk::Sim(SimDisk::default()), dir.path(), owner).expect("it is fresh");
    let thread =
        LogThread::pumped(Box::new(|error| panic!("a disk in memory failed: {error}")), Box::new(|| {}));
    let store = GroupStore::open(&folder, GroupId::DEFAULT, LogConfig::default(), &thread);
    let store = store.expect("it is fresh").store;
    let appends: Vec<DecidedAppend> = STREAMS.iter().map(|(name, events)| append(name, *events)).collect();
    let id = LogId { term: Term(1), leader: NodeId(1), index: LogIndex(1) };
    let record = LogRecord { id, kind: RecordKind::Command, payload: encode_appends(&appends) };
    store.log.append(vec![record.clone()], Box::new(|_| {})).expect("the log is empty");
    while thread.pump() {}
    Applier::new(&store).expect("it is fresh").apply(&[record]).expect("the appends are legal");
    // All of it is in memory, and nothing is left behind.
    drop(dir);
    (store, thread)
}

fn append(name: &str, events: u64) -> DecidedAppend {
    let event = |number: u64| DecidedEvent {
        id: EventId(uuid::Uuid::from_u128(number.into())),
        name: EventName::new("e").expect("a legal name"),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from(number.to_string()),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    };
    DecidedAppend {
        judged: None,
        entity_id: EntityId::new(name).expect("a legal id"),
        entity_type: EntityType::new("t").expect("a legal name"),
        base: StreamVersion::ZERO,
        idempotency: None,
        recorded_at: Timestamp(1),
        events: (1..=events).map(event).collect(),
    }
}

/// A stream and a direction in the first byte, then the start and the limit, eight bytes each.
fn reads(data: &[u8]) {
    let mut padded = [0; 17];
    let len = data.len().min(17);
    padded[..len].copy_from_slice(&data[..len]);
    let number = |at: usize| u64::from_le_bytes(padded[at..at + 8].try_into().expect("eight bytes"));
    let (from, limit) = (number(1), usize::try_from(number(9)).unwrap_or(usize::MAX));
    let (name, events) = STREAMS[usize::from(padded[0] >> 2) % STREAMS.len()];
    let direction = if padded[0] & 1 == 0 { Direction::Forward } else { Direction::Backward };
    let from = (padded[0] & 2 == 0).then_some(from);
    stream(name, events, from, direction, limit);
    log(from.unwrap_or(0), limit);
    let _ = store().list(None, limit, limit).expect("the store is whole");
}

fn stream(name: &str, events: u64, from: Option<u64>, direction: Direction, limit: usize) {
    let read = StreamRead {
        group: GroupId::DEFAULT,
        entity_id: EntityId::new(name).expect("a legal id"),
        from: from.map(StreamVersion),
        direction,
        limit,
    };
    let page = store().read_stream(&read).expect("the store is whole");
    let limit = limit.clamp(1, limits::READ_EVENTS_MAX);
    let all: Vec<u64> = match direction {
        Direction::Forward => {
            (1..=events).filter(|version| from.is_none_or(|from| *version >= from)).collect()
        }
        Direction::Backward => {
            (1..=events).rev().filter(|version| from.is_none_or(|from| *version <= from)).collect()
        }
    };
    let seen: Vec<u64> = page.events.iter().map(|event| event.version.0).collect();
    assert_eq!(seen, all[..limit.min(all.len())]);
    assert_eq!(page.next.map(|next| next.0), all.get(limit).copied());
    assert!(page.events.iter().all(|event| event.data == event.version.0.to_string()));
}

fn log(from: u64, limit: usize) {
    let total: u64 = STREAMS.iter().map(|(_, events)| events).sum();
    let seen = store().read_log(Position(from), limit).expect("the store is whole");
    let seen: Vec<u64> = seen.iter().map(|event| event.position.0).collect();
    let limit = limit.clamp(1, limits::READ_EVENTS_MAX);
    let all: Vec<u64> = (1..=total).filter(|position| *position >= from).take(limit).collect();
    assert_eq!(seen, all);
}
