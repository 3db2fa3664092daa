//! Apply: the pure judge of an entry, and the applier with its index batch.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use uuid::Uuid;
use weir_raft::apply::{Applier, ApplyContext, Changes, Payload, Terms, apply_command};
use weir_storage::{
    codec::command::{Command, encode_appends},
    folder::{DataFolder, Identity},
    group_store::GroupStore,
    index::{IndexError, IndexHead, Remembered},
    log::{LogConfig, LogRecord, LogThread, Place, RecordKind},
};
use weir_types::{
    ClusterId, ContentType, DecidedAppend, DecidedEvent, EntityId, EntityType, EventId, EventName,
    EventSource, Facet, GroupId, IdempotencyKey, LogId, LogIndex, NodeId, Position, StreamVersion, Term,
    Timestamp, limits,
};

/// Appends of one entry.
const APPENDS: u64 = 64;
const DATA: &[u8; 256] = &[b'7'; 256];

/// An entry that brings each of its streams from `base` to the next version.
fn payload(base: u64) -> Bytes {
    let append = |number: u64| DecidedAppend {
        judged: None,
        entity_id: EntityId::new(format!("order-{number}")).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        base: StreamVersion(base),
        idempotency: None,
        recorded_at: Timestamp(1_700_000_000_000_000),
        events: vec![DecidedEvent {
            id: EventId(Uuid::from_u128(number.into())),
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
    encode_appends(&(0..APPENDS).map(append).collect::<Vec<_>>())
}

/// Nothing was applied before.
struct Nothing;

impl ApplyContext for Nothing {
    fn head(&self, _: &EntityId) -> Result<Option<IndexHead>, IndexError> {
        Ok(None)
    }

    fn remembered(&self, _: &EntityId, _: &IdempotencyKey) -> Result<Option<Remembered>, IndexError> {
        Ok(None)
    }

    fn facet_positions(&self, _: Facet<'_>, _: Position, _: usize) -> Result<Vec<Position>, IndexError> {
        Ok(Vec::new())
    }

    fn has_facet(&self, _: Facet<'_>, _: Position) -> Result<bool, IndexError> {
        Ok(false)
    }
}

fn pure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(APPENDS));
    let payload = payload(0);
    let Command::Writes(appends) = Command::decode(&payload).unwrap() else { panic!("a batch of appends") };
    let place = Place { segment: 1, offset: 192, len: payload.len() as u32 };
    group.bench_function("judge 64 appends", |bench| {
        bench.iter(|| {
            let (mut last, mut changes) = (Position::ZERO, Changes::default());
            let terms = Terms { window: limits::IDEMPOTENCY_WINDOW_EVENTS, rules: LogIndex::ZERO };
            let appends = black_box(&appends);
            let payload = Payload { place, bytes: &payload };
            apply_command(&Nothing, appends, payload, terms, &mut last, &mut changes).unwrap()
        });
    });
    group.finish();
}

fn open() -> (TempDir, LogThread, GroupStore) {
    let dir = tempfile::tempdir().unwrap();
    let owner = Identity { cluster: ClusterId(Uuid::from_u128(7)), node: NodeId(1) };
    let folder = DataFolder::open(dir.path(), owner).unwrap();
    let thread = LogThread::start(Box::new(|error| panic!("{error}"))).unwrap();
    let store = GroupStore::open(&folder, GroupId::DEFAULT, LogConfig::default(), &thread).unwrap().store;
    (dir, thread, store)
}

/// Decode, judge, index batch and digest; the records' places are given, as in a replay.
fn applier(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("applier");
    group.throughput(Throughput::Elements(APPENDS));
    let (_dir, _thread, store) = open();
    let mut applier = Applier::new(&store).unwrap();
    let mut next = 1;
    let mut record = || {
        let payload = payload(next - 1);
        let id = LogId { term: Term(1), leader: NodeId(1), index: LogIndex(next) };
        let place = Place { segment: 1, offset: 192 + next * 30_000, len: payload.len() as u32 };
        next += 1;
        (LogRecord { id, kind: RecordKind::Command, payload }, place)
    };
    group.bench_function("apply an entry of 64 appends", |bench| {
        let batch = criterion::BatchSize::PerIteration;
        bench.iter_batched(&mut record, |record| applier.apply(&[record]).unwrap(), batch);
    });
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

criterion_group!(name = apply; config = short(); targets = pure, applier);
criterion_main!(apply);
