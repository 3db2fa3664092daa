//! The router: takes an append on, finds or starts its stream's actor, and
//! waits with the caller until the outcome is durable.
//!
//! It is no actor itself, so that it is no bottleneck: streams are found in a
//! map of locked shards, and a lock is held only for a look-up.

mod shard;
mod tending;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use ractor::ActorRef;
use tokio::{sync::Notify, task::AbortHandle};
use weir_types::{
    AppendAck, AppendError, AppendRequest, EntityId, GroupId, Term, TransactionAck, TransactionRequest,
    limits,
    ports::{LeadershipWatch, Ports},
};
use xxhash_rust::xxh3::xxh3_64;

use self::shard::{Found, Shard};
use crate::{
    admission::{Admission, AdmissionBounds},
    event_ids::EventIds,
    invariant::Memory,
    observe::RouterSnapshot,
    rules::Rulebooks,
    stream::{StreamHandle, actor::StreamPorts, lease::Lease},
    supervisor::{self, StartError, Supervisor},
};

/// Shards of a router's map.
const SHARDS: usize = 64;
/// How often an append is decided anew, because what it was decided on did not
/// hold, before it is refused.
pub(crate) const ATTEMPTS_MAX: usize = 16;

/// What a router keeps to.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// The group whose appends it takes.
    pub group: GroupId,
    /// How much it takes on at once.
    pub admission: AdmissionBounds,
    /// Stream actors alive at once, about; beyond it the idlest are passivated.
    /// Actors with appends in flight are never passivated.
    pub active_streams_max: usize,
    /// How long a stream actor may be idle; it is passivated within a quarter more.
    pub stream_idle_max: Duration,
    /// Appends that one stream takes on at once.
    pub stream_queue_max: usize,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            group: GroupId::DEFAULT,
            admission: AdmissionBounds::default(),
            active_streams_max: limits::ACTIVE_STREAMS_MAX,
            stream_idle_max: limits::STREAM_IDLE_MAX,
            stream_queue_max: limits::STREAM_QUEUE_MAX,
        }
    }
}

/// The way to every stream of a group on this node. Clones share one router.
#[derive(Clone)]
pub struct RouterHandle(Arc<Router>);

pub(crate) struct Router {
    pub(crate) config: RouterConfig,
    pub(crate) streams: Arc<StreamPorts>,
    leadership: Arc<dyn LeadershipWatch>,
    pub(crate) admission: Arc<Admission>,
    shards: Box<[Mutex<Shard>]>,
    supervisor: ActorRef<supervisor::Message>,
    uses: AtomicU64,
    active: AtomicUsize,
    woken: Arc<Notify>,
    tally: Arc<Tally>,
    tending: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Tally {
    activations: AtomicU64,
    passivations: AtomicU64,
    retirements: AtomicU64,
    failures: AtomicU64,
    acknowledged: AtomicU64,
    repeated: AtomicU64,
    conflicts: AtomicU64,
    overloaded: AtomicU64,
    failed: AtomicU64,
}

impl RouterHandle {
    /// Starts a router. It follows leadership by itself until it is stopped or
    /// its last handle is dropped.
    ///
    /// # Errors
    /// [`StartError`] when its supervisor does not start.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    pub async fn start(config: RouterConfig, ports: Ports, ids: EventIds) -> Result<Self, StartError> {
        let tally = Arc::new(Tally::default());
        let failures = Arc::clone(&tally);
        let on_failure = Box::new(move || {
            failures.failures.fetch_add(1, Relaxed);
        });
        let supervisor = Supervisor::start(supervisor::Arguments { kind: "stream", on_failure }).await?;
        let streams = Arc::new(StreamPorts {
            group: config.group,
            clock: ports.clock,
            proposer: ports.proposer,
            reader: ports.reader,
            leadership: Arc::clone(&ports.leadership),
            rules: Rulebooks::new(config.group, ports.rules),
            memory: Memory::default(),
            ids,
        });
        let router = Arc::new(Router {
            admission: Admission::new(config.admission),
            config,
            streams,
            leadership: ports.leadership,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            supervisor,
            uses: AtomicU64::new(1),
            active: AtomicUsize::new(0),
            woken: Arc::default(),
            tally,
            tending: Mutex::default(),
        });
        router.tend();
        Ok(Self(router))
    }

