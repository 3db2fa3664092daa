//! All decisions of a consumer group, without clock and without I/O.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use weir_types::{
    ConsumerStatus, ConsumerTerms, DeadLetter, DeathCause, EntityId, Planted, Position, RecordedEvent,
    Settlement, Timestamp, Verdict,
    limits::{
        CONSUMER_REPLAYS_MAX, CONSUMER_SETTLED_MAX, CONSUMER_WINDOW_BYTES_MAX, CONSUMER_WINDOW_EVENTS_MAX,
    },
    planted,
};

use super::ledger::Ledger;

/// Positions that a checkpoint moves over before that alone is written.
const IDLE_POSITIONS: u64 = 10_000;

/// A point in time, counted from when the dispatcher began.
pub type Since = Duration;

/// An event that is handed out.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The event.
    pub event: Arc<RecordedEvent>,
    /// The first time is 1.
    pub attempt: u32,
}

/// What is to be written, all of it before the next is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writing {
    /// First: these are dead.
    pub dead: Vec<DeadLetter>,
    /// Then this, in place of the one before.
    pub ledger: Ledger,
    /// Last: these are dead letters no more.
    pub revived: Vec<Position>,
}

/// What comes of a verdict, and when it may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// At once.
    Now(Settlement),
    /// When what is being written is written.
    WithThis(Settlement),
    /// When what is written next is written.
    WithNext(Settlement),
}

/// A consumer group as its leader knows it.
///
/// Of each entity only the oldest event that is not settled is handed out. An
/// event counts as settled when that is written, and not before: a new leader
/// then knows it too, so that nothing that follows it comes before it.
#[derive(Debug)]
pub struct Dispatcher {
    terms: ConsumerTerms,
    status: ConsumerStatus,
    /// Every event of the pattern up to here was offered.
    looked: Position,
    /// Of what lies after the checkpoint: what is settled, as written.
    settled: BTreeSet<Position>,
    attempts: BTreeMap<Position, u32>,
    items: BTreeMap<Position, Item>,
    bytes: usize,
    entities: HashMap<EntityId, BTreeSet<Position>>,
    /// Events that may be handed out.
    ready: BTreeSet<Position>,
    /// Events that rest, by when they have rested.
    resting: BTreeSet<(Since, Position)>,
    /// Events that are with consumers, by when their time is over.
    in_flight: BTreeSet<(Since, Position)>,
    replayed: BTreeSet<Position>,
    revived: Vec<Position>,
    /// Whether there is anything to write but what is decided.
    dirty: bool,
    decided: Vec<(Position, Option<DeadLetter>)>,
    writing: Option<BTreeSet<Position>>,
    written: Position,
}

#[derive(Debug)]
struct Item {
    event: Arc<RecordedEvent>,
    attempts: u32,
    /// Of them, those that nobody looked at.
    unseen: u32,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// An older event of its entity is not settled, or it is ready.
    Waiting,
    Resting(Since),
    InFlight(Since),
    /// Decided; of no more use when it is written.
    Decided {
        dead: bool,
    },
}

impl Dispatcher {
    /// A dispatcher that goes on from a ledger. What the ledger names as replayed is to be offered again.
    #[must_use]
    pub fn new(terms: ConsumerTerms, ledger: Ledger) -> Self {
        Self {
            terms,
            status: ConsumerStatus::Active,
            looked: ledger.checkpoint,
            written: ledger.checkpoint,
            settled: ledger.settled,
            attempts: ledger.attempts,
            replayed: ledger.replayed,
            items: BTreeMap::new(),
            bytes: 0,
            entities: HashMap::new(),
            ready: BTreeSet::new(),
            resting: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            revived: Vec::new(),
            dirty: false,
            decided: Vec::new(),
            writing: None,
        }
    }

    /// Goes on by other terms. Who has an event keeps it for as long as was said.
    pub fn change(&mut self, terms: ConsumerTerms, status: ConsumerStatus) {
        (self.terms, self.status) = (terms, status);
    }

    /// Up to where the log was looked through.
    #[must_use]
    pub fn looked(&self) -> Position {
        self.looked
    }

    /// Whether there is room for more events.
    #[must_use]
    pub fn has_room(&self) -> bool {
        // What was settled before it was opened is looked through again, however much it is: an event that is
        // not lies among it.
        let looks_again = self.settled.last().is_some_and(|last| self.looked < *last);
        self.items.len() < CONSUMER_WINDOW_EVENTS_MAX
            && self.bytes < CONSUMER_WINDOW_BYTES_MAX
            && (self.settled.len() < CONSUMER_SETTLED_MAX || looks_again)
    }

