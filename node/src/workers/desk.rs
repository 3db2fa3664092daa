//! One projection on the leader: its window, its lease, and what is in flight.
//!
//! Invariants:
//! - What a desk writes names the registration and the ledger as it knows them. Two desks of one projection, of
//!   whichever terms, never both write.
//! - A save also names the lease: it is made while that lease goes on, or not at all.
//! - State and checkpoint are one change.

mod upkeep;

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;
use weir_actors::{
    upcast::Upcasting,
    workers::{Batch, Blocked, Sorted, Window},
};
use weir_api::{ApiError, ErrorCode, JsonText, connect::SaveProjectionRequest};
use weir_types::{
    Direction, EventPattern, GroupId, KvGuard, KvKey, KvWrite, LogFilter, LogRead, PartitionKey, Planted,
    Position, ProjectionName, RecordedEvent, Revision, Term, Timestamp, limits, planted, ports::Ports,
};

use super::{
    keys,
    store::{Done, Found, Store, internal, put},
    stored::{Ledger, Letter, Mode, Partition, Registration},
};

/// Events of one page of the log.
const PAGE_EVENTS: usize = 1_000;
/// Events that are enough to hand out.
const ENOUGH_EVENTS: usize = limits::WORKER_BATCH_MAX;

/// Why a desk cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// What it knows is not so any more: it is opened anew.
    Outdated,
    /// It cannot say now.
    Failed(ApiError),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

/// A lease that goes on, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    /// Empty for a worker without a name.
    worker: String,
    until: Timestamp,
}

/// Events that are with a worker.
#[derive(Debug)]
struct InFlight {
    number: Revision,
    batch: Batch,
}

/// What is to be handed out.
#[derive(Debug)]
pub(super) struct HandedOut {
    pub(super) batch: Batch,
    pub(super) state: Option<JsonText>,
    pub(super) number: Revision,
    pub(super) delivery: u32,
    pub(super) checkpoint: Position,
    pub(super) lease_ms: u64,
}

/// What came of a try to hand out.
#[derive(Debug)]
pub(super) enum Tried {
    /// Events.
    Given(HandedOut),
    /// There is nothing to do now.
    Nothing {
        /// When a checkpoint that only looking has moved is to be written.
        due: Option<Instant>,
    },
    /// Another worker has the projection, until then.
    Busy(Timestamp),
}

