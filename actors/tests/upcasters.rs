//! Upcasters over a log in memory: where they count, what a gap does, and which ones a projection folds by.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;
#[path = "support/eventually.rs"]
mod eventually;
#[path = "support/node.rs"]
mod node;

use std::{sync::Arc, time::Duration};

use node::{GROUP, Node, deploy};
use serde_json::{Value, json};
use tokio::time::timeout;
use weir_actors::{
    EventIds, RouterConfig, RouterHandle,
    live::{EndReason, Frame, Hub},
    upcast::Upcasting,
};
use weir_types::{
    AppendError, AppendRequest, ClusterId, ContentType, Direction, EntityId, EntityType, EventName,
    EventSource, ExpectedVersion, FilterText, NewEvent, NodeId, PartitionKey, Pattern, Position, ReadError,
    RegistryCommand, RegistryOutcome, Rules, RulesCommand, RulesScope, Selector, Slow, StreamRead,
    SubscribeRequest, SubscriptionStart, Timestamp, UpcastError, Upcaster,
    ports::{EventReader as _, Proposer as _, ViewStore as _},
    testing::MemoryLog,
};

/// Sums `data.v`, which events of version 2 call so.
const SUM: &str = "export default {name: 'counter', events: ['paid'], initialState: () => ({n: 0, sum: 0}), \
                   handler(state, {data}) { state.n += 1; state.sum += data.v }}";

fn upcaster(from: u32, to: u32, body: &str) -> RulesCommand {
    RulesCommand::SetUpcaster(Upcaster {
        name: EventName::new("paid").unwrap(),
        from,
        to,
        source: format!("export function upcast(data, event) {{ {body} }}").into(),
        description: String::new(),
        registered_at: Timestamp(0),
    })
}

fn remove(from: u32) -> RulesCommand {
    RulesCommand::DeleteUpcaster(EventName::new("paid").unwrap(), from)
}

fn log() -> MemoryLog {
    MemoryLog::led_by(NodeId(1))
}

fn write(log: &MemoryLog, name: &str, version: u32, data: &Value) -> Position {
    let entity = format!("e{}", log.applied(GROUP).0);
    let mut append = events::append(0, name, &entity, data);
    append.events[0].schema_version = version;
    append.judged = futures::executor::block_on(judged(log));
    log.write(append);
    log.applied(GROUP)
}

/// What a decider would have said of the rules.
async fn judged(log: &MemoryLog) -> Option<weir_types::Judged> {
    use weir_types::{LogIndex, ports::RuleStore as _};
    let rules = log.rules_at(GROUP);
    (rules > LogIndex::ZERO).then_some(weir_types::Judged { rules, last: None })
}

fn upcasting(log: &MemoryLog) -> Arc<Upcasting> {
    Arc::new(Upcasting::new(GROUP, Arc::new(log.clone())))
}

async fn log_data(log: &MemoryLog, upcasting: &Upcasting) -> Result<Vec<(u32, Value)>, ReadError> {
    let events = log.read_log(GROUP, Position(1), 100).await?;
    let events = upcasting.first_part(events).await?;
    Ok(events
        .iter()
        .map(|event| (event.schema_version, serde_json::from_slice(&event.data).unwrap()))
        .collect())
}

#[tokio::test]
async fn steps_are_chained_and_what_is_of_the_newest_version_stays() {
    let log = log();
    log.change_rules(upcaster(1, 2, "return {v: data.amount}"));
    log.change_rules(upcaster(
        2,
        3,
        "data.v *= 10; data.of = event.entityId; data.was = event.schemaVersion",
    ));
    write(&log, "paid", 1, &json!({"amount": 4}));
    write(&log, "paid", 2, &json!({"v": 5}));
    write(&log, "paid", 3, &json!({"v": 6}));
    write(&log, "other", 1, &json!({"amount": 7}));
    let upcasting = upcasting(&log);
    assert_eq!(
        log_data(&log, &upcasting).await.unwrap(),
        [
            (3, json!({"v": 40, "of": "e0", "was": 2})),
            (3, json!({"v": 50, "of": "e1", "was": 2})),
            (3, json!({"v": 6})),
            (1, json!({"amount": 7})),
        ]
    );
    log.change_rules(remove(2));
    assert_eq!(log_data(&log, &upcasting).await.unwrap()[0], (2, json!({"v": 4})), "the newest counts");
    log.change_rules(remove(1));
    assert_eq!(log_data(&log, &upcasting).await.unwrap()[0], (1, json!({"amount": 4})));
}

