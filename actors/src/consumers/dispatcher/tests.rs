use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;
use weir_types::{ContentType, EntityType, EventId, EventName, EventSource, StreamVersion, limits};

use super::*;

const AT: Timestamp = Timestamp(1);

fn event(position: u64, entity: &str) -> Arc<RecordedEvent> {
    Arc::new(RecordedEvent {
        id: EventId(Uuid::from_u128(u128::from(position))),
        entity_id: EntityId::new(entity).unwrap(),
        entity_type: EntityType::new("order").unwrap(),
        name: EventName::new("order.placed").unwrap(),
        version: StreamVersion(position),
        position: Position(position),
        schema_version: 1,
        content_type: ContentType::Json,
        data: Bytes::from_static(b"{}"),
        metadata: Bytes::new(),
        recorded_at: AT,
        occurred_at: None,
        source: EventSource::Api,
        tags: Vec::new(),
    })
}

fn ms(ms: u64) -> Since {
    Duration::from_millis(ms)
}

fn terms() -> ConsumerTerms {
    ConsumerTerms { in_flight_max: 3, ack_deadline: ms(100), redeliveries_max: 1, redeliver_delay: ms(50) }
}

fn dispatcher(events: &[(u64, &str)]) -> Dispatcher {
    let mut dispatcher = Dispatcher::new(terms(), Ledger::default());
    for (position, entity) in events {
        dispatcher.offer(event(*position, entity));
    }
    dispatcher
}

/// What is handed out: positions with attempts.
fn given(dispatcher: &mut Dispatcher, now: u64) -> Vec<(u64, u32)> {
    let given = dispatcher.deliver(ms(now), 100);
    given.into_iter().map(|one| (one.event.position.0, one.attempt)).collect()
}

fn say(dispatcher: &mut Dispatcher, now: u64, position: u64, verdict: Verdict) -> Told {
    dispatcher.settle(Position(position), None, verdict, (ms(now), AT))
}

fn write(dispatcher: &mut Dispatcher) -> Option<Writing> {
    let writing = dispatcher.begin_write()?;
    dispatcher.wrote();
    Some(writing)
}

#[test]
fn of_each_entity_the_oldest_is_handed_out_and_the_next_when_it_is_written() {
    let mut dispatcher = dispatcher(&[(1, "a"), (2, "a"), (3, "b"), (4, "a")]);
    assert_eq!(given(&mut dispatcher, 0), [(1, 1), (3, 1)]);
    assert_eq!(say(&mut dispatcher, 1, 1, Verdict::Ack), Told::WithNext(Settlement::Settled));
    assert_eq!(given(&mut dispatcher, 1), [], "not before it is written");
    let writing = dispatcher.begin_write().unwrap();
    assert_eq!(writing.ledger.checkpoint, Position(1));
    assert_eq!(say(&mut dispatcher, 1, 1, Verdict::Ack), Told::WithThis(Settlement::Settled));
    assert_eq!(given(&mut dispatcher, 1), []);
    dispatcher.wrote();
    assert_eq!(given(&mut dispatcher, 1), [(2, 1)]);
    assert_eq!(say(&mut dispatcher, 1, 1, Verdict::Ack), Told::Now(Settlement::AlreadySettled));
    assert_eq!(say(&mut dispatcher, 1, 4, Verdict::Ack), Told::Now(Settlement::NotDelivered));
    assert_eq!(say(&mut dispatcher, 1, 9, Verdict::Ack), Told::Now(Settlement::NotDelivered));
}