/// What is changed of a ledger and a partition in one step.
struct Step<'a> {
    ledger: Ledger,
    partition: Option<(&'a PartitionKey, Partition)>,
    letter: Option<Letter>,
    /// Renewed with it, and checked before it.
    lease: Option<(Revision, &'a str)>,
}

/// The projection, as long as this node leads.
pub(super) struct Desk {
    upcasting: Arc<Upcasting>,
    pub(super) name: ProjectionName,
    pub(super) term: Term,
    pub(super) registration: Registration,
    revision: Revision,
    fence: Revision,
    lease: Option<Lease>,
    ledger: Ledger,
    ledger_revision: Revision,
    window: Window,
    in_flight: Option<InFlight>,
    /// How often the first event that waits of a partition was handed out.
    deliveries: HashMap<PartitionKey, (Position, u32)>,
    /// Why an event was not taken where the cluster itself sent it, the last time.
    refused: Option<(Position, String)>,
    /// The last save, which may be said again by who has the number.
    saved: Option<(Revision, String)>,
    idle_checkpoint_at: Instant,
}

impl Desk {
    /// Opens the desk of a projection. What is read must be fresh.
    pub(super) async fn open(
        store: &Store,
        upcasting: &Arc<Upcasting>,
        name: &ProjectionName,
        term: Term,
    ) -> Result<Option<Self>, ApiError> {
        let Some(Found { revision, value: registration, .. }) =
            store.read::<Registration>(&keys::registration(name)).await?
        else {
            return Ok(None);
        };
        let fence =
            store.read_bytes(&keys::fence(name)).await?.map_or(Revision::ZERO, |found| found.revision);
        let lease = store.read_bytes(&keys::lease(name)).await?;
        let lease = lease.map(|found| Lease {
            worker: String::from_utf8_lossy(&found.value).into_owned(),
            until: found.expires_at.unwrap_or(Timestamp(0)),
        });
        let ledger = store.read::<Ledger>(&keys::ledger(registration.worked_on())).await?;
        let (ledger_revision, ledger) =
            ledger.map_or_else(Default::default, |found| (found.revision, found.value));
        let patterns = registration.events.iter().map(|text| EventPattern::new(text));
        let patterns = patterns.collect::<Result<Vec<_>, _>>().map_err(|error| internal(&error))?;
        let window = Window::new(patterns, registration.partition_key.as_deref(), Position(ledger.position))
            .map_err(|error| internal(&error))?;
        Ok(Some(Self {
            upcasting: upcasting.clone(),
            name: name.clone(),
            term,
            registration,
            revision,
            fence,
            lease,
            ledger,
            ledger_revision,
            window,
            in_flight: None,
            deliveries: HashMap::new(),
            refused: None,
            saved: None,
            idle_checkpoint_at: Instant::now(),
        }))
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    /// The lease that goes on at `now`.
    fn lease_at(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.until > now)
    }

    /// As [`Desk::hand_out`], and how far the desk has looked, and its checkpoint.
    pub(super) async fn try_hand_out(
        &mut self,
        store: &Store,
        ports: &Ports,
        (worker, itself): (&str, bool),
        most: usize,
    ) -> Result<(Tried, Position, Position), Stop> {
        if self.registration.sink.is_some() && !itself {
            let message = "events of this projection are sent by the cluster, and not handed out";
            return Err(ApiError::invalid(message).into());
        }
        let tried = self.hand_out(store, ports, worker, most).await?;
        Ok((tried, self.window.looked(), self.window.checkpoint()))
    }

    /// Takes what a worker says of the events that it was given.
    pub(super) async fn take_save(
        &mut self,
        store: &Store,
        asked: &SaveProjectionRequest,
    ) -> Result<(), Stop> {
        match (self.registration.mode, &asked.state) {
            (Mode::Managed, None) => return Err(ApiError::invalid("state is missing").into()),
            (Mode::External, Some(_)) => {
                return Err(ApiError::invalid("an external projection has no state").into());
            }
            _ => {}
        }
        let lease = (asked.worker_id.as_str(), asked.lease_number);
        let names_another = |partition: &_| asked.names_another(partition);
        self.save(store, lease, &asked.last_event_id, asked.state.clone(), names_another).await
    }

    /// Why an event that the cluster itself sent was not taken.
    pub(super) fn note_refusal(&mut self, position: Position, reason: String) {
        self.refused = Some((position, reason));
    }

    /// Gives a lease up, where it is still this one.
    pub(super) async fn release(&mut self, store: &Store, worker: &str, number: u64) -> Result<(), Stop> {
        match self.fence.0 == number && self.is_with(store, worker) {
            true => self.end_lease(store).await,
            false => Ok(()),
        }
    }

    /// Lets the lease of a worker go on, if it has it.
    pub(super) async fn beat(&mut self, store: &Store, worker: &str) -> Result<bool, Stop> {
        let has_it = self.is_with(store, worker);
        if has_it {
            self.renew_lease(store, worker).await?;
        }
        Ok(has_it)
    }

    fn is_with(&self, store: &Store, worker: &str) -> bool {
        self.lease_at(store.buckets.now()).is_some_and(|lease| lease.worker == worker)
    }

    /// Events for a worker, if there are any for it now.
    async fn hand_out(
        &mut self,
        store: &Store,
        ports: &Ports,
        worker: &str,
        most: usize,
    ) -> Result<Tried, Stop> {
        loop {
            if self.registration.paused || self.ledger.parked.is_some() {
                return Ok(Tried::Nothing { due: None });
            }
            if let Some(lease) = self.lease_at(store.buckets.now())
                && lease.worker != worker
            {
                return Ok(Tried::Busy(lease.until));
            }
            self.look(store, ports).await?;
            let Some(batch) = self.window.batch(1) else {
                let due = match self.window.blocked().cloned() {
                    Some(blocked) => {
                        self.park_at(store, &blocked).await?;
                        None
                    }
                    None => self.note_idle(store, ports).await?,
                };
                return Ok(Tried::Nothing { due });
            };
            let first = &batch.events[0];
            let before = self.deliveries.get(&batch.partition).filter(|(at, _)| *at == first.position);
            let delivery = before.map_or(0, |(_, count)| *count) + 1;
            if delivery > self.registration.deliveries_max {
                self.give_up(store, &batch, delivery - 1).await?;
                continue;
            }
            // What was not saved comes alone, so that it is known which event it is.
            let batch = if delivery == 1 { self.window.batch(most).unwrap_or(batch) } else { batch };
            return self.give(store, worker, (batch, delivery)).await.map(Tried::Given);
        }
    }

    async fn give(
        &mut self,
        store: &Store,
        worker: &str,
        (batch, delivery): (Batch, u32),
    ) -> Result<HandedOut, Stop> {
        self.take_lease(store, worker).await?;
        let stored = self.partition(store, &batch.partition).await?;
        self.deliveries.insert(batch.partition.clone(), (batch.events[0].position, delivery));
        self.in_flight = Some(InFlight { number: self.fence, batch: batch.clone() });
        Ok(HandedOut {
            state: stored.and_then(|stored| stored.state),
            number: self.fence,
            delivery,
            checkpoint: self.window.checkpoint(),
            lease_ms: self.registration.lease_ms,
            batch,
        })
    }

    async fn partition(
        &self,
        store: &Store,
        partition: &PartitionKey,
    ) -> Result<Option<Partition>, ApiError> {
        let key = keys::state(self.registration.worked_on(), partition);
        Ok(store.read::<Partition>(&key).await?.map(|found| found.value))
    }

    /// Looks at more of the log, until there is enough to hand out.
    async fn look(&mut self, store: &Store, ports: &Ports) -> Result<(), Stop> {
        while self.window.has_room() && self.window.looked() < ports.reader.applied(GroupId::DEFAULT) {
            if self.window.batch(ENOUGH_EVENTS).is_some_and(|batch| batch.events.len() == ENOUGH_EVENTS) {
                break;
            }
            let read = LogRead {
                group: GroupId::DEFAULT,
                from: Some(self.window.looked().next()),
                direction: Direction::Forward,
                limit: PAGE_EVENTS,
                filter: LogFilter { names: self.window.only_pattern().cloned(), ..LogFilter::default() },
            };
            let slice = ports.reader.search_log(read).await.map_err(ApiError::from)?;
            let mut looked = Position(slice.next.0.saturating_sub(1));
            let sorted = self.sort(slice.events, &mut looked).await?;
            let sorted = self.without_saved(store, sorted).await?;
            let before = self.window.looked();
            self.window.add(sorted, looked);
            if self.window.looked() == before {
                break;
            }
        }
        Ok(())
    }

    /// The projection's events of a page, of the newest schema versions. Where it is cut, so is what was looked at.
    async fn sort(&self, events: Vec<RecordedEvent>, looked: &mut Position) -> Result<Sorted, ApiError> {
        let upcasts = self.upcasting.newest().await?;
        let original = if upcasts.is_empty() { Vec::new() } else { events.clone() };
        let upcast = upcasts.upcast_where(events, |event| self.window.folds(event)).await;
        let next = original.get(upcast.events.len());
        let mut sorted = self.window.sort(upcast.events);
        if let (Some(next), None) = (next, &sorted.blocked) {
            *looked = Position(next.position.0 - 1);
            sorted.blocked = upcast.fault.map(|fault| {
                let (event, reason) = (Arc::new(next.clone()), fault.error.to_string());
                Blocked { event, reason }
            });
        }
        Ok(sorted)
    }

    /// Of a partition more may be saved than of all.
    async fn without_saved(&self, store: &Store, mut sorted: Sorted) -> Result<Sorted, ApiError> {
        let mut saved: HashMap<PartitionKey, u64> = HashMap::new();
        for (partition, event) in &sorted.events {
            if event.position.0 > self.ledger.ahead || saved.contains_key(partition) {
                continue;
            }
            let stored = self.partition(store, partition).await?;
            saved.insert(partition.clone(), stored.map_or(0, |stored| stored.position));
        }
        sorted
            .events
            .retain(|(partition, event)| saved.get(partition).is_none_or(|saved| event.position.0 > *saved));
        Ok(sorted)
    }

    /// Has the lease for a worker, for at least half of its time from now on.
    async fn take_lease(&mut self, store: &Store, worker: &str) -> Result<(), Stop> {
        let now = store.buckets.now();
        match self.lease_at(now).map(|lease| lease.until.0 - now.0) {
            None => self.begin_lease(store, worker).await,
            Some(left) if left < self.lease_micros() / 2 => self.renew_lease(store, worker).await,
            Some(_) => Ok(()),
        }
    }

    async fn begin_lease(&mut self, store: &Store, worker: &str) -> Result<(), Stop> {
        let (fence, lease) = (keys::fence(&self.name), keys::lease(&self.name));
        let checks =
            vec![self.own(), (lease, KvGuard::Absent), (fence.clone(), KvGuard::Revision(self.fence))];
        let writes = vec![KvWrite::put(fence, worker.to_owned()), self.lease_of(worker)];
        match store.change(checks, writes).await? {
            Done::Made { first, at } => {
                self.fence = first;
                self.in_flight = None;
                self.has_lease(worker, at);
                Ok(())
            }
            Done::CheckFailed(_) => Err(Stop::Outdated),
        }
    }

    /// The lease goes on, as of now.
    async fn renew_lease(&mut self, store: &Store, worker: &str) -> Result<(), Stop> {
        let checks = vec![
            self.own(),
            (keys::lease(&self.name), KvGuard::Exists),
            (keys::fence(&self.name), KvGuard::Revision(self.fence)),
        ];
        match store.change(checks, vec![self.lease_of(worker)]).await? {
            Done::Made { at, .. } => {
                self.has_lease(worker, at);
                Ok(())
            }
            Done::CheckFailed(_) => Err(Stop::Outdated),
        }
    }

    /// Gives the lease up, so that another worker need not wait for its end.
    async fn end_lease(&mut self, store: &Store) -> Result<(), Stop> {
        let checks = vec![self.own(), (keys::fence(&self.name), KvGuard::Revision(self.fence))];
        match store.change(checks, vec![KvWrite::purge(keys::lease(&self.name))]).await? {
            Done::Made { .. } => {
                (self.lease, self.in_flight) = (None, None);
                Ok(())
            }
            Done::CheckFailed(_) => Err(Stop::Outdated),
        }
    }

    fn own(&self) -> (KvKey, KvGuard) {
        (keys::registration(&self.name), KvGuard::Revision(self.revision))
    }

    fn lease_micros(&self) -> i64 {
        i64::try_from(self.registration.lease_ms).unwrap_or(i64::MAX / 1_000).saturating_mul(1_000)
    }

    fn lease_of(&self, worker: &str) -> KvWrite {
        let ttl = Some(std::time::Duration::from_millis(self.registration.lease_ms));
        // An empty value would be as good; it is told apart from none by the key.
        KvWrite { ttl, ..KvWrite::put(keys::lease(&self.name), worker.to_owned()) }
    }

    fn has_lease(&mut self, worker: &str, at: Timestamp) {
        let until = Timestamp(at.0.saturating_add(self.lease_micros()));
        self.lease = Some(Lease { worker: worker.to_owned(), until });
    }

    /// Takes a save of events that are in flight: of all of them, or of the first ones.
    ///
    /// # Errors
    /// `lease_lost` when they are not, or the lease is over; and why it cannot be said now.
    async fn save(
        &mut self,
        store: &Store,
        (worker, number): (&str, Option<u64>),
        event_id: &str,
        state: Option<JsonText>,
        names_another: impl FnOnce(&PartitionKey) -> bool,
    ) -> Result<(), Stop> {
        let said_before = |(saved, id): &(Revision, String)| Some(saved.0) == number && id == event_id;
        if self.saved.as_ref().is_some_and(said_before) {
            return Ok(());
        }
        let lost = |desk: &Self, why: &str| Err(Stop::Failed(desk.lease_lost(why)));
        let fenced = !planted(Planted::SaveIgnoresFence);
        if fenced && number.is_some_and(|number| number != self.fence.0) {
            return lost(self, "the lease is over");
        }
        let Some(InFlight { number, batch }) = &self.in_flight else {
            return lost(self, "no events are with a worker");
        };
        if fenced && self.lease.as_ref().is_some_and(|lease| lease.worker != worker) {
            return lost(self, "another worker has the projection");
        }
        let Some(count) = batch.events.iter().position(|event| event.id.to_string() == event_id) else {
            return lost(self, "the event is not with a worker");
        };
        if names_another(&batch.partition) {
            return Err(Stop::Failed(ApiError::invalid(
                "partition is not that of the events that were given",
            )));
        }
        let (number, partition) = (*number, batch.partition.clone());
        let through = batch.events[count].position;
        let saved = self.saved_ledger(&partition, through, count as u64 + 1);
        let value = Partition::new(through.0, event_id.to_owned(), state);
        let step = Step {
            ledger: saved,
            partition: Some((&partition, value)),
            letter: None,
            lease: Some((number, worker)),
        };
        self.step(store, step).await?;
        self.window.done(&partition, through);
        self.saved = Some((number, event_id.to_owned()));
        self.saved_in_flight(&partition, count);
        Ok(())
    }

    /// What is left of the batch was handed out with it, and its first event counts as handed out once.
    fn saved_in_flight(&mut self, partition: &PartitionKey, last: usize) {
        self.deliveries.remove(partition);
        let Some(in_flight) = &mut self.in_flight else { return };
        in_flight.batch.events.drain(..=last);
        match in_flight.batch.events.first() {
            Some(first) => drop(self.deliveries.insert(partition.clone(), (first.position, 1))),
            None => self.in_flight = None,
        }
    }

    /// The ledger once the events of a partition up to a position are saved too.
    fn saved_ledger(&self, partition: &PartitionKey, through: Position, count: u64) -> Ledger {
        Ledger {
            position: self.window.checkpoint_without(partition, through).0,
            ahead: self.ledger.ahead.max(through.0),
            saved: self.ledger.saved + count,
            ..self.ledger.clone()
        }
    }

    /// Who has it, for whoever has not.
    fn lease_lost(&self, why: &str) -> ApiError {
        let holder = self.lease.as_ref().map(|lease| lease.worker.clone());
        ApiError::new(ErrorCode::LeaseLost, format!("save is refused: {why}"))
            .with("worker", holder)
            .with("leaseNumber", self.fence.0)
    }

    /// Writes the ledger, and what goes with it in one change.
    async fn step(&mut self, store: &Store, step: Step<'_>) -> Result<(), Stop> {
        let generation = self.registration.worked_on();
        let ledger = keys::ledger(generation);
        let mut checks = vec![self.own(), (ledger.clone(), KvGuard::Revision(self.ledger_revision))];
        let mut writes = vec![put(ledger, &step.ledger)?];
        if let Some((number, worker)) = step.lease {
            checks.push((keys::lease(&self.name), KvGuard::Exists));
            checks.push((keys::fence(&self.name), KvGuard::Revision(number)));
            writes.push(self.lease_of(worker));
        }
        if let Some((partition, value)) = &step.partition {
            writes.push(put(keys::state(generation, partition), value)?);
        }
        if let Some(letter) = &step.letter {
            writes.push(put(keys::dead(generation, Position(letter.position)), letter)?);
        }
        match self.write(store, checks, writes).await? {
            Done::Made { first, at } => {
                (self.ledger, self.ledger_revision) = (step.ledger, first);
                if let Some((_, worker)) = step.lease {
                    self.has_lease(worker, at);
                }
                Ok(())
            }
            Done::CheckFailed(2 | 3) => {
                self.lease = None;
                self.in_flight = None;
                Err(Stop::Failed(self.lease_lost("the lease is over")))
            }
            Done::CheckFailed(_) => Err(Stop::Outdated),
        }
    }

    async fn write(
        &self,
        store: &Store,
        checks: Vec<(KvKey, KvGuard)>,
        mut writes: Vec<KvWrite>,
    ) -> Result<Done, ApiError> {
        if writes.len() > 1 && planted(Planted::WorkerCheckpointFirst) {
            let rest = writes.split_off(1);
            let done = store.change(checks, writes).await?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            store.change(Vec::new(), rest).await?;
            return Ok(done);
        }
        store.change(checks, writes).await
    }
}
