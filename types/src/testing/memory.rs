//! A log in memory, of one group, that implements every port of a node. It
//! judges appends as apply does, and can be told to hold, refuse or lose them:
//! for orders and races that the real parts cannot be made to show.

mod apply;
mod proposer;
mod reader;
mod rules;
mod views;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use futures::channel::{mpsc, oneshot};

use self::views::Folded;
use super::ManualClock;
use crate::{
    AppendError, AppendOutcome, DecidedAppend, DecidedWrite, EntityId, IdempotencyKey, LogIndex, NodeId,
    Position, ProjectionId, RecordedEvent, RuleSet, Term, Timestamp,
    ports::{Leadership, OnOutcome, Ports, RememberedAppend},
    registry::Registry,
};

/// What becomes of the appends that are held when leadership is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They are committed all the same.
    Committed,
    /// They are gone.
    Lost,
}

/// One group's log, index, registry and views, in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryLog(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    leadership: Option<Leadership>,
    leadership_watchers: Vec<mpsc::UnboundedSender<Leadership>>,
    applied_watchers: Vec<mpsc::UnboundedSender<Position>>,
    ended: bool,
    registry_watchers: Vec<mpsc::UnboundedSender<()>>,
    events: Vec<RecordedEvent>,
    streams: HashMap<EntityId, Vec<Position>>,
    created: Vec<EntityId>,
    keys: HashMap<(EntityId, IdempotencyKey), RememberedAppend>,
    held: bool,
    queue: VecDeque<Queued>,
    refusals: VecDeque<AppendError>,
    entries: u64,
    registry_at: LogIndex,
    rules: RuleSet,
    head_reads: u64,
    registry: Registry,
    folded: BTreeMap<ProjectionId, Folded>,
}

enum Queued {
    Write(Box<DecidedWrite>, OnOutcome),
    Barrier(oneshot::Sender<Result<(), AppendError>>),
}

impl MemoryLog {
    /// Ends what follows the applied position, as the end of Raft does.
    pub fn end(&self) {
        let mut inner = self.inner();
        inner.ended = true;
        inner.applied_watchers.clear();
    }

    /// An empty log that `node` leads in term 1.
    #[must_use]
    pub fn led_by(node: NodeId) -> Self {
        let leadership = Leadership { term: Term(1), leader: Some(node), decides: true };
        Self(Arc::new(Mutex::new(Inner { leadership: Some(leadership), ..Inner::default() })))
    }

    /// The ports of a node that stands on this log, with a clock at `now`.
    #[must_use]
    pub fn ports(&self, now: Timestamp) -> Ports {
        Ports {
            clock: Arc::new(ManualClock::at(now)),
            leadership: Arc::new(self.clone()),
            proposer: Arc::new(self.clone()),
            reader: Arc::new(self.clone()),
            views: Arc::new(self.clone()),
            rules: Arc::new(self.clone()),
        }
    }

    /// Keeps appends queued from now on, neither applied nor answered.
    pub fn hold(&self) {
        self.inner().held = true;
    }

    /// Applies and answers all that is queued, in order, and holds no longer.
    pub fn release(&self) {
        let mut inner = self.inner();
        inner.held = false;
        inner.drain();
    }

    /// Applies and answers the first `count` of what is queued, and goes on holding.
    pub fn release_first(&self, count: usize) {
        let mut inner = self.inner();
        for _ in 0..count {
            inner.apply_next();
        }
    }

    /// Loses the first `count` of what is queued: answered `OutcomeUnknown`, not written.
    pub fn release_lost(&self, count: usize) {
        self.inner().lose(count);
    }

    /// How many appends and barriers are queued.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.inner().queue.len()
    }

    /// How often a head was read.
    #[must_use]
    pub fn head_reads(&self) -> u64 {
        self.inner().head_reads
    }

    /// Refuses the next append with `error`, without writing it.
    pub fn refuse_next(&self, error: AppendError) {
        self.inner().refusals.push_back(error);
    }

    /// Changes leadership. What is held is answered `OutcomeUnknown` and meets `fate`.
    pub fn lead(&self, leadership: Leadership, fate: Fate) {
        let mut inner = self.inner();
        inner.abandon_queue(fate);
        inner.leadership = Some(leadership);
        inner.leadership_watchers.retain(|watcher| watcher.unbounded_send(leadership).is_ok());
    }

    /// Writes an append behind everybody's back, as another leader would have.
    ///
    /// # Panics
    /// Panics when the append does not fit.
    pub fn write(&self, append: DecidedAppend) -> Position {
        match self.inner().apply(append) {
            AppendOutcome::Appended { first_position, .. } => first_position,
            other => panic!("append does not fit: {other:?}"),
        }
    }

    /// Every event, in order of position.
    #[must_use]
    pub fn events(&self) -> Vec<RecordedEvent> {
        self.inner().events.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of the lock panics")
    }
}

impl Inner {
    fn now_led(&self) -> Leadership {
        self.leadership.expect("set by the constructor")
    }

    fn applied(&self) -> Position {
        Position(self.events.len() as u64)
    }
}
