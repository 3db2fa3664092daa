//! The path of an append in one process and on one thread, for `cargo xtask
//! ratchet` to count its instructions: decided, encoded, written to the log,
//! applied. Fixed ids and times, a disk in memory.
#![allow(clippy::unwrap_used, reason = "a count that cannot be made fails")]

use bytes::Bytes;
use tempfile::TempDir;
use uuid::Uuid;
use weir_actors::{EventIds, inside::Decider};
use weir_raft::apply::{Applier, CommandOutcome};
use weir_storage::{
    codec::command::encode_appends,
    disk::{Disk, sim::SimDisk},
    folder::{DataFolder, Identity},
    group_store::GroupStore,
    log::{LogConfig, LogRecord, LogThread, RecordKind},
};
use weir_types::{
    AppendRequest, ClusterId, ContentType, DecidedAppend, EntityId, EntityType, EventName, EventSource,
    ExpectedVersion, GroupId, LogId, LogIndex, NewEvent, NodeId, StreamVersion, Term, Timestamp,
};

/// Appends that are counted, after [`WARM_UP`] that are not.
const APPENDS: u64 = 1_000;
const WARM_UP: u64 = 200;
/// Appends of one log entry.
const BATCH: u64 = 20;
const STREAMS: u64 = 100;
const DATA: &[u8; 256] = &[b'7'; 256];
const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

struct Path {
    deciders: Vec<Decider>,
    ids: EventIds,
    store: GroupStore,
    applier: Applier,
    thread: LogThread,
    _dir: TempDir,
}

fn main() {
    let mut path = Path::new();
    for first in (0..WARM_UP).step_by(BATCH as usize) {
        let (record, _) = path.entry(first, Path::decide, encode, Path::log);
        path.apply(&record);
    }
    let mut accepted = 0;
    for first in (WARM_UP..WARM_UP + APPENDS).step_by(BATCH as usize) {
        let (record, decided) = path.entry(first, stage_decide, stage_encode, stage_log);
        let outcome = stage_apply(&mut path, &record);
        let CommandOutcome::Writes(outcomes) = outcome else { panic!("an entry of appends") };
        assert_eq!(outcomes.len(), decided);
        accepted += outcomes.len();
    }
    println!("{accepted} appends, {:?}", path.applier.mark().map(|mark| mark.position));
}

// Each stage is a function of its own, by whose name its instructions are counted.

#[inline(never)]
fn stage_decide(path: &mut Path, requests: &[AppendRequest]) -> Vec<DecidedAppend> {
    path.decide(requests)
}

#[inline(never)]
fn stage_encode(appends: &[DecidedAppend]) -> Bytes {
    encode(appends)
}

#[inline(never)]
fn stage_log(path: &mut Path, record: LogRecord) {
    path.log(record);
}

#[inline(never)]
fn stage_apply(path: &mut Path, record: &LogRecord) -> CommandOutcome {
    path.apply(record)
}

fn encode(appends: &[DecidedAppend]) -> Bytes {
    encode_appends(appends)
}

fn requests(first: u64) -> Vec<AppendRequest> {
    let request = |number: u64| AppendRequest {
        group: GroupId::DEFAULT,
        entity_id: EntityId::new(format!("order-{}", number % STREAMS)).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        expected: ExpectedVersion::Exact(StreamVersion(number / STREAMS)),
        idempotency_key: None,
        events: vec![NewEvent {
            id: None,
            name: EventName::new("order.placed").unwrap(),
            schema_version: 1,
            content_type: ContentType::Json,
            data: Bytes::from_static(DATA),
            metadata: Bytes::new(),
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        }],
    };
    (first..first + BATCH).map(request).collect()
}

impl Path {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = Identity { cluster: ClusterId(Uuid::from_u128(7)), node: NodeId(1) };
        let folder = DataFolder::open_on(Disk::Sim(SimDisk::default()), dir.path(), owner).unwrap();
        let thread = LogThread::pumped(Box::new(|error| panic!("{error}")), Box::new(|| {}));
        let config = LogConfig { segment_bytes: 4 * 1024 * 1024, cache_bytes: 4 * 1024 * 1024 };
        let store = GroupStore::open(&folder, GroupId::DEFAULT, config, &thread).unwrap().store;
        let applier = Applier::new(&store).unwrap();
        let deciders = (0..STREAMS).map(|_| Decider::default()).collect();
        Self { deciders, ids: EventIds::seeded(1), store, applier, thread, _dir: dir }
    }

    /// One log entry, up to apply.
    fn entry(
        &mut self,
        first: u64,
        decide: impl Fn(&mut Self, &[AppendRequest]) -> Vec<DecidedAppend>,
        encode: impl Fn(&[DecidedAppend]) -> Bytes,
        log: impl Fn(&mut Self, LogRecord),
    ) -> (LogRecord, usize) {
        let decided = decide(self, &requests(first));
        let id = LogId { term: Term(1), leader: NodeId(1), index: LogIndex(first / BATCH + 1) };
        let record = LogRecord { id, kind: RecordKind::Command, payload: encode(&decided) };
        log(self, record.clone());
        (record, decided.len())
    }

    fn decide(&mut self, requests: &[AppendRequest]) -> Vec<DecidedAppend> {
        let decided = requests.iter().map(|request| {
            let name = request.entity_id.as_str();
            let stream: usize = name.trim_start_matches("order-").parse().unwrap();
            self.deciders[stream].decide(request, NOW, &self.ids).unwrap().unwrap()
        });
        decided.collect()
    }

    fn log(&mut self, record: LogRecord) {
        self.store.log.append(vec![record], Box::new(|done| done.unwrap())).unwrap();
        while self.thread.pump() {}
    }

    fn apply(&mut self, record: &LogRecord) -> CommandOutcome {
        self.applier.apply(std::slice::from_ref(record)).unwrap().pop().unwrap()
    }
}