#[test]
fn what_is_settled_after_what_is_not_is_in_the_ledger_until_the_checkpoint_passes() {
    let mut dispatcher = dispatcher(&[(2, "a"), (5, "b"), (7, "c")]);
    dispatcher.pass(Position(9));
    assert_eq!(given(&mut dispatcher, 0), [(2, 1), (5, 1), (7, 1)]);
    for position in [5, 7] {
        say(&mut dispatcher, 1, position, Verdict::Ack);
    }
    let ledger = write(&mut dispatcher).unwrap().ledger;
    assert_eq!((ledger.checkpoint, ledger.settled), (Position(1), [5, 7].map(Position).into()));
    say(&mut dispatcher, 1, 2, Verdict::Ack);
    let ledger = write(&mut dispatcher).unwrap().ledger;
    assert_eq!(ledger, Ledger { checkpoint: Position(9), ..Ledger::default() });
    assert_eq!(write(&mut dispatcher), None, "nothing is new");
}

#[test]
fn an_event_before_as_many_settled_as_a_ledger_holds_is_looked_for_when_it_is_opened_again() {
    let last = limits::CONSUMER_SETTLED_MAX as u64 + 1;
    let settled = (2..=last).map(Position).collect();
    let mut dispatcher = Dispatcher::new(terms(), Ledger { settled, ..Ledger::default() });
    assert!(dispatcher.has_room());
    dispatcher.offer(event(1, "a"));
    assert_eq!(given(&mut dispatcher, 0), [(1, 1)]);
    dispatcher.pass(Position(last));
    assert!(!dispatcher.has_room(), "what comes after waits for it");
    say(&mut dispatcher, 1, 1, Verdict::Ack);
    assert_eq!(write(&mut dispatcher).unwrap().ledger.checkpoint, Position(last));
    assert!(dispatcher.has_room());
}