#[tokio::test]
async fn a_page_ends_before_what_cannot_be_upcast_and_the_next_says_why() {
    for (steps, version, expected) in [
        (
            vec![upcaster(2, 3, "return data"), upcaster(4, 5, "return data")],
            2,
            "schema version 3, and version 5 is wanted",
        ),
        (vec![upcaster(4, 5, "throw new Error('no ' + data.v)")], 4, "Error: no 2"),
        (vec![upcaster(4, 5, "for (;;) {}")], 4, "took more than"),
        (vec![upcaster(4, 5, "return () => 1")], 4, "data is a function"),
        (vec![upcaster(4, 5, "return 'x'.repeat(1100000)")], 4, "over the limit"),
        (
            vec![upcaster(4, 5, "let a = 1; for (let i = 0; i < 97; i += 1) a = [a]; return a")],
            4,
            "nested over 96",
        ),
        (vec![upcaster(4, 5, "return Promise.resolve(data)")], 4, "must not be async"),
    ] {
        let log = log();
        for step in steps {
            log.change_rules(step);
        }
        let mut append = events::append(0, "paid", "s", &json!({"v": 1}));
        append.judged = judged(&log).await;
        let mut second = append.events[0].clone();
        (append.events[0].schema_version, second.schema_version) = (5, version);
        second.data = json!({"v": 2}).to_string().into();
        append.events.push(second);
        log.write(append);
        let read = |from: u64| StreamRead {
            group: GROUP,
            entity_id: EntityId::new("s").unwrap(),
            from: Some(weir_types::StreamVersion(from)),
            direction: Direction::Forward,
            limit: 10,
        };
        let upcasting = upcasting(&log);
        let page = upcasting.stream_page(log.read_stream(read(1)).await.unwrap()).await.unwrap();
        assert_eq!((page.events.len(), page.next.unwrap().0), (1, 2), "{expected}");
        let error = upcasting.stream_page(log.read_stream(read(2)).await.unwrap()).await.unwrap_err();
        assert!(matches!(error, ReadError::Upcast { position: Position(2), .. }));
        assert!(error.to_string().contains(expected), "{error} has no {expected}");
    }
}

async fn state(node: &Node, name: &str, position: Position) -> Value {
    let name = weir_types::ProjectionName::new(name).unwrap();
    let at = weir_types::Consistency::AtLeast(position);
    let answer = node.projections.view(&name, &PartitionKey::global(), at, Duration::from_secs(30)).await;
    serde_json::from_slice(&answer.unwrap().view.unwrap().state).unwrap()
}

