//! The codec, the segment file and the index, each alone. The log is on a disk
//! in memory and its thread is the bench's: what is measured is work, no fsync.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use uuid::Uuid;
use weir_storage::{
    codec::{
        command::{Command, encode_appends},
        event::decode_frame,
    },
    disk::{Disk, sim::SimDisk},
    folder::{DataFolder, Identity},
    index::{AppliedMark, Frame, Index, IndexHead, Run},
    log::{Log, LogConfig, LogRecord, LogThread, RecordKind},
    schema::StreamNo,
};
use weir_types::{
    ClusterId, ContentType, DecidedAppend, DecidedEvent, EntityId, EntityType, EventId, EventName,
    EventSource, GroupId, LogId, LogIndex, NodeId, Position, StreamHead, StreamVersion, Term, Timestamp,
};

/// Appends of one entry.
const APPENDS: u64 = 64;
const DATA: &[u8; 256] = &[b'7'; 256];
const OWNER: Identity = Identity { cluster: ClusterId(Uuid::from_u128(7)), node: NodeId(1) };

fn appends() -> Vec<DecidedAppend> {
    (0..APPENDS).map(append).collect()
}

fn append(number: u64) -> DecidedAppend {
    let event = DecidedEvent {
        id: EventId(Uuid::from_u128(number.into())),
        name: EventName::new("order.placed").unwrap(),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from_static(DATA),
        metadata: Bytes::new(),
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    };
    DecidedAppend {
        judged: None,
        entity_id: EntityId::new(format!("order-{number}")).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        base: StreamVersion(number),
        idempotency: None,
        recorded_at: Timestamp(1_700_000_000_000_000),
        events: vec![event],
    }
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(APPENDS));
    let appends = appends();
    let payload = encode_appends(&appends);
    group.bench_function("encode 64 appends", |bench| bench.iter(|| encode_appends(black_box(&appends))));
    group.bench_function("decode 64 appends", |bench| bench.iter(|| Command::decode(black_box(&payload))));
    let Command::Writes(decoded) = Command::decode(&payload).unwrap() else { panic!("a batch of appends") };
    let frame = decoded[0].appends()[0].frames[0];
    let frame = payload.slice(frame.offset as usize..(frame.offset + frame.len) as usize);
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode one event", |bench| {
        bench.iter(|| decode_frame(black_box(&frame), Position(1)));
    });
    group.finish();
}

fn open_log() -> (Log, LogThread) {
    let folder = DataFolder::open_on(Disk::Sim(SimDisk::default()), "/data", OWNER).unwrap();
    let thread = LogThread::pumped(Box::new(|error| panic!("{error}")), Box::new(|| {}));
    let config = LogConfig { segment_bytes: 4 * 1024 * 1024, cache_bytes: 0 };
    (Log::open(&folder, GroupId::DEFAULT, config, &thread).unwrap(), thread)
}

fn record(index: u64, payload: &Bytes) -> LogRecord {
    let id = LogId { term: Term(1), leader: NodeId(1), index: LogIndex(index) };
    LogRecord { id, kind: RecordKind::Command, payload: payload.clone() }
}

fn segment(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segment");
    let payload = encode_appends(&appends());
    group.throughput(Throughput::Bytes(payload.len() as u64));
    let (log, thread) = open_log();
    let mut next = 1;
    group.bench_function("write a record of 64 appends", |bench| {
        bench.iter(|| {
            log.append(vec![record(next, &payload)], Box::new(|done| done.unwrap())).unwrap();
            while thread.pump() {}
            next += 1;
        });
    });
    let (log, thread) = open_log();
    for index in 1..=64 {
        log.append(vec![record(index, &payload)], Box::new(|done| done.unwrap())).unwrap();
        while thread.pump() {}
    }
    group.throughput(Throughput::Bytes(64 * payload.len() as u64));
    group.bench_function("read 64 records of 64 appends", |bench| {
        bench.iter(|| log.read(LogIndex(1), LogIndex(65), usize::MAX).unwrap());
    });
    group.finish();
}

fn index(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(APPENDS));
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(dir.path(), GroupId::DEFAULT).unwrap();
    let mut entry = 0;
    group.bench_function("commit a batch of 64 appends", |bench| {
        bench.iter(|| {
            commit(&index, entry);
            entry += 1;
        });
    });
    let entity = EntityId::new("order-5").unwrap();
    group.throughput(Throughput::Elements(1));
    group.bench_function("look a head up", |bench| bench.iter(|| index.head(black_box(&entity)).unwrap()));
    group.finish();
}

/// What apply writes of an entry: a head and a run for each append, a run for all, the mark.
fn commit(index: &Index, entry: u64) {
    let first = entry * APPENDS + 1;
    let frames: Vec<Frame> =
        (0..APPENDS as u32).map(|number| Frame { offset: number * 400, len: 380 }).collect();
    let run = |position: u64, frames: &[Frame]| Run {
        first_position: Position(position),
        segment: 1,
        payload: entry * 30_000,
        frames: frames.to_vec(),
    };
    let mut batch = index.batch();
    for (number, frame) in (0..APPENDS).zip(&frames) {
        let (version, position) = (StreamVersion(entry + 1), first + number);
        let head = StreamHead {
            entity_id: EntityId::new(format!("order-{number}")).unwrap(),
            entity_type: EntityType::new("order").unwrap(),
            version,
            first_position: Position(number + 1),
            last_position: Position(position),
            created_at: Timestamp(1),
            updated_at: Timestamp(2),
        };
        let stream_no = StreamNo(number + 1);
        batch.put_stream_run(stream_no, version, &run(position, std::slice::from_ref(frame)));
        batch.put_head(IndexHead { stream_no, head, last_event: EventId(Uuid::nil()) });
    }
    batch.put_log_run(&run(first, &frames));
    batch.set_mark(AppliedMark {
        log_id: LogId { term: Term(1), leader: NodeId(1), index: LogIndex(entry + 1) },
        position: Position(first + APPENDS - 1),
        membership: Bytes::new(),
        membership_at: None,
        registry: LogIndex::ZERO,
        kv: LogIndex::ZERO,
        rules: LogIndex::ZERO,
        digest: entry,
    });
    index.commit(batch).unwrap();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

criterion_group!(name = storage; config = short(); targets = codec, segment, index);
criterion_main!(storage);