#[test]
fn at_most_so_many_are_with_consumers() {
    let mut dispatcher = dispatcher(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")]);
    assert_eq!(given(&mut dispatcher, 0).len(), 3);
    say(&mut dispatcher, 1, 2, Verdict::Ack);
    assert_eq!(given(&mut dispatcher, 1), [(4, 1)]);
}

#[test]
fn a_group_that_is_paused_hands_out_nothing_and_takes_verdicts() {
    let mut dispatcher = dispatcher(&[(1, "a"), (2, "b"), (3, "b")]);
    assert_eq!(given(&mut dispatcher, 0), [(1, 1), (2, 1)]);
    dispatcher.change(terms(), ConsumerStatus::Paused);
    assert_eq!(say(&mut dispatcher, 1, 2, Verdict::Ack), Told::WithNext(Settlement::Settled));
    write(&mut dispatcher);
    dispatcher.tick(ms(100), AT);
    assert_eq!(given(&mut dispatcher, 100), [], "neither what is late nor what comes next");
    dispatcher.change(terms(), ConsumerStatus::Active);
    assert_eq!(given(&mut dispatcher, 100), [(1, 2), (3, 1)]);
}

#[test]
fn other_terms_are_for_what_is_handed_out_from_then_on() {
    let mut dispatcher = dispatcher(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")]);
    assert_eq!(given(&mut dispatcher, 0).len(), 3);
    let narrow = ConsumerTerms { in_flight_max: 1, ack_deadline: ms(500), redeliveries_max: 0, ..terms() };
    dispatcher.change(narrow, ConsumerStatus::Active);
    assert_eq!(dispatcher.next_due(), Some(ms(100)), "who has an event keeps it for as long as was said");
    say(&mut dispatcher, 1, 1, Verdict::Ack);
    assert_eq!(given(&mut dispatcher, 1), [], "more are out than there may be");
    say(&mut dispatcher, 1, 2, Verdict::Ack);
    let nak = say(&mut dispatcher, 1, 3, Verdict::Nak(None));
    assert_eq!(nak, Told::WithNext(Settlement::Dead), "it may not be handed out again");
    assert_eq!(given(&mut dispatcher, 2), [(4, 1)]);
    assert_eq!(dispatcher.next_due(), Some(ms(502)));
}

#[test]
fn a_nak_rests_and_is_handed_out_again_until_it_is_dead() {
    let mut dispatcher = dispatcher(&[(1, "a"), (2, "a")]);
    given(&mut dispatcher, 0);
    assert_eq!(say(&mut dispatcher, 10, 1, Verdict::Nak(None)), Told::Now(Settlement::Redelivers));
    assert_eq!(write(&mut dispatcher).unwrap().ledger.attempts, [(Position(1), 1)].into());
    assert_eq!(dispatcher.next_due(), Some(ms(60)));
    dispatcher.tick(ms(59), AT);
    assert_eq!(given(&mut dispatcher, 59), []);
    dispatcher.tick(ms(60), AT);
    assert_eq!(given(&mut dispatcher, 60), [(1, 2)]);
    let stale = dispatcher.settle(Position(1), Some(1), Verdict::Nak(None), (ms(61), AT));
    assert_eq!(stale, Told::Now(Settlement::Stale), "of the delivery before");
    let nak = say(&mut dispatcher, 61, 1, Verdict::Nak(Some(Duration::ZERO)));
    assert_eq!(nak, Told::WithNext(Settlement::Dead), "it was handed out again as often as it may");
    let Writing { dead, ledger, .. } = write(&mut dispatcher).unwrap();
    assert_eq!((dead[0].position, dead[0].attempts), (Position(1), 2));
    assert_eq!((dead[0].cause, ledger.checkpoint), (DeathCause::TooManyDeliveries, Position(1)));
    assert_eq!(given(&mut dispatcher, 61), [(2, 1)], "its entity goes on");
    assert_eq!(say(&mut dispatcher, 62, 2, Verdict::Term), Told::WithNext(Settlement::Dead));
    assert_eq!(write(&mut dispatcher).unwrap().dead[0].cause, DeathCause::Terminated);
}

#[test]
fn who_is_late_loses_the_event_and_may_still_settle_it() {
    let mut dispatcher = dispatcher(&[(1, "a")]);
    given(&mut dispatcher, 0);
    assert_eq!(dispatcher.next_due(), Some(ms(100)));
    dispatcher.tick(ms(100), AT);
    assert_eq!(given(&mut dispatcher, 100), [(1, 2)]);
    let late = dispatcher.settle(Position(1), Some(1), Verdict::Ack, (ms(101), AT));
    assert_eq!(late, Told::WithNext(Settlement::Settled));
    write(&mut dispatcher);
    dispatcher.tick(ms(500), AT);
    assert_eq!((given(&mut dispatcher, 500), dispatcher.next_due()), (vec![], None));
}

#[test]
fn what_nobody_heard_was_not_handed_out() {
    let mut dispatcher = dispatcher(&[(1, "a")]);
    let unheard = dispatcher.deliver(ms(0), 1);
    dispatcher.take_back(&unheard);
    assert_eq!(given(&mut dispatcher, 1), [(1, 1)]);
}

#[test]
fn what_nobody_looked_at_is_handed_out_again_and_does_not_count() {
    let mut dispatcher = dispatcher(&[(1, "a")]);
    for attempt in 1..=5 {
        assert_eq!(given(&mut dispatcher, 0), [(1, attempt)]);
        assert_eq!(say(&mut dispatcher, 0, 1, Verdict::Release), Told::Now(Settlement::Redelivers));
        let again = dispatcher.settle(Position(1), Some(attempt), Verdict::Release, (ms(0), AT));
        assert_eq!(again, Told::Now(Settlement::Stale), "nobody has it now");
    }
    assert_eq!(given(&mut dispatcher, 0), [(1, 6)]);
    let late = dispatcher.settle(Position(1), Some(5), Verdict::Release, (ms(0), AT));
    assert_eq!(late, Told::Now(Settlement::Stale), "of the delivery before");
    say(&mut dispatcher, 0, 1, Verdict::Nak(Some(Duration::ZERO)));
    assert_eq!(write(&mut dispatcher).unwrap().ledger.attempts, [(Position(1), 1)].into());
    assert_eq!(given(&mut dispatcher, 0), [(1, 7)]);
    say(&mut dispatcher, 0, 1, Verdict::Nak(None));
    assert_eq!(write(&mut dispatcher).unwrap().dead[0].attempts, 2);
}

#[test]
fn dead_letters_are_replayed_while_there_is_room_for_their_bytes() {
    let heavy = |position: u64| {
        let mut event = RecordedEvent::clone(&event(position, &position.to_string()));
        event.data = Bytes::from(vec![b'1'; limits::CONSUMER_WINDOW_BYTES_MAX / 2]);
        Arc::new(event)
    };
    let mut dispatcher = Dispatcher::new(terms(), Ledger { checkpoint: Position(9), ..Ledger::default() });
    assert!(dispatcher.replay(heavy(1)) && dispatcher.replay(heavy(2)));
    assert!(!dispatcher.replay(heavy(3)));
    given(&mut dispatcher, 0);
    say(&mut dispatcher, 0, 1, Verdict::Ack);
    write(&mut dispatcher);
    assert!(dispatcher.replay(heavy(3)));
}

#[test]
fn dead_letters_come_again_before_what_follows_them_over_leaders_too() {
    let mut first = dispatcher(&[(1, "a"), (2, "a")]);
    given(&mut first, 0);
    say(&mut first, 0, 1, Verdict::Term);
    write(&mut first);
    assert!(!first.replay(event(2, "a")), "it is not dead");
    assert!(first.replay(event(1, "a")) && !first.replay(event(1, "a")));
    let Writing { ledger, revived, .. } = write(&mut first).unwrap();
    assert_eq!((revived, &ledger.replayed), (vec![Position(1)], &[1].map(Position).into()));
    assert_eq!(given(&mut first, 0), [(1, 1)]);

    let mut second = Dispatcher::new(terms(), ledger);
    second.resume(event(1, "a"));
    second.offer(event(2, "a"));
    assert_eq!(given(&mut second, 0), [(1, 1)]);
    say(&mut second, 0, 1, Verdict::Ack);
    assert_eq!(write(&mut second).unwrap().ledger.replayed, [].into());
    assert_eq!(given(&mut second, 0), [(2, 1)]);
}

#[test]
fn there_is_a_bound_to_what_is_in_memory_and_in_the_ledger() {
    let mut dispatcher = Dispatcher::new(terms(), Ledger::default());
    for position in 1..=limits::CONSUMER_WINDOW_EVENTS_MAX as u64 {
        assert!(dispatcher.has_room());
        dispatcher.offer(event(position, "a"));
    }
    assert!(!dispatcher.has_room());
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Pull(u8),
    Ack(u8),
    Nak(u8),
    Term(u8),
    Write,
    BeginWrite,
    Wait(u16),
    Replay(u8),
    /// It is paused, or resumed.
    Turn,
    /// The leader is gone: what is written is what the next one has.
    LeaderChange,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u8).prop_map(Step::Append),
        4 => (1..4u8).prop_map(Step::Pull),
        6 => any::<u8>().prop_map(Step::Ack),
        2 => any::<u8>().prop_map(Step::Nak),
        1 => any::<u8>().prop_map(Step::Term),
        3 => Just(Step::Write),
        1 => Just(Step::BeginWrite),
        2 => (0..200u16).prop_map(Step::Wait),
        1 => any::<u8>().prop_map(Step::Replay),
        1 => Just(Step::Turn),
        1 => Just(Step::LeaderChange),
    ]
}