#[tokio::test]
async fn a_projection_folds_by_the_upcasters_of_its_deployment_until_it_is_rebuilt() {
    let log = log();
    log.change_rules(upcaster(1, 2, "return {v: data.amount}"));
    let node = Node::start(&log, None).await;
    deploy(&log, SUM).await;
    write(&log, "paid", 1, &json!({"amount": 1}));
    log.change_rules(upcaster(1, 2, "return {v: data.amount * 100}"));
    let last = write(&log, "paid", 1, &json!({"amount": 2}));
    assert_eq!(state(&node, "counter", last).await, json!({"n": 2, "sum": 3}));
    // Another of a later deployment goes by the newest, from the first event on.
    deploy(&log, &SUM.replace("counter", "later")).await;
    assert_eq!(state(&node, "later", last).await, json!({"n": 2, "sum": 300}));
    log.change_rules(remove(1));
    let last = write(&log, "paid", 1, &json!({"amount": 3}));
    assert_eq!(state(&node, "counter", last).await, json!({"n": 3, "sum": 6}));
    // A node that comes later, and folds all of it then, comes to the same.
    node.projections.stop().await;
    for id in log.kept(GROUP).await.unwrap() {
        log.forget(GROUP, &id).await.unwrap();
    }
    let late = Node::start(&log, None).await;
    assert_eq!(state(&late, "counter", last).await, json!({"n": 3, "sum": 6}));
    assert_eq!(state(&late, "later", last).await, json!({"n": 3, "sum": 600}));

    log.change_rules(upcaster(1, 2, "return {v: data.amount * 7}"));
    let name = weir_types::ProjectionName::new("counter").unwrap();
    let rebuilt = log.register(RegistryCommand::Rebuild { name, asked_at: Timestamp(1) }).await.unwrap();
    assert!(matches!(rebuilt, RegistryOutcome::Deployed(_)));
    let seen = eventually::eventually(
        "rebuilt by the newest",
        || async { state(&late, "counter", last).await },
        |state| *state == json!({"n": 3, "sum": 42}),
    );
    seen.await;
}

#[tokio::test]
async fn a_projection_parks_before_a_gap_or_keeps_it_as_a_dead_letter() {
    let log = log();
    log.change_rules(upcaster(2, 3, "return data"));
    let node = Node::start(&log, None).await;
    deploy(&log, SUM).await;
    deploy(&log, &SUM.replace("counter", "skips").replace("events:", "onError: 'skip', events:")).await;
    write(&log, "paid", 3, &json!({"v": 1}));
    write(&log, "paid", 1, &json!({"v": 2}));
    let last = write(&log, "paid", 2, &json!({"v": 3}));
    let parked = eventually::eventually(
        "parked",
        || async { node.status("counter") },
        |seen| seen.as_ref().is_some_and(|seen| seen.checkpoint.parked.is_some()),
    );
    let parked = parked.await.unwrap().checkpoint;
    assert_eq!(parked.position, Position(1));
    let bad = parked.parked.unwrap().event;
    assert!(bad.message.contains("no upcaster of `paid` leads on from schema version 1"), "{}", bad.message);
    assert_eq!(state(&node, "skips", last).await, json!({"n": 2, "sum": 4}));
    assert_eq!(node.status("skips").unwrap().checkpoint.dead_letters, 1);
}

fn paid(version: u32, data: &Value) -> AppendRequest {
    AppendRequest {
        group: GROUP,
        entity_id: EntityId::new("a").unwrap(),
        entity_type: EntityType::new("account").unwrap(),
        expected: ExpectedVersion::Any,
        idempotency_key: None,
        events: vec![NewEvent {
            id: None,
            name: EventName::new("paid").unwrap(),
            schema_version: version,
            content_type: ContentType::Json,
            data: data.to_string().into(),
            metadata: bytes::Bytes::new(),
            occurred_at: None,
            source: EventSource::Api,
            tags: Vec::new(),
        }],
    }
}

