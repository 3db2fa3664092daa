//! What one append costs to decide, and one event to fold in a JavaScript handler.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on fails")]

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::executor::block_on;
use uuid::Uuid;
use weir_actors::{
    EventIds,
    inside::Decider,
    reducer::{FoldOutcome, ReducerLimits, ReducerThread, inspect},
};
use weir_types::{
    AppendRequest, ContentType, EntityId, EntityType, EventId, EventName, EventSource, ExpectedVersion,
    GroupId, NewEvent, Position, RecordedEvent, StreamVersion, Timestamp,
};

/// Events of a batch that is folded.
const EVENTS: u64 = 500;
const DATA: &[u8; 256] = &[b'7'; 256];
const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
const COUNT: &str = "export const name = 'count';
export const events = ['*'];
export const partitionKey = '$.data.customer';
export const initialState = () => ({ events: 0, total: 0 });
export function handler(state, event) {
  state.events += 1;
  state.total += event.data.total;
}
";

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let (ids, mut decider, mut version) = (EventIds::seeded(1), Decider::default(), 0);
    let mut request = AppendRequest {
        group: GroupId::DEFAULT,
        entity_id: EntityId::new("order-1").unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        expected: ExpectedVersion::Any,
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
    group.bench_function("one guarded append", |bench| {
        bench.iter(|| {
            request.expected = ExpectedVersion::Exact(StreamVersion(version));
            version += 1;
            decider.decide(black_box(&request), NOW, &ids).unwrap().unwrap()
        });
    });
    group.finish();
}

fn event(position: u64) -> RecordedEvent {
    RecordedEvent {
        id: EventId(Uuid::from_u128(position.into())),
        entity_id: EntityId::new(format!("order-{position}")).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        name: EventName::new("order.placed").unwrap(),
        version: StreamVersion(1),
        position: Position(position),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from(format!(r#"{{"customer":"c-{}","total":{position}}}"#, position % 50)),
        metadata: Bytes::new(),
        recorded_at: NOW,
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    }
}

fn reducer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reducer");
    group.throughput(Throughput::Elements(EVENTS));
    let definition = Arc::new(inspect(COUNT).unwrap());
    let reducer = ReducerThread::new(definition, ReducerLimits::default());
    let events: Arc<Vec<RecordedEvent>> = Arc::new((1..=EVENTS).map(event).collect());
    group.bench_function("fold 500 events into 50 partitions", |bench| {
        bench.iter(|| block_on(fold(&reducer, &events)));
    });
    group.bench_function("inspect a module", |bench| bench.iter(|| inspect(black_box(COUNT)).unwrap()));
    group.finish();
}

async fn fold(reducer: &ReducerThread, events: &Arc<Vec<RecordedEvent>>) {
    let missing = reducer.prepare(events.clone(), events.len()).await.unwrap();
    let states = missing.into_iter().map(|key| (key, None)).collect();
    match reducer.run(states).await.unwrap() {
        FoldOutcome::Done(result) => assert_eq!((result.handled, result.failure), (EVENTS, None)),
        FoldOutcome::Again { .. } => panic!("nothing fails"),
    }
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

criterion_group!(name = actors; config = short(); targets = decide, reducer);
criterion_main!(actors);