    /// Takes the next event of the pattern in order of position.
    pub fn offer(&mut self, event: Arc<RecordedEvent>) {
        let position = event.position;
        if position > self.looked {
            self.looked = position;
            if !(self.settled.contains(&position) || self.items.contains_key(&position)) {
                self.take(event);
            }
        }
    }

    /// There is no event of the pattern up to here that was not offered.
    pub fn pass(&mut self, position: Position) {
        self.looked = self.looked.max(position);
    }

    /// Goes back to the checkpoint: what comes after it is to be offered again, by another filter. What was handed out
    /// stays; what was not counts when it is offered.
    pub fn look_again(&mut self) {
        self.looked = self.checkpoint();
        let untouched = |(at, item): (&Position, &Item)| {
            let is_new = item.stage == Stage::Waiting && item.attempts == 0;
            (is_new && !self.replayed.contains(at)).then_some(*at)
        };
        let untouched: Vec<Position> = self.items.iter().filter_map(untouched).collect();
        for position in untouched {
            self.remove(position);
        }
    }

    /// Takes a dead letter's event again: it is handed out as if it were new. Whether it was taken: what is
    /// not settled yet, or too much at once, is not.
    pub fn replay(&mut self, event: Arc<RecordedEvent>) -> bool {
        let position = event.position;
        let settled = position <= self.looked || self.settled.contains(&position);
        let room = self.replayed.len() < CONSUMER_REPLAYS_MAX && self.bytes < CONSUMER_WINDOW_BYTES_MAX;
        let taken = settled && room && !self.items.contains_key(&position);
        if taken {
            self.replayed.insert(position);
            self.revived.push(position);
            self.dirty = true;
            self.take(event);
        }
        taken
    }

    /// Takes an event that the ledger names as replayed.
    pub fn resume(&mut self, event: Arc<RecordedEvent>) {
        if self.replayed.contains(&event.position) && !self.items.contains_key(&event.position) {
            self.take(event);
        }
    }

    fn take(&mut self, event: Arc<RecordedEvent>) {
        let position = event.position;
        self.bytes += weight(&event);
        let of_entity = self.entities.entry(event.entity_id.clone()).or_default();
        let after = of_entity.first().copied();
        of_entity.insert(position);
        let attempts = self.attempts.get(&position).copied().unwrap_or(0);
        self.items.insert(position, Item { event, attempts, unseen: 0, stage: Stage::Waiting });
        match after {
            // An older one that comes back holds up what was to come next.
            Some(next) if position < next => {
                self.ready.remove(&next);
                self.ready.insert(position);
            }
            Some(_) if planted(Planted::ConsumersOutOfOrder) => drop(self.ready.insert(position)),
            Some(_) => {}
            None => drop(self.ready.insert(position)),
        }
    }

    /// Hands out at most so many events, and none while the group is paused.
    pub fn deliver(&mut self, now: Since, most: usize) -> Vec<Delivery> {
        if self.status == ConsumerStatus::Paused {
            return Vec::new();
        }
        let free = (self.terms.in_flight_max as usize).saturating_sub(self.in_flight.len());
        let due = now + self.terms.ack_deadline;
        let mut given = Vec::new();
        while given.len() < most.min(free)
            && let Some(position) = self.ready.pop_first()
        {
            let item = self.items.get_mut(&position).expect("what is ready is there");
            item.attempts += 1;
            item.stage = Stage::InFlight(due);
            self.in_flight.insert((due, position));
            given.push(Delivery { event: item.event.clone(), attempt: item.attempts });
        }
        given
    }

    /// Takes back what a consumer was never given, as if it had not been handed out.
    pub fn take_back(&mut self, deliveries: &[Delivery]) {
        for Delivery { event, attempt } in deliveries {
            if let Some(item) = self.items.get_mut(&event.position)
                && let Stage::InFlight(due) = item.stage
                && item.attempts == *attempt
            {
                item.attempts -= 1;
                self.in_flight.remove(&(due, event.position));
                self.wait(event.position);
            }
        }
    }

    /// When something happens by itself next.
    #[must_use]
    pub fn next_due(&self) -> Option<Since> {
        let first = |of: &BTreeSet<(Since, Position)>| of.first().map(|(due, _)| *due);
        first(&self.resting).into_iter().chain(first(&self.in_flight)).min()
    }

