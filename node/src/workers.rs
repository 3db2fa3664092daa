//! Projections that are folded outside, by workers that ask for events: on the node that leads.
//!
//! Everything of them lies in one key-value bucket, so it is replicated, judged by apply and read as any other
//! bucket is: the projection, the lease and its number, a checkpoint, a key for each partition. A save is one
//! change of several keys, which apply makes only while the lease goes on ([`desk`]).

mod desk;
mod keys;
mod read;
pub(crate) mod sinks;
mod store;
mod stored;
mod wanted;
pub(crate) mod watch;
mod webhook;

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use weir_actors::{jetstream::Subjects, upcast::Upcasting};
use weir_api::{
    ApiError, ErrorCode,
    connect::{
        PollProjectionRequest, PollProjectionResponse, ProjectionEvent, RegisterProjectionRequest,
        SaveProjectionRequest,
    },
};
use weir_types::{
    GroupId, KvGuard, KvWrite, NodeId, Position, ProjectionName, Timestamp, limits, ports::Ports,
};

use self::{
    desk::{Desk, HandedOut, Stop, Tried},
    store::{Done, Store, put},
    stored::{Ledger, Mode, Registration},
    wanted::{abandoned, wanted},
    webhook::Hooks,
};
use crate::{
    deciding::{DeskParts, deciding, deciding_on_all},
    http_client::HttpClient,
    slots::{Held, Slots},
};

/// Dead letters that are sent again at once.
const REPLAYS_MAX: usize = 100;
/// How often a desk is opened anew because it was outdated, in one call.
const TRIES: usize = 4;

/// The worker-run projections of a node's group.
pub struct Workers {
    node: NodeId,
    /// For what the cluster itself sends.
    hooks: Hooks,
    /// Of NATS, where this node has one.
    subjects: Option<Subjects>,
    ports: Ports,
    upcasting: Arc<Upcasting>,
    store: Store,
    stop: CancellationToken,
    desks: Slots<ProjectionName, Desk>,
    /// Something is so that a poll may be answered.
    stirred: Notify,
}

/// Does something at the desk of a projection, which is opened if it is not. Only a leader has any.
macro_rules! at_desk {
    ($workers:expr, $name:expr, |$desk:ident| $act:expr) => {{
        let mut tries = 0;
        loop {
            let mut held = $workers.desks.hold($name).await;
            if let Err(error) = $workers.open(&mut held, $name).await {
                break Err(error);
            }
            let Some($desk) = held.get_mut() else { break Err(not_found()) };
            let done = $act.await;
            if let Some(told) = Workers::settle(&mut held, done) {
                break told;
            }
            tries += 1;
            if tries == TRIES {
                break Err(busy());
            }
        }
    }};
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is new.
    New,
    /// It was there, and is as was asked for.
    Updated,
}

impl Workers {
    /// `subjects` are of NATS, where this node has one.
    pub(crate) fn new(
        parts: DeskParts,
        upcasting: Arc<Upcasting>,
        http: Arc<dyn HttpClient>,
        subjects: Option<Subjects>,
    ) -> Arc<Self> {
        let DeskParts { node, ports, reader, buckets, stop } = parts;
        Arc::new(Self {
            node,
            hooks: Hooks(http),
            subjects,
            ports,
            upcasting,
            store: Store { reader, buckets },
            stop,
            desks: Slots::default(),
            stirred: Notify::new(),
        })
    }