#[tokio::test]
async fn an_invariant_judges_events_of_the_newest_version() {
    let log = log();
    let invariant = "export const initialState = {sum: 0}; \
                     export function fold(state, {data}) { state.sum += data.v } \
                     export function check(state) { if (!(state.sum <= 10)) return `sum is ${state.sum}` }";
    let rules = Rules { invariant: Some(invariant.into()), ..Rules::default() };
    log.change_rules(RulesCommand::Set(RulesScope::Type(EntityType::new("account").unwrap()), rules));
    log.change_rules(upcaster(1, 2, "return {v: data.amount}"));
    let router = RouterHandle::start(RouterConfig::default(), log.ports(events::NOW), EventIds::seeded(7))
        .await
        .unwrap();
    router.append(paid(1, &json!({"amount": 6}))).await.unwrap();
    let refused = router.append(paid(1, &json!({"amount": 5}))).await.unwrap_err();
    assert!(refused.to_string().contains("sum is 11"), "{refused}");
    router.append(paid(2, &json!({"v": 3}))).await.unwrap();
    // The state that was kept is not gone on from when the events before it are read as others.
    log.change_rules(upcaster(1, 2, "return {v: data.amount + 2}"));
    let refused = router.append(paid(2, &json!({"v": 0}))).await.unwrap_err();
    assert!(refused.to_string().contains("sum is 11"), "{refused}");
    log.change_rules(upcaster(1, 2, "return {v: 1}"));
    router.append(paid(2, &json!({"v": 6}))).await.unwrap();
    log.change_rules(upcaster(4, 5, "return data"));
    let failed = router.append(paid(2, &json!({"v": 0}))).await.unwrap_err();
    assert!(matches!(&failed, AppendError::InvariantFailed { reason, .. } if reason.contains("no upcaster")));
}

#[tokio::test]
async fn subscribers_get_events_of_the_newest_version_and_end_before_a_gap() {
    let log = log();
    log.change_rules(upcaster(1, 2, "return {v: data.amount}"));
    write(&log, "paid", 1, &json!({"amount": 1}));
    let hub = Hub::start(Arc::new(log.clone()), upcasting(&log), ClusterId(uuid::Uuid::from_u128(1)), GROUP);
    let open = async |start| {
        let selector = Selector::Pattern(Pattern::everything());
        let heartbeat = Duration::from_secs(60);
        let filter = Some(FilterText::new("event.schemaVersion > 0").unwrap());
        hub.subscribe(SubscribeRequest { selector, filter, start, slow: Slow::Disconnect, heartbeat })
            .await
            .unwrap()
    };
    let mut first = open(SubscriptionStart::AfterPosition(Position::ZERO)).await;
    let next = async |subscriber: &mut weir_actors::live::Subscriber| loop {
        let frame = timeout(Duration::from_secs(20), subscriber.next()).await.unwrap().unwrap();
        match frame {
            Frame::Event { event, cursor } => {
                let event = event.event();
                let data: Value = serde_json::from_slice(&event.data).unwrap();
                return Ok((cursor.position.0, event.schema_version, data));
            }
            Frame::Ended { reason, cursor } => return Err((reason, cursor.position.0)),
            _ => {}
        }
    };
    assert_eq!(next(&mut first).await, Ok((1, 2, json!({"v": 1}))));
    write(&log, "paid", 1, &json!({"amount": 2}));
    write(&log, "other", 1, &json!({}));
    assert_eq!(next(&mut first).await, Ok((2, 2, json!({"v": 2}))));
    assert_eq!(next(&mut first).await, Ok((3, 1, json!({}))));
    // The same events, which are in memory, by other upcasters.
    log.change_rules(upcaster(1, 2, "return {v: -data.amount}"));
    let mut again = open(SubscriptionStart::AfterPosition(Position::ZERO)).await;
    assert_eq!(next(&mut again).await, Ok((1, 2, json!({"v": -1}))));
    log.change_rules(remove(1));
    log.change_rules(upcaster(2, 3, "return data"));
    write(&log, "other", 1, &json!({}));
    write(&log, "paid", 1, &json!({"amount": 3}));
    assert_eq!(next(&mut first).await, Ok((4, 1, json!({}))));
    let (reason, cursor) = next(&mut first).await.unwrap_err();
    assert_eq!(cursor, 4);
    assert!(matches!(
        reason,
        EndReason::Failed(ReadError::Upcast {
            position: Position(5),
            error: UpcastError::Gap { from: 1, .. }
        })
    ));
    assert!(timeout(Duration::from_secs(20), first.next()).await.unwrap().is_none());
}