    /// Lets happen what is due: what has rested is ready, and what was with a consumer for too long is
    /// handed out again or dead.
    pub fn tick(&mut self, now: Since, at: Timestamp) {
        while let Some((due, position)) = self.resting.first().copied()
            && due <= now
        {
            self.resting.pop_first();
            self.wait(position);
        }
        while let Some((due, position)) = self.in_flight.first().copied()
            && due <= now
        {
            self.in_flight.pop_first();
            self.give_up(position, now, Duration::ZERO, at);
        }
    }

    /// Takes a verdict about a delivery; without an attempt, about the newest.
    pub fn settle(
        &mut self,
        position: Position,
        attempt: Option<u32>,
        verdict: Verdict,
        (now, at): (Since, Timestamp),
    ) -> Told {
        let Some(item) = self.items.get(&position) else {
            let settled = position <= self.looked || self.settled.contains(&position);
            return Told::Now(if settled { Settlement::AlreadySettled } else { Settlement::NotDelivered });
        };
        if let Stage::Decided { dead } = item.stage {
            let settlement = if dead { Settlement::Dead } else { Settlement::Settled };
            return if self.is_writing(position) {
                Told::WithThis(settlement)
            } else {
                Told::WithNext(settlement)
            };
        }
        // Whoever had it from an earlier leader may still say so; nobody had what waits behind another.
        if item.stage == Stage::Waiting && !self.is_next(position) {
            return Told::Now(Settlement::NotDelivered);
        }
        let (stage, attempts) = (item.stage, item.attempts);
        if verdict == Verdict::Ack {
            self.decide(position, None);
            if planted(Planted::AckToldEarly) {
                return Told::Now(Settlement::Settled);
            }
            return Told::WithNext(Settlement::Settled);
        }
        let Stage::InFlight(due) = stage else { return Told::Now(Settlement::Stale) };
        if attempt.is_some_and(|attempt| attempt != attempts) {
            return Told::Now(Settlement::Stale);
        }
        self.in_flight.remove(&(due, position));
        match verdict {
            Verdict::Release => {
                self.items.get_mut(&position).expect("it was just seen").unseen += 1;
                self.wait(position);
                Told::Now(Settlement::Redelivers)
            }
            Verdict::Nak(delay) => {
                match self.give_up(position, now, delay.unwrap_or(self.terms.redeliver_delay), at) {
                    true => Told::WithNext(Settlement::Dead),
                    false => Told::Now(Settlement::Redelivers),
                }
            }
            Verdict::Ack | Verdict::Term => {
                self.kill(position, DeathCause::Terminated, at);
                Told::WithNext(Settlement::Dead)
            }
        }
    }

    fn is_next(&self, position: Position) -> bool {
        let entity = self.items.get(&position).map(|item| &item.event.entity_id);
        let next = entity.and_then(|entity| self.entities.get(entity)).and_then(BTreeSet::first);
        next == Some(&position)
    }

    /// Hands out again, or kills. Whether it is dead.
    fn give_up(&mut self, position: Position, now: Since, delay: Duration, at: Timestamp) -> bool {
        let item = self.items.get_mut(&position).expect("what is with a consumer is there");
        let seen = item.attempts - item.unseen;
        if seen > self.terms.redeliveries_max {
            self.kill(position, DeathCause::TooManyDeliveries, at);
            return true;
        }
        self.attempts.insert(position, seen);
        self.dirty = true;
        if delay.is_zero() {
            self.wait(position);
        } else {
            let until = now.saturating_add(delay);
            item.stage = Stage::Resting(until);
            self.resting.insert((until, position));
        }
        false
    }

    fn wait(&mut self, position: Position) {
        if let Some(item) = self.items.get_mut(&position) {
            item.stage = Stage::Waiting;
        }
        if self.is_next(position) {
            self.ready.insert(position);
        }
    }

    fn kill(&mut self, position: Position, cause: DeathCause, at: Timestamp) {
        let Item { event, attempts, unseen, .. } = &self.items[&position];
        let letter = DeadLetter {
            position,
            event_id: event.id,
            entity_id: event.entity_id.clone(),
            name: event.name.clone(),
            attempts: attempts - unseen,
            cause,
            at,
        };
        self.decide(position, Some(letter));
    }