    /// Makes a projection, or changes what was asked for of it. Where its events or its partitions are others, its
    /// state is built anew, and the one before is served until then.
    ///
    /// # Errors
    /// `projection_kind_conflict`, `projections_full`, `projection_invalid`, and what a change of a bucket may meet.
    pub async fn register(
        &self,
        asked: &RegisterProjectionRequest,
    ) -> Result<(Registered, Position), ApiError> {
        let name = ProjectionName::new(&asked.name)?;
        if !name.is_reachable() {
            let message = format!("projection name `{name}` stands for something else in a path");
            return Err(ApiError::new(ErrorCode::InvalidName, message));
        }
        let mut held = self.desks.hold(&name).await;
        self.lead_and_ready().await?;
        self.must_not_be_deployed(&name).await?;
        self.store.make_bucket().await?;
        let now = self.ports.clock.now();
        let there = self.store.read::<Registration>(&keys::registration(&name)).await?;
        let old = there.as_ref().map(|found| &found.value);
        // What is not legal is refused, and what changes nothing is answered, before a number is taken for it.
        let unnumbered = wanted(asked, old, 0, now)?;
        self.can_send(unnumbered.sink.as_ref())?;
        if old == Some(&unnumbered) {
            return Ok((Registered::Updated, self.checkpoint_of(&unnumbered).await?));
        }
        if old.is_none() && self.registrations().await?.len() >= limits::WORKER_PROJECTIONS_MAX {
            let max = limits::WORKER_PROJECTIONS_MAX;
            let message = format!("group has {max} projections that workers fold, which is the limit");
            return Err(ApiError::new(ErrorCode::ProjectionsFull, message).with("max", max));
        }
        let wanted = wanted(asked, old, self.store.fresh_generation().await?, now)?;
        let guard = there.as_ref().map_or(KvGuard::Absent, |found| KvGuard::Revision(found.revision));
        let mut writes = vec![put(keys::registration(&name), &wanted)?];
        writes.extend(abandoned(old, &wanted).map(|gone| KvWrite::put(keys::gone(gone), "gone")));
        held.set(None);
        match self.store.change(vec![(keys::registration(&name), guard)], writes).await? {
            Done::Made { .. } => {}
            Done::CheckFailed(_) => return Err(busy()),
        }
        // Of two that take a name at once, the one that is deployed in the cluster has it.
        if let Err(error) = self.must_not_be_deployed(&name).await {
            self.remove(&name, &wanted).await?;
            return Err(error);
        }
        self.stirred.notify_waiters();
        let registered = if old.is_none() { Registered::New } else { Registered::Updated };
        Ok((registered, self.checkpoint_of(&wanted).await?))
    }

    /// Removes a projection with its states.
    ///
    /// # Errors
    /// `projection_not_found`.
    pub async fn unregister(&self, name: &ProjectionName) -> Result<(), ApiError> {
        let mut held = self.desks.hold(name).await;
        self.lead_and_ready().await?;
        let found = self.store.read::<Registration>(&keys::registration(name)).await?;
        let registration = found.ok_or_else(not_found)?.value;
        held.set(None);
        self.remove(name, &registration).await?;
        self.stirred.notify_waiters();
        Ok(())
    }

    async fn remove(&self, name: &ProjectionName, registration: &Registration) -> Result<(), ApiError> {
        let mut writes = vec![
            KvWrite::purge(keys::registration(name)),
            KvWrite::purge(keys::lease(name)),
            KvWrite::purge(keys::fence(name)),
        ];
        let generations = [Some(registration.generation), registration.building];
        writes.extend(generations.into_iter().flatten().map(|gone| KvWrite::put(keys::gone(gone), "gone")));
        self.store.change(vec![(keys::registration(name), KvGuard::Exists)], writes).await?;
        self.store.clear_gone().await
    }

    /// Events for a worker, of one partition, with that partition's state. Waits for them.
    ///
    /// # Errors
    /// `projection_not_found`, or why this node cannot say now.
    pub async fn poll(&self, asked: &PollProjectionRequest) -> Result<PollProjectionResponse, ApiError> {
        self.poll_for(asked, false).await
    }

    async fn poll_for(
        &self,
        asked: &PollProjectionRequest,
        itself: bool,
    ) -> Result<PollProjectionResponse, ApiError> {
        let name = ProjectionName::new(&asked.name)?;
        check_worker(&asked.worker_id)?;
        let most = match asked.batch_size as usize {
            0 => limits::WORKER_BATCH_DEFAULT,
            size => size.min(limits::WORKER_BATCH_MAX),
        };
        let wait = asked.wait_ms.unwrap_or(limits::WORKER_WAIT_MS_MAX).min(limits::WORKER_WAIT_MS_MAX);
        let deadline = Instant::now() + Duration::from_millis(wait);
        loop {
            let mut stirred = std::pin::pin!(self.stirred.notified());
            stirred.as_mut().enable();
            let worker = asked.worker_id.as_str();
            let (tried, looked, checkpoint) = at_desk!(self, &name, |desk| desk.try_hand_out(
                &self.store,
                &self.ports,
                (worker, itself),
                most
            ))?;
            let (until, due) = match tried {
                Tried::Given(given) => return Ok(told(&given)),
                Tried::Nothing { due } => (None, due.unwrap_or(deadline)),
                Tried::Busy(until) => (Some(until), deadline),
            };
            if Instant::now() >= deadline || self.stop.is_cancelled() {
                let last_event_seq = checkpoint.0;
                return Ok(PollProjectionResponse { last_event_seq, ..PollProjectionResponse::default() });
            }
            tokio::select! {
                () = self.something_new(looked, until) => {}
                // Whoever works for the cluster itself looks first whether it is still to.
                () = stirred => if itself { return Ok(PollProjectionResponse::default()) },
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep_until(deadline.min(due)) => {}
            }
        }
    }

