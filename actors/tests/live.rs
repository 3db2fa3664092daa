//! Live subscriptions over a log in memory: every start, the seam between
//! history and what comes, cursors, ends, and slow subscribers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;

use std::{sync::Arc, time::Duration};

use futures::executor::block_on;
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;
use weir_actors::{
    live::{EndReason, Frame, Hub, Subscriber},
    upcast::Upcasting,
};
use weir_types::{
    ClusterId, Cursor, EntityId, FilterText, GroupId, NodeId, Pattern, Position, Selector, Slow,
    StreamVersion, SubscribeRequest, SubscriptionStart,
    limits::{SUBSCRIPTION_EVENTS_MAX, SUBSCRIPTION_RING_EVENTS_MAX},
    ports::EventReader as _,
    testing::MemoryLog,
};

const GROUP: GroupId = GroupId::DEFAULT;
const PATIENCE: Duration = Duration::from_secs(20);

fn hub(log: &MemoryLog) -> Hub {
    let upcasting = Arc::new(Upcasting::new(GROUP, Arc::new(log.clone())));
    Hub::start(Arc::new(log.clone()), upcasting, ClusterId(Uuid::from_u128(1)), GROUP)
}

fn write_to(log: &MemoryLog, stream: &str) {
    let head = block_on(log.head(GROUP, &EntityId::new(stream).unwrap())).unwrap();
    log.write(events::append(head.map_or(0, |head| head.version.0), "e", stream, &json!({})));
}

fn everything() -> Selector {
    Selector::Pattern(Pattern::everything())
}

fn stream(name: &str) -> Selector {
    Selector::Stream(EntityId::new(name).unwrap())
}

async fn subscribe(hub: &Hub, selector: Selector, start: SubscriptionStart) -> Subscriber {
    open(hub, selector, start, Slow::Disconnect).await
}

async fn open(hub: &Hub, selector: Selector, start: SubscriptionStart, slow: Slow) -> Subscriber {
    let wish = SubscribeRequest { selector, filter: None, start, slow, heartbeat: Duration::from_secs(60) };
    hub.subscribe(wish).await.unwrap()
}

async fn frame(subscriber: &mut Subscriber) -> Frame {
    timeout(PATIENCE, subscriber.next()).await.expect("a frame in time").expect("not ended")
}

/// Positions of the next events, passing over the other frames; with the last cursor.
async fn take(subscriber: &mut Subscriber, count: usize) -> (Vec<u64>, Cursor) {
    let mut positions = Vec::new();
    loop {
        if let Frame::Event { event, cursor } = frame(subscriber).await {
            positions.push(event.event().position.0);
            if positions.len() == count {
                return (positions, cursor);
            }
        }
    }
}