    /// Appends to a stream, all or nothing. Resolves when the outcome is
    /// durable on a quorum and applied on this node; refusals too wait for
    /// what they rest on. Dropped before, it does not withdraw the append.
    ///
    /// # Errors
    /// `NoEvents`, `TooLarge`, `VersionConflict`, `TypeConflict`, `Invalid`,
    /// `InvariantFailed`, `IdempotencyConflict`, `Overloaded`, `NotLeader`, `Unavailable`,
    /// `Storage`: nothing was written. `OutcomeUnknown`: retry with the same
    /// idempotency key.
    pub async fn append(&self, request: AppendRequest) -> Result<AppendAck, AppendError> {
        let answer = self.0.append(request).await;
        self.0.tally.note(answer.as_ref().map(|ack| ack.repeated));
        answer
    }

    /// Appends to several streams, with checks and conditions, all or nothing.
    /// Resolves as [`RouterHandle::append`] does.
    ///
    /// # Errors
    /// As [`RouterHandle::append`]; instead of conflicts of version and type it
    /// is `Violated`, with every one of them, or `NamedTwice`.
    pub async fn transact(&self, request: TransactionRequest) -> Result<TransactionAck, AppendError> {
        let answer = self.0.transact(request).await;
        self.0.tally.note(answer.as_ref().map(|ack| ack.repeated));
        answer
    }

    /// Whether an append is in the log already, by its key, as of what is applied on this node, which need not lead.
    ///
    /// # Errors
    /// `IdempotencyConflict`, or those of the reads.
    pub async fn repeats(&self, request: &AppendRequest) -> Result<bool, AppendError> {
        self.0.repeats(request).await
    }

    /// The same of a transaction.
    ///
    /// # Errors
    /// As [`RouterHandle::repeats`].
    pub async fn repeats_transaction(&self, request: &TransactionRequest) -> Result<bool, AppendError> {
        Ok(self.0.remembered_transaction(request).await?.is_some())
    }

    /// Judges the events of a transaction by the rules, as of what is applied
    /// on this node, which need not lead. Nothing is written.
    ///
    /// # Errors
    /// `Invalid`, `InvariantFailed`, or those of the reads.
    pub async fn validate(&self, request: &TransactionRequest) -> Result<(), AppendError> {
        self.0.validate(request).await
    }

    /// The router at this moment.
    #[must_use]
    pub fn snapshot(&self) -> RouterSnapshot {
        self.0.snapshot()
    }

    /// Stops every actor. Appends in flight are still settled; later ones are refused.
    pub fn stop(&self) {
        self.0.supervisor.stop(None);
        self.0.retire_all();
    }
}

impl Router {
    async fn append(&self, request: AppendRequest) -> Result<AppendAck, AppendError> {
        request.check_limits()?;
        if request.group != self.config.group {
            return Err(AppendError::Unavailable { reason: format!("no group {} here", request.group) });
        }
        // Before admission, so that a node that does not lead never looks busy.
        self.deciding_term()?;
        let append = Arc::new(self.admission.admit(request).await?);
        for _ in 0..ATTEMPTS_MAX {
            let term = self.deciding_term()?;
            let Some((stream, lease)) = self.stream(&append.request.entity_id, term).await? else {
                continue;
            };
            let reply = stream.append(Arc::clone(&append), lease).await;
            if let Some(ack) = reply.settle(&self.streams, &append.request).await? {
                return Ok(ack);
            }
        }
        Err(AppendError::Unavailable { reason: "stream did not come to rest".into() })
    }

    /// The term in which this node decides.
    pub(crate) fn deciding_term(&self) -> Result<Term, AppendError> {
        let leadership = self.leadership.current();
        match leadership.decides {
            true => Ok(leadership.term),
            false => Err(AppendError::NotLeader { leader: leadership.leader }),
        }
    }

    /// A stream's actor, leased; `None` when things moved and the caller must look again.
    pub(crate) async fn stream(
        &self,
        entity: &EntityId,
        term: Term,
    ) -> Result<Option<(StreamHandle, Lease)>, AppendError> {
        let use_count = self.uses.fetch_add(1, Relaxed);
        let found = {
            let mut shard = self.shard(entity);
            self.begin(&mut shard, term);
            shard.find(entity, term, use_count)
        };
        match found {
            Found::TermOver => Ok(None),
            Found::Missing(predecessor) => self.activate(entity, term, predecessor, use_count).await,
            Found::Actor(_, lease) if lease.leases() > self.config.stream_queue_max => {
                Err(AppendError::Overloaded)
            }
            Found::Actor(stream, lease) => Ok(Some((stream, lease))),
        }
    }