    /// Resolves when there is more of the log than was looked at, or, where another worker has the projection, when
    /// its lease is over.
    async fn something_new(&self, looked: Position, until: Option<Timestamp>) {
        if let Some(until) = until {
            let left = (until.0 - self.store.buckets.now().0).clamp(1_000, 1_000_000);
            return tokio::time::sleep(Duration::from_micros(left.unsigned_abs())).await;
        }
        let mut applied = self.ports.reader.applied_changes(GroupId::DEFAULT);
        while self.ports.reader.applied(GroupId::DEFAULT) <= looked {
            if applied.next().await.is_none() {
                return std::future::pending().await;
            }
        }
    }

    /// Takes a partition's state together with its checkpoint; of an external projection, the checkpoint alone.
    ///
    /// # Errors
    /// `lease_lost`, `projection_not_found`, `too_large`, `invalid_request`, or why this node cannot say now.
    pub async fn save(&self, asked: &SaveProjectionRequest) -> Result<(), ApiError> {
        let name = ProjectionName::new(&asked.name)?;
        check_worker(&asked.worker_id)?;
        if let Some(state) = &asked.state {
            let (bytes, max) = (state.get().len(), limits::WORKER_STATE_BYTES_MAX);
            if bytes > max {
                let message = format!("state has {bytes} bytes, over the limit of {max}");
                return Err(ApiError::new(ErrorCode::TooLarge, message)
                    .with("actual", bytes)
                    .with("max", max));
            }
            if !state.get().starts_with('{') {
                return Err(ApiError::invalid("state is not a JSON object"));
            }
        }
        let saved = at_desk!(self, &name, |desk| desk.take_save(&self.store, asked));
        let outcome = match &saved {
            Ok(()) => "saved",
            Err(error) if error.code == ErrorCode::LeaseLost => "refused",
            Err(_) => "failed",
        };
        metrics::counter!("weir_worker_saves_total", "outcome" => outcome).increment(1);
        self.stirred.notify_waiters();
        saved
    }

    /// Stops handing out, or goes on, also where the projection is parked.
    ///
    /// # Errors
    /// `projection_not_found`, or why this node cannot say now.
    pub async fn pause(&self, name: &ProjectionName, paused: bool) -> Result<(), ApiError> {
        if !paused {
            at_desk!(self, name, |desk| desk.unpark(&self.store))?;
        }
        self.reregister(name, |registration, _| Registration { paused, ..registration }).await
    }

    /// Folds all of the log into a new state; the one before is served until then.
    ///
    /// # Errors
    /// `projection_not_found`; `invalid_request` for a projection that is for its effects.
    pub async fn rebuild(&self, name: &ProjectionName) -> Result<(), ApiError> {
        self.lead_and_ready().await?;
        let found =
            self.store.read::<Registration>(&keys::registration(name)).await?.ok_or_else(not_found)?;
        if found.value.mode == Mode::External {
            return Err(ApiError::invalid(
                "an external projection is not rebuilt: its effects would come again",
            ));
        }
        self.reregister(name, |registration, fresh| Registration { building: Some(fresh), ..registration })
            .await
    }

    /// Ends a rebuild before its end; what was served is served on.
    ///
    /// # Errors
    /// `projection_not_found`.
    pub async fn cancel_rebuild(&self, name: &ProjectionName) -> Result<(), ApiError> {
        self.reregister(name, |registration, _| Registration { building: None, ..registration }).await
    }

    /// Changes a registration. Whoever has the lease loses it: what it was given is of the one before.
    async fn reregister(
        &self,
        name: &ProjectionName,
        change: impl Fn(Registration, u64) -> Registration,
    ) -> Result<(), ApiError> {
        let mut held = self.desks.hold(name).await;
        self.lead_and_ready().await?;
        let found =
            self.store.read::<Registration>(&keys::registration(name)).await?.ok_or_else(not_found)?;
        let fresh = self.store.fresh_generation().await?;
        let at = self.ports.clock.now().0;
        let changed = Registration { updated_at: at, ..change(found.value.clone(), fresh) };
        let mut writes = vec![put(keys::registration(name), &changed)?, KvWrite::purge(keys::lease(name))];
        let gone = abandoned(Some(&found.value), &changed);
        writes.extend(gone.map(|gone| KvWrite::put(keys::gone(gone), "gone")));
        held.set(None);
        let check = (keys::registration(name), KvGuard::Revision(found.revision));
        match self.store.change(vec![check], writes).await? {
            Done::Made { .. } => {
                self.stirred.notify_waiters();
                self.store.clear_gone().await
            }
            Done::CheckFailed(_) => Err(busy()),
        }
    }