    fn decide(&mut self, position: Position, dead: Option<DeadLetter>) {
        let item = self.items.get_mut(&position).expect("what is decided is there");
        let before = std::mem::replace(&mut item.stage, Stage::Decided { dead: dead.is_some() });
        match before {
            Stage::InFlight(due) => drop(self.in_flight.remove(&(due, position))),
            Stage::Resting(until) => drop(self.resting.remove(&(until, position))),
            Stage::Waiting | Stage::Decided { .. } => {}
        }
        self.ready.remove(&position);
        self.decided.push((position, dead));
    }

    /// What is to be written now, if anything and if nothing is being written.
    pub fn begin_write(&mut self) -> Option<Writing> {
        let checkpoint = self.checkpoint();
        let idle = checkpoint.0.saturating_sub(self.written.0) >= IDLE_POSITIONS;
        if self.writing.is_some() || !(self.dirty || idle || !self.decided.is_empty()) {
            return None;
        }
        let (mut dead, mut writing) = (Vec::new(), BTreeSet::new());
        for (position, letter) in std::mem::take(&mut self.decided) {
            writing.insert(position);
            dead.extend(letter);
            self.attempts.remove(&position);
        }
        self.dirty = false;
        self.writing = Some(writing);
        let ledger = self.ledger();
        self.written = ledger.checkpoint;
        let mut revived = std::mem::take(&mut self.revived);
        revived.retain(|position| !dead.iter().any(|letter| letter.position == *position));
        Some(Writing { dead, ledger, revived })
    }

    /// The ledger as it is when what is being written is written.
    fn ledger(&self) -> Ledger {
        let checkpoint = self.checkpoint();
        let writing = self.writing.iter().flatten();
        let later = self.settled.iter().chain(writing).copied();
        Ledger {
            checkpoint,
            settled: later.filter(|position| *position > checkpoint).collect(),
            attempts: self.attempts.clone(),
            replayed: self.replayed.iter().filter(|at| !self.is_writing(**at)).copied().collect(),
        }
    }

    fn is_writing(&self, position: Position) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.contains(&position))
    }

    /// Up to where all is settled, or is when what is being written is.
    fn checkpoint(&self) -> Position {
        let settles = |item: &&Item| {
            !(self.is_writing(item.event.position) || self.replayed.contains(&item.event.position))
        };
        let first = self.items.values().find(settles);
        // What was handed out may lie beyond what is looked through again.
        first.map_or(self.looked, |item| self.looked.min(Position(item.event.position.0 - 1)))
    }

    /// What was to be written is written: what is settled by it is gone, and what waited behind it is ready.
    pub fn wrote(&mut self) {
        for position in self.writing.take().unwrap_or_default() {
            if self.remove(position) && !self.replayed.remove(&position) {
                self.settled.insert(position);
            }
        }
        let checkpoint = self.checkpoint();
        self.settled = self.settled.split_off(&checkpoint.next());
    }

    /// Takes an event out, if it is there: what waited behind it is ready.
    fn remove(&mut self, position: Position) -> bool {
        let Some(item) = self.items.remove(&position) else { return false };
        self.bytes -= weight(&item.event);
        self.ready.remove(&position);
        let entity = &item.event.entity_id;
        if let Some(of_entity) = self.entities.get_mut(entity) {
            of_entity.remove(&position);
            match of_entity.first().copied() {
                Some(next) if self.items[&next].stage == Stage::Waiting => drop(self.ready.insert(next)),
                Some(_) => {}
                None => drop(self.entities.remove(entity)),
            }
        }
        true
    }

    /// What is to be told of the group.
    #[must_use]
    pub fn counts(&self) -> DispatcherCounts {
        DispatcherCounts {
            checkpoint: self.checkpoint(),
            looked: self.looked,
            in_flight: self.in_flight.len(),
            resting: self.resting.len(),
            waiting: self.items.len() - self.in_flight.len() - self.resting.len(),
        }
    }
}

/// How far a consumer group is, as its leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispatcherCounts {
    /// Every event of the pattern up to here is settled or dead.
    pub checkpoint: Position,
    /// Up to where the log was looked through.
    pub looked: Position,
    /// Events that are with consumers.
    pub in_flight: usize,
    /// Events that rest before they are handed out again.
    pub resting: usize,
    /// Events that wait to be handed out, as far as the log was looked through.
    pub waiting: usize,
}

fn weight(event: &RecordedEvent) -> usize {
    event.data.len() + event.metadata.len()
}

#[cfg(test)]
mod tests;