fn run(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[tokio::test]
async fn history_then_live_has_no_hole_and_no_repeat() {
    let log = MemoryLog::led_by(NodeId(1));
    (0..1_000).for_each(|_| write_to(&log, "a"));
    let hub = hub(&log);
    let mut all = subscribe(&hub, everything(), SubscriptionStart::AfterPosition(Position(0))).await;
    assert!(matches!(frame(&mut all).await, Frame::Opened { cursor, .. } if cursor.position == Position(0)));
    let writer = tokio::spawn({
        let log = log.clone();
        async move {
            for _ in 0..3_000 {
                write_to(&log, "a");
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(take(&mut all, 4_000).await.0, run(1, 4_000));
    writer.await.unwrap();
}

#[tokio::test]
async fn it_says_once_that_history_has_ended() {
    let log = MemoryLog::led_by(NodeId(1));
    (0..5).for_each(|_| write_to(&log, "a"));
    let hub = hub(&log);
    let mut all = subscribe(&hub, everything(), SubscriptionStart::AfterPosition(Position(0))).await;
    take(&mut all, 5).await;
    assert!(matches!(frame(&mut all).await, Frame::CaughtUp { cursor } if cursor.position == Position(5)));
    write_to(&log, "b");
    assert!(matches!(frame(&mut all).await, Frame::Event { .. }));
}

#[tokio::test]
async fn each_start_begins_where_it_says() {
    let log = MemoryLog::led_by(NodeId(1));
    // Positions 1, 3, 5, … are of a; 2, 4, 6, … of b.
    for _ in 0..10 {
        write_to(&log, "a");
        write_to(&log, "b");
    }
    let hub = hub(&log);
    let odd = |from: u64, to: u64| (from..=to).step_by(2).collect::<Vec<_>>();
    for (selector, start, first) in [
        (everything(), SubscriptionStart::AfterPosition(Position(17)), vec![18, 19, 20]),
        (everything(), SubscriptionStart::Last(2), vec![19, 20]),
        (everything(), SubscriptionStart::Last(1_000), run(1, 20)),
        (stream("a"), SubscriptionStart::Last(2), vec![17, 19]),
        (stream("a"), SubscriptionStart::AfterVersion(StreamVersion(7)), odd(15, 19)),
        (stream("a"), SubscriptionStart::AfterPosition(Position(14)), odd(15, 19)),
        (stream("a"), SubscriptionStart::AfterPosition(Position(15)), odd(17, 19)),
        (stream("a"), SubscriptionStart::AfterVersion(StreamVersion(0)), odd(1, 19)),
    ] {
        let mut subscriber = subscribe(&hub, selector.clone(), start).await;
        assert_eq!(take(&mut subscriber, first.len()).await.0, first, "{selector:?} {start:?}");
        assert!(matches!(frame(&mut subscriber).await, Frame::CaughtUp { .. }), "{selector:?} {start:?}");
    }
    let mut now = subscribe(&hub, stream("a"), SubscriptionStart::Now).await;
    let mut ahead = subscribe(&hub, stream("a"), SubscriptionStart::AfterVersion(StreamVersion(11))).await;
    frame(&mut now).await;
    frame(&mut ahead).await;
    for _ in 0..2 {
        write_to(&log, "a");
    }
    assert_eq!(take(&mut now, 2).await.0, [21, 22]);
    assert_eq!(take(&mut ahead, 1).await.0, [22]);
}

#[tokio::test]
async fn every_cursor_goes_on_exactly_where_it_was() {
    let log = MemoryLog::led_by(NodeId(1));
    for number in 0..60 {
        write_to(&log, if number % 3 == 0 { "a" } else { "b" });
    }
    let hub = hub(&log);
    for selector in [everything(), stream("a")] {
        let mut whole =
            subscribe(&hub, selector.clone(), SubscriptionStart::AfterPosition(Position(0))).await;
        let mut given: Vec<(u64, Cursor)> = Vec::new();
        loop {
            match frame(&mut whole).await {
                Frame::Event { event, cursor } => given.push((event.event().position.0, cursor)),
                Frame::CaughtUp { .. } => break,
                _ => {}
            }
        }
        for (number, (_, cursor)) in given.iter().enumerate() {
            let rest: Vec<u64> = given[number + 1..].iter().map(|(position, _)| *position).collect();
            let mut again = subscribe(&hub, selector.clone(), SubscriptionStart::Cursor(*cursor)).await;
            assert_eq!(hub.scope(&selector).check(*cursor), Ok(()));
            if !rest.is_empty() {
                assert_eq!(take(&mut again, rest.len()).await.0, rest);
            }
        }
    }
}

#[tokio::test]
async fn a_cursor_ahead_of_the_node_repeats_nothing() {
    let log = MemoryLog::led_by(NodeId(1));
    (0..5).for_each(|_| write_to(&log, "a"));
    let hub = hub(&log);
    let scope = hub.scope(&everything());
    let cursor = Cursor { position: Position(7), version: StreamVersion(0), scope };
    let mut ahead = subscribe(&hub, everything(), SubscriptionStart::Cursor(cursor)).await;
    frame(&mut ahead).await;
    (0..4).for_each(|_| write_to(&log, "a"));
    assert_eq!(take(&mut ahead, 2).await.0, [8, 9]);
}

#[tokio::test]
async fn a_heartbeat_says_how_far_it_has_looked() {
    let log = MemoryLog::led_by(NodeId(1));
    write_to(&log, "a");
    let hub = hub(&log);
    let wish = SubscribeRequest {
        selector: stream("absent"),
        filter: None,
        start: SubscriptionStart::Now,
        slow: Slow::Disconnect,
        heartbeat: Duration::from_millis(20),
    };
    let mut quiet = hub.subscribe(wish).await.unwrap();
    (0..100).for_each(|_| write_to(&log, "a"));
    loop {
        match frame(&mut quiet).await {
            Frame::Heartbeat { cursor } if cursor.position == Position(101) => break,
            Frame::Event { .. } => panic!("nothing is asked for"),
            _ => {}
        }
    }
}

/// Numbered from 1 by their data, which is their position.
fn write_numbers(log: &MemoryLog, from: u64, to: u64) {
    for number in from..=to {
        let version = block_on(log.head(GROUP, &EntityId::new("a").unwrap())).unwrap();
        let version = version.map_or(0, |head| head.version.0);
        log.write(events::append(version, "e", "a", &json!({ "n": number })));
    }
}

async fn filtered(hub: &Hub, filter: &str, start: SubscriptionStart, heartbeat: Duration) -> Subscriber {
    let filter = Some(FilterText::new(filter).unwrap());
    let wish = SubscribeRequest { selector: everything(), filter, start, slow: Slow::Disconnect, heartbeat };
    hub.subscribe(wish).await.unwrap()
}

#[tokio::test]
async fn a_filter_leaves_events_out_of_history_and_of_what_comes() {
    let log = MemoryLog::led_by(NodeId(1));
    write_numbers(&log, 1, 700);
    let (hub, start) = (hub(&log), SubscriptionStart::AfterPosition(Position(0)));
    let mut some = filtered(&hub, "data.n % 100 == 0", start, PATIENCE).await;
    let (positions, cursor) = take(&mut some, 7).await;
    assert_eq!((positions, cursor.position), ((1..=7).map(|n| n * 100).collect(), Position(700)));
    while !matches!(frame(&mut some).await, Frame::CaughtUp { .. }) {}
    write_numbers(&log, 701, 1_000);
    assert_eq!(take(&mut some, 3).await.0, [800, 900, 1_000]);
    // Another filter goes on by the same cursor.
    let mut other = filtered(&hub, "data.n % 350 == 0", SubscriptionStart::Cursor(cursor), PATIENCE).await;
    write_numbers(&log, 1_001, 1_050);
    assert_eq!(take(&mut other, 1).await.0, [1_050]);
    let mut last = filtered(&hub, "data.n % 350 == 0", SubscriptionStart::Last(100), PATIENCE).await;
    assert!(matches!(frame(&mut last).await, Frame::Opened { found: Some(100), .. }));
    assert_eq!(take(&mut last, 1).await.0, [1_050], "the last are those of the pattern");
}

#[tokio::test]
async fn what_a_filter_leaves_out_is_not_looked_at_again() {
    let log = MemoryLog::led_by(NodeId(1));
    write_numbers(&log, 1, 2_000);
    let (hub, start) = (hub(&log), SubscriptionStart::AfterPosition(Position(0)));
    // An expression that fails for an event leaves it out too, and ends nothing.
    let mut none = filtered(&hub, "data.missing > 1", start, Duration::from_nanos(1)).await;
    let (mut before, mut heartbeats) = (Position(0), 0);
    let caught_up = loop {
        match frame(&mut none).await {
            Frame::Heartbeat { cursor } => {
                assert!(cursor.position >= before, "{} after {}", cursor.position.0, before.0);
                (before, heartbeats) = (cursor.position, heartbeats + 1);
            }
            Frame::CaughtUp { cursor } => break cursor,
            Frame::Opened { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(caught_up.position, Position(2_000));
    assert!(heartbeats > 5, "history that is left out is told page by page: {heartbeats}");
    write_numbers(&log, 2_001, 2_100);
    while !matches!(frame(&mut none).await, Frame::Heartbeat { cursor } if cursor.position == Position(2_100))
    {
    }
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused_before_the_first_frame() {
    let log = MemoryLog::led_by(NodeId(1));
    let hub = hub(&log);
    let filter = Some(FilterText::new("amount > 1").unwrap());
    let (start, heartbeat) = (SubscriptionStart::Now, PATIENCE);
    let wish = SubscribeRequest { selector: everything(), filter, start, slow: Slow::Disconnect, heartbeat };
    let refused = hub.subscribe(wish).await.err().unwrap();
    assert!(refused.to_string().contains("`amount` is not known"), "{refused}");
    assert_eq!(hub.active(), 0);
}

#[tokio::test]
async fn a_slow_subscriber_is_ended_and_its_cursor_goes_on() {
    let log = MemoryLog::led_by(NodeId(1));
    let hub = hub(&log);
    let mut stuck = subscribe(&hub, everything(), SubscriptionStart::Now).await;
    let mut healthy = subscribe(&hub, everything(), SubscriptionStart::Now).await;
    // Both follow before anything comes.
    frame(&mut stuck).await;
    assert!(matches!(frame(&mut stuck).await, Frame::CaughtUp { .. }));
    let count = SUBSCRIPTION_EVENTS_MAX + 1_000;
    let reader = tokio::spawn(async move { take(&mut healthy, count).await.0 });
    for _ in 0..count {
        write_to(&log, "a");
        tokio::task::yield_now().await;
    }
    assert_eq!(reader.await.unwrap(), run(1, count as u64));
    let (mut given, end) = (
        0,
        loop {
            match frame(&mut stuck).await {
                Frame::Ended { reason, cursor } => break (reason, cursor),
                frame => assert!(!matches!(frame, Frame::Event { .. })),
            }
        },
    );
    assert_eq!((&end.0, end.1.position), (&EndReason::Slow, Position(0)));
    assert!(stuck.next().await.is_none());
    drop(stuck);
    let mut again = subscribe(&hub, everything(), SubscriptionStart::Cursor(end.1)).await;
    for position in take(&mut again, count).await.0 {
        given += 1;
        assert_eq!(position, given);
    }
}

#[tokio::test]
async fn a_slow_subscriber_that_wishes_it_gets_the_newest_of_each_stream_and_a_mark() {
    let log = MemoryLog::led_by(NodeId(1));
    let hub = hub(&log);
    let mut stuck = open(&hub, everything(), SubscriptionStart::Now, Slow::Conflate).await;
    frame(&mut stuck).await;
    assert!(matches!(frame(&mut stuck).await, Frame::CaughtUp { .. }));
    let count = (SUBSCRIPTION_EVENTS_MAX + SUBSCRIPTION_RING_EVENTS_MAX) as u64;
    for number in 0..count {
        write_to(&log, if number % 2 == 0 { "a" } else { "b" });
    }
    while hub.tail() < Position(count) {
        tokio::task::yield_now().await;
    }
    assert!(matches!(frame(&mut stuck).await, Frame::LeftOut { count: left, .. } if left == count - 2));
    assert_eq!(take(&mut stuck, 2).await.0, [count - 1, count]);
    write_to(&log, "a");
    assert_eq!(take(&mut stuck, 1).await.0, [count + 1]);
}

#[tokio::test]
async fn the_end_of_the_hub_is_told_with_a_cursor_and_slots_come_back() {
    let log = MemoryLog::led_by(NodeId(1));
    write_to(&log, "a");
    let hub = hub(&log);
    let mut all = subscribe(&hub, everything(), SubscriptionStart::AfterPosition(Position(0))).await;
    take(&mut all, 1).await;
    let reason = EndReason::Unavailable("node is stopping".to_owned());
    hub.end_all(&reason);
    loop {
        if let Frame::Ended { reason: told, cursor } = frame(&mut all).await {
            assert_eq!((told, cursor.position), (reason, Position(1)));
            break;
        }
    }
    assert!(all.next().await.is_none());
    assert_eq!(hub.active(), 1);
    drop(all);
    assert_eq!(hub.active(), 0);
    // Those who come later are served.
    let mut later = subscribe(&hub, everything(), SubscriptionStart::Last(1)).await;
    assert_eq!(take(&mut later, 1).await.0, [1]);
}

/// It spun on a core, for the subscriptions of a node that was ending.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_ends_its_subscriptions() {
    let log = MemoryLog::led_by(NodeId(1));
    write_to(&log, "a");
    let hub = hub(&log);
    let mut all = subscribe(&hub, everything(), SubscriptionStart::AfterPosition(Position(0))).await;
    take(&mut all, 1).await;
    log.end();
    loop {
        if let Frame::Ended { reason: EndReason::Unavailable(reason), .. } = frame(&mut all).await {
            assert_eq!(reason, "node follows its log no more");
            break;
        }
    }
}