    async fn activate(
        &self,
        entity: &EntityId,
        term: Term,
        predecessor: Option<StreamHandle>,
        use_count: u64,
    ) -> Result<Option<(StreamHandle, Lease)>, AppendError> {
        let supervisor = self.supervisor.get_cell();
        let (ports, ended) = (&self.streams, predecessor.clone());
        let fresh = StreamHandle::start(ports, entity.clone(), term, ended, supervisor).await?;
        let mut shard = self.shard(entity);
        self.make_room(&mut shard);
        match shard.insert(entity.clone(), term, predecessor.as_ref(), fresh.clone(), use_count) {
            Ok(lease) => {
                drop(shard);
                self.tally.activations.fetch_add(1, Relaxed);
                if predecessor.is_some() {
                    self.tally.retirements.fetch_add(1, Relaxed);
                } else if self.active.fetch_add(1, Relaxed) == 0 {
                    self.woken.notify_one();
                }
                Ok(Some((fresh, lease)))
            }
            Err(late) => {
                late.stop();
                Ok(None)
            }
        }
    }

    fn make_room(&self, shard: &mut Shard) {
        let shard_max = (self.config.active_streams_max / SHARDS).max(1);
        if shard.len() >= shard_max {
            self.passivate(shard.evict(shard_max / 8 + 1));
        }
    }

    fn passivate(&self, streams: Vec<StreamHandle>) {
        self.active.fetch_sub(streams.len(), Relaxed);
        self.tally.passivations.fetch_add(streams.len() as u64, Relaxed);
        streams.iter().for_each(StreamHandle::stop);
    }

    /// Drops the actors of an earlier term.
    fn begin(&self, shard: &mut Shard, term: Term) {
        let old = shard.begin(term);
        self.active.fetch_sub(old.len(), Relaxed);
        old.iter().for_each(StreamHandle::stop);
    }

    fn retire_all(&self) {
        for shard in &self.shards {
            let gone = lock(shard).retire_all();
            self.active.fetch_sub(gone, Relaxed);
        }
    }

    fn shard(&self, entity: &EntityId) -> MutexGuard<'_, Shard> {
        let hash = xxh3_64(entity.as_str().as_bytes());
        lock(&self.shards[hash as usize % SHARDS])
    }

    fn snapshot(&self) -> RouterSnapshot {
        let (leadership, tally) = (self.leadership.current(), &self.tally);
        let (in_flight_appends, in_flight_bytes) = self.admission.in_flight();
        RouterSnapshot {
            term: leadership.term,
            leader: leadership.leader,
            decides: leadership.decides,
            active_streams: self.active.load(Relaxed),
            in_flight_appends,
            in_flight_bytes,
            waiting_appends: self.admission.waiting(),
            activations: tally.activations.load(Relaxed),
            passivations: tally.passivations.load(Relaxed),
            retirements: tally.retirements.load(Relaxed),
            failures: tally.failures.load(Relaxed),
            acknowledged: tally.acknowledged.load(Relaxed),
            repeated: tally.repeated.load(Relaxed),
            conflicts: tally.conflicts.load(Relaxed),
            overloaded: tally.overloaded.load(Relaxed),
            failed: tally.failed.load(Relaxed),
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.supervisor.stop(None);
        if let Some(tending) = lock(&self.tending).take() {
            tending.abort();
        }
    }
}

impl Tally {
    fn note(&self, repeated: Result<bool, &AppendError>) {
        let counter = match repeated {
            Ok(repeated) => {
                if repeated {
                    self.repeated.fetch_add(1, Relaxed);
                }
                &self.acknowledged
            }
            Err(
                AppendError::VersionConflict { .. }
                | AppendError::TypeConflict { .. }
                | AppendError::Violated { .. }
                | AppendError::Invalid { .. }
                | AppendError::InvariantFailed { .. }
                | AppendError::IdempotencyConflict,
            ) => &self.conflicts,
            Err(AppendError::Overloaded) => &self.overloaded,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of the lock panics")
}