    /// Gives a lease up, where it is still this one.
    ///
    /// # Errors
    /// `projection_not_found`, or why this node cannot say now.
    pub async fn release(&self, name: &ProjectionName, worker: &str, number: u64) -> Result<(), ApiError> {
        at_desk!(self, name, |desk| desk.release(&self.store, worker, number))?;
        self.stirred.notify_waiters();
        Ok(())
    }

    /// Removes a dead letter that is none any more.
    async fn forget_letter(&self, generation: u64, position: Position) -> Result<(), ApiError> {
        self.store.change(Vec::new(), vec![KvWrite::purge(keys::dead(generation, position))]).await?;
        Ok(())
    }

    /// Renews the leases of a worker. Of which projections.
    ///
    /// # Errors
    /// Why this node cannot say now.
    pub async fn heartbeat(&self, worker: &str) -> Result<Vec<String>, ApiError> {
        check_worker(worker)?;
        let mut renewed = Vec::new();
        if worker.is_empty() {
            return Ok(renewed);
        }
        self.lead_and_ready().await?;
        for name in self.desks.names() {
            let held = at_desk!(self, &name, |desk| desk.beat(&self.store, worker));
            match held {
                Ok(true) => renewed.push(name.to_string()),
                Ok(false) => {}
                Err(error) if error.code == ErrorCode::ProjectionNotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(renewed)
    }

    /// What is to be told of what was tried at a desk; nothing where it is to be tried at another.
    fn settle<T>(
        held: &mut Held<'_, ProjectionName, Desk>,
        done: Result<T, Stop>,
    ) -> Option<Result<T, ApiError>> {
        match done {
            Ok(done) => Some(Ok(done)),
            Err(Stop::Outdated) => {
                held.set(None);
                None
            }
            Err(Stop::Failed(error)) => {
                // What was written is not known, or another writes: what the desk knows may not be so.
                if !matches!(error.code, ErrorCode::LeaseLost | ErrorCode::InvalidRequest) {
                    held.set(None);
                }
                Some(Err(error))
            }
        }
    }

    async fn open(
        &self,
        held: &mut Held<'_, ProjectionName, Desk>,
        name: &ProjectionName,
    ) -> Result<(), ApiError> {
        let seen = deciding(&*self.ports.leadership, self.node).await?;
        if held.get().is_some_and(|desk| desk.term == seen.term) {
            return Ok(());
        }
        held.set(None);
        self.lead_and_ready().await?;
        let desk = Desk::open(&self.store, &self.upcasting, name, seen.term).await?.ok_or_else(not_found)?;
        tracing::debug!(projection = %name, revision = desk.revision().0, "desk of a worker-run projection opened");
        held.set(Some(desk));
        Ok(())
    }

    async fn lead_and_ready(&self) -> Result<(), ApiError> {
        deciding_on_all(&self.ports, self.node).await?;
        Ok(())
    }

    async fn must_not_be_deployed(&self, name: &ProjectionName) -> Result<(), ApiError> {
        let deployed = self.ports.views.projections(GroupId::DEFAULT).await?;
        match deployed.iter().any(|(id, _)| id.name == *name) {
            true => Err(kind_conflict("the cluster")),
            false => Ok(()),
        }
    }

    async fn checkpoint_of(&self, registration: &Registration) -> Result<Position, ApiError> {
        let ledger = self.store.read::<Ledger>(&keys::ledger(registration.worked_on())).await?;
        Ok(Position(ledger.map_or(0, |found| found.value.position)))
    }
}

fn told(given: &HandedOut) -> PollProjectionResponse {
    metrics::counter!("weir_worker_events_handed_out_total").increment(given.batch.events.len() as u64);
    PollProjectionResponse {
        events: given.batch.events.iter().map(|event| ProjectionEvent::from(&**event)).collect(),
        current_state: given.state.clone(),
        last_event_seq: given.checkpoint.0,
        partition: given.batch.partition.as_str().to_owned(),
        lease_number: given.number.0,
        lease_ms: given.lease_ms,
        delivery: given.delivery,
    }
}

/// A name is of one kind.
pub(crate) fn kind_conflict(by: &str) -> ApiError {
    let message = format!("a projection of this name is folded by {by}");
    ApiError::new(ErrorCode::ProjectionKindConflict, message)
}

fn not_found() -> ApiError {
    weir_types::RegistryError::NotFound.into()
}

fn busy() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "projection is being changed")
}

fn check_worker(worker: &str) -> Result<(), ApiError> {
    let legal = worker.len() <= limits::WORKER_ID_BYTES_MAX && !worker.chars().any(char::is_control);
    if legal {
        Ok(())
    } else {
        Err(ApiError::invalid("worker id is over 128 bytes or holds control characters"))
    }
}