/// What is known from outside: the log, what is written, who has what, and what was answered for good.
#[derive(Default)]
struct World {
    log: Vec<Arc<RecordedEvent>>,
    ledger: Ledger,
    dead: BTreeMap<u64, DeadLetter>,
    /// Answered as settled, or dead, since it was last replayed.
    answered: BTreeSet<u64>,
    /// Recorded attempts as written.
    attempts: BTreeMap<Position, u32>,
    held: Vec<(u64, u32)>,
    /// Verdicts whose answers wait for the write in flight, and for the next.
    this: Vec<u64>,
    next: Vec<u64>,
    flight: Option<Writing>,
    status: ConsumerStatus,
    now: u64,
}

impl World {
    fn lead(&self) -> Dispatcher {
        let mut dispatcher = Dispatcher::new(terms(), self.ledger.clone());
        dispatcher.change(terms(), self.status);
        for position in &self.ledger.replayed {
            dispatcher.resume(self.log[usize::try_from(position.0).unwrap() - 1].clone());
        }
        for event in self.log.iter().filter(|event| event.position > self.ledger.checkpoint) {
            dispatcher.offer(event.clone());
        }
        dispatcher
    }

    fn settle(&mut self, dispatcher: &mut Dispatcher, pick: u8, verdict: Verdict) {
        if self.held.is_empty() {
            return;
        }
        let (position, attempt) = self.held.remove(usize::from(pick) % self.held.len());
        match dispatcher.settle(Position(position), Some(attempt), verdict, (ms(self.now), AT)) {
            Told::Now(Settlement::Settled | Settlement::Dead) => {
                panic!("{position} is told before it is written")
            }
            Told::Now(_) => {}
            Told::WithThis(_) => self.this.push(position),
            Told::WithNext(_) => self.next.push(position),
        }
    }

