//! The desk of a consumer group over a log in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::executor::block_on;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_actors::{
    consumers::{Delivery, Desk, DeskEnded, DeskStart, DeskStore, Ledger, Settle, Writing},
    live::Hub,
    upcast::Upcasting,
};
use weir_types::{
    AckMode, ClusterId, ConsumerGroup, ConsumerGroupName, ConsumerStatus, ConsumerTerms, EntityId,
    FilterText, GroupId, NodeId, Pattern, Position, Settlement, Timestamp, Verdict,
    ports::EventReader as _,
    testing::{ManualClock, MemoryLog},
};

const WAIT: Duration = Duration::from_secs(20);

/// Everything is written at once.
struct Paper;

#[async_trait]
impl DeskStore for Paper {
    async fn write(&self, _: Writing) -> Result<(), DeskEnded> {
        Ok(())
    }

    fn leads(&self) -> bool {
        true
    }
}

fn write_to(log: &MemoryLog, stream: &str) {
    let head = block_on(log.head(GroupId::DEFAULT, &EntityId::new(stream).unwrap())).unwrap();
    log.write(events::append(head.map_or(0, |head| head.version.0), "e", stream, &json!({})));
}

fn group() -> ConsumerGroup {
    ConsumerGroup {
        name: ConsumerGroupName::new("mail").unwrap(),
        pattern: Pattern::everything(),
        filter: None,
        description: String::new(),
        after: Position::ZERO,
        terms: ConsumerTerms { redeliveries_max: 1, ..ConsumerTerms::default() },
        status: ConsumerStatus::Active,
        ack_mode: AckMode::Auto,
    }
}

fn filtered(filter: &str) -> ConsumerGroup {
    ConsumerGroup { filter: FilterText::optional(filter).unwrap(), ..group() }
}

fn desk(log: &MemoryLog, number: u64) -> Desk {
    desk_of(group(), log, number)
}

fn desk_of(group: ConsumerGroup, log: &MemoryLog, number: u64) -> Desk {
    let upcasting = Arc::new(Upcasting::new(GroupId::DEFAULT, Arc::new(log.clone())));
    let (desk, served) = Desk::open(DeskStart {
        number,
        group,
        ledger: Ledger::default(),
        replayed: Vec::new(),
        store: Arc::new(Paper),
        hub: Hub::start(Arc::new(log.clone()), upcasting, ClusterId(Uuid::from_u128(1)), GroupId::DEFAULT),
        clock: Arc::new(ManualClock::at(Timestamp(1))),
        stop: CancellationToken::new(),
    });
    tokio::spawn(served);
    desk
}

fn of(delivery: &Delivery, desk: &Desk, verdict: Verdict) -> Settle {
    let (position, attempt) = (delivery.event.position, Some(delivery.attempt));
    Settle { position, attempt, desk: Some(desk.number()), verdict }
}

async fn say(desk: &Desk, one: Settle) -> Settlement {
    desk.settle(vec![one]).await.unwrap()[0]
}

#[tokio::test]
async fn what_is_said_of_an_earlier_leaders_delivery_is_not_taken_for_this_ones() {
    let log = MemoryLog::led_by(NodeId(1));
    write_to(&log, "a");
    let (before, now) = (desk(&log, 1), desk(&log, 2));
    let earlier = before.pull(1, WAIT).await.unwrap().remove(0);
    let newer = now.pull(1, WAIT).await.unwrap().remove(0);
    assert_eq!((earlier.attempt, newer.attempt), (1, 1), "nobody could tell them apart by this");
    for verdict in [Verdict::Nak(None), Verdict::Term, Verdict::Release] {
        assert_eq!(say(&now, of(&earlier, &before, verdict)).await, Settlement::Stale, "{verdict:?}");
    }
    assert_eq!(now.counts().await.unwrap().in_flight, 1);
    assert_eq!(say(&now, of(&earlier, &before, Verdict::Ack)).await, Settlement::Settled, "done is done");
}

#[tokio::test]
async fn a_verdict_waits_until_a_new_desk_has_read_what_it_is_about() {
    let log = MemoryLog::led_by(NodeId(1));
    (0..200).for_each(|number| write_to(&log, &format!("s-{number}")));
    let ack = |position| Settle {
        position: Position(position),
        attempt: Some(1),
        desk: Some(7),
        verdict: Verdict::Ack,
    };
    // Nothing of the log is read yet: the desk has not been polled.
    let desk = desk(&log, 8);
    assert_eq!(say(&desk, ack(150)).await, Settlement::Settled);
    assert_eq!(say(&desk, ack(201)).await, Settlement::NotDelivered, "it is not in the log");
}

#[tokio::test]
async fn what_was_pulled_for_nobody_is_handed_out_as_if_it_were_new() {
    let log = MemoryLog::led_by(NodeId(1));
    write_to(&log, "a");
    let desk = desk(&log, 1);
    let unheard = desk.pull(1, WAIT).await.unwrap();
    desk.take_back(unheard);
    assert_eq!(desk.pull(1, WAIT).await.unwrap()[0].attempt, 1);
}

#[tokio::test]
async fn who_waits_at_a_paused_desk_is_served_when_it_is_resumed() {
    let log = MemoryLog::led_by(NodeId(1));
    (0..2).for_each(|_| write_to(&log, "a"));
    let desk = desk(&log, 1);
    let held = desk.pull(1, WAIT).await.unwrap().remove(0);
    desk.change(&ConsumerGroup { status: ConsumerStatus::Paused, ..group() }).await.unwrap();
    assert_eq!(say(&desk, of(&held, &desk, Verdict::Ack)).await, Settlement::Settled, "a verdict is taken");
    assert_eq!(desk.pull(1, Duration::from_millis(1)).await.unwrap().len(), 0);
    let (given, ()) = tokio::join!(async { desk.pull(1, WAIT).await.unwrap() }, async {
        desk.change(&group()).await.unwrap();
    });
    assert_eq!((given[0].event.position, given[0].attempt), (Position(2), 1));
}

#[tokio::test]
async fn what_the_filter_does_not_take_is_settled_without_being_handed_out() {
    let log = MemoryLog::led_by(NodeId(1));
    (0..6).for_each(|_| write_to(&log, "a"));
    let desk = desk_of(filtered("event.version % 3 == 0"), &log, 1);
    let pull = async || desk.pull(9, WAIT).await.unwrap().remove(0);
    let third = pull().await;
    assert_eq!(third.event.position, Position(3));
    assert_eq!(desk.counts().await.unwrap().checkpoint, Position(2));
    assert_eq!(say(&desk, of(&third, &desk, Verdict::Ack)).await, Settlement::Settled);
    let sixth = pull().await;
    assert_eq!((sixth.event.position, desk.counts().await.unwrap().checkpoint), (Position(6), Position(5)));
    // By another filter it looks again at what is not settled. What is with a consumer stays there.
    (0..3).for_each(|_| write_to(&log, "a"));
    desk.change(&filtered("event.version >= 8")).await.unwrap();
    assert_eq!(say(&desk, of(&sixth, &desk, Verdict::Ack)).await, Settlement::Settled);
    let eighth = pull().await;
    assert_eq!((eighth.event.position, eighth.attempt), (Position(8), 1));
    desk.change(&filtered("")).await.unwrap();
    assert_eq!(say(&desk, of(&eighth, &desk, Verdict::Ack)).await, Settlement::Settled);
    assert_eq!(pull().await.event.position, Position(9), "what comes before is settled, handed out or not");
}