    fn begin_write(&mut self, dispatcher: &mut Dispatcher) {
        if self.flight.is_none() {
            self.flight = dispatcher.begin_write();
            if self.flight.is_some() {
                self.this.append(&mut self.next);
            }
        }
    }

    fn end_write(&mut self, dispatcher: &mut Dispatcher) {
        let Some(Writing { dead, ledger, revived }) = self.flight.take() else { return };
        assert!(ledger.checkpoint >= self.ledger.checkpoint, "a checkpoint never falls");
        self.dead.extend(dead.into_iter().map(|letter| (letter.position.0, letter)));
        for position in revived {
            self.dead.remove(&position.0);
        }
        self.ledger = ledger;
        self.attempts.clone_from(&self.ledger.attempts);
        dispatcher.wrote();
        self.answered.extend(self.this.drain(..));
    }

    fn pull(&mut self, dispatcher: &mut Dispatcher, most: u8) {
        for Delivery { event, attempt } in dispatcher.deliver(ms(self.now), usize::from(most)) {
            let position = event.position.0;
            assert_eq!(self.status, ConsumerStatus::Active, "{position} is handed out though it is paused");
            assert!(!self.answered.contains(&position), "{position} is handed out though it is settled");
            assert!(attempt > self.attempts.get(&event.position).copied().unwrap_or(0), "an attempt falls");
            let open = |older: &&Arc<RecordedEvent>| {
                older.entity_id == event.entity_id
                    && older.position < event.position
                    && !self.is_settled(older.position)
            };
            assert_eq!(self.log.iter().find(open), None, "{position} comes before an older one");
            self.held.push((position, attempt));
        }
        assert!(dispatcher.counts().in_flight <= terms().in_flight_max as usize);
    }

    fn turn(&mut self, dispatcher: &mut Dispatcher, status: ConsumerStatus) {
        self.status = status;
        dispatcher.change(terms(), status);
    }

    /// Whether an event is settled or dead, as written.
    fn is_settled(&self, position: Position) -> bool {
        let ledger = &self.ledger;
        let done = position <= ledger.checkpoint || ledger.settled.contains(&position);
        done && !ledger.replayed.contains(&position)
    }

    fn replay(&mut self, dispatcher: &mut Dispatcher, pick: u8) {
        let Some(position) = self.dead.keys().nth(usize::from(pick) % self.dead.len().max(1)).copied() else {
            return;
        };
        let event = self.log[usize::try_from(position).unwrap() - 1].clone();
        if dispatcher.replay(event) {
            self.answered.remove(&position);
        }
    }
}

fn take(world: &mut World, dispatcher: &mut Dispatcher, step: Step) {
    match step {
        Step::Append(entity) => {
            let event = event(world.log.len() as u64 + 1, &format!("e{entity}"));
            world.log.push(event.clone());
            dispatcher.offer(event);
        }
        Step::Pull(most) => world.pull(dispatcher, most),
        Step::Ack(pick) => world.settle(dispatcher, pick, Verdict::Ack),
        Step::Nak(pick) => world.settle(dispatcher, pick, Verdict::Nak(None)),
        Step::Term(pick) => world.settle(dispatcher, pick, Verdict::Term),
        Step::BeginWrite => world.begin_write(dispatcher),
        Step::Write => {
            world.begin_write(dispatcher);
            world.end_write(dispatcher);
        }
        Step::Wait(wait) => {
            world.now += u64::from(wait);
            dispatcher.tick(ms(world.now), AT);
        }
        Step::Replay(pick) => world.replay(dispatcher, pick),
        Step::Turn => match world.status {
            ConsumerStatus::Active => world.turn(dispatcher, ConsumerStatus::Paused),
            ConsumerStatus::Paused => world.turn(dispatcher, ConsumerStatus::Active),
        },
        Step::LeaderChange => {
            // What was being written is written, or not; here not. Nothing of it was answered.
            world.flight = None;
            world.this.clear();
            world.next.clear();
            world.now = 0;
            *dispatcher = world.lead();
        }
    }
}

proptest! {
    #[test]
    fn no_event_is_lost_or_out_of_order_and_none_that_is_settled_comes_again(
        steps in proptest::collection::vec(step(), 1..200)
    ) {
        let mut world = World::default();
        let mut dispatcher = world.lead();
        for step in steps {
            take(&mut world, &mut dispatcher, step);
        }
        // Whoever goes on comes to the end: every event is settled or dead.
        world.turn(&mut dispatcher, ConsumerStatus::Active);
        for _ in 0..world.log.len() * 6 + 6 {
            world.now += 1_000;
            dispatcher.tick(ms(world.now), AT);
            world.pull(&mut dispatcher, 3);
            while !world.held.is_empty() {
                world.settle(&mut dispatcher, 0, Verdict::Ack);
            }
            world.begin_write(&mut dispatcher);
            world.end_write(&mut dispatcher);
        }
        prop_assert!(world.log.iter().all(|event| world.is_settled(event.position)));
        prop_assert_eq!(world.ledger.checkpoint.0, world.log.len() as u64);
        prop_assert!(world.ledger.attempts.is_empty() && world.ledger.settled.is_empty());
    }
}

#[test]
fn by_another_filter_the_log_is_looked_through_again_from_the_checkpoint() {
    let mut dispatcher = dispatcher(&[(1, "a"), (2, "b"), (3, "a"), (4, "b"), (5, "c"), (6, "c")]);
    assert_eq!(given(&mut dispatcher, 0), [(1, 1), (2, 1), (5, 1)]);
    say(&mut dispatcher, 1, 5, Verdict::Ack);
    say(&mut dispatcher, 1, 1, Verdict::Ack);
    write(&mut dispatcher);
    assert_eq!(dispatcher.counts().checkpoint, Position(1));
    dispatcher.look_again();
    assert_eq!((dispatcher.looked(), dispatcher.counts().in_flight), (Position(1), 1));
    assert_eq!(dispatcher.counts().checkpoint, Position(1), "what is not looked through is not settled");
    // Those that wait match no more; what is settled or with a consumer is offered, and taken no second time.
    for (position, entity) in [(2, "b"), (5, "c"), (7, "a")] {
        dispatcher.offer(event(position, entity));
    }
    assert_eq!(given(&mut dispatcher, 2), [(7, 1)]);
    say(&mut dispatcher, 3, 2, Verdict::Ack);
    say(&mut dispatcher, 3, 7, Verdict::Ack);
    write(&mut dispatcher);
    assert_eq!(dispatcher.counts().checkpoint, Position(7));
}
