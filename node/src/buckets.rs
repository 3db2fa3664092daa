//! Changes of the key-value buckets, on the node that leads: stamped, admitted
//! and handed to the log. There is no actor: apply alone judges.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use weir_raft::BucketReader;
use weir_types::{
    AppendError, DecidedWrite, KvCommand, KvOutcome, StampedKv, Term, Timestamp, WriteOutcome, limits,
    ports::{LeadershipWatch, Ports, Proposer},
};

use crate::bucket_clock::BucketClock;

/// The way of key-value commands into the log.
pub struct Buckets {
    clock: BucketClock,
    reader: Arc<BucketReader>,
    leadership: Arc<dyn LeadershipWatch>,
    proposer: Arc<dyn Proposer>,
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// What a command takes of the node until it is answered.
struct Room {
    _command: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Buckets {
    /// The way into the log of these ports.
    #[must_use]
    pub fn new(ports: &Ports, reader: Arc<BucketReader>) -> Arc<Self> {
        Arc::new(Self {
            clock: BucketClock::new(ports.clock.clone()),
            reader,
            leadership: ports.leadership.clone(),
            proposer: ports.proposer.clone(),
            commands: Arc::new(Semaphore::new(limits::KV_IN_FLIGHT_MAX)),
            bytes: Arc::new(Semaphore::new(limits::KV_IN_FLIGHT_BYTES_MAX)),
        })
    }

    /// Whether this node leads, in this term.
    pub(crate) fn decides_in(&self, term: Term) -> bool {
        let seen = self.leadership.current();
        seen.decides && seen.term == term
    }

    /// The time of the buckets, if this node leads: what a command is stamped with.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now(self.leadership.current().term, self.reader.time())
    }

    /// Has a command judged, if this node leads.
    ///
    /// # Errors
    /// `NotLeader`, `Overloaded` and `Unavailable` when nothing was written, and `OutcomeUnknown`.
    pub async fn decide(&self, command: KvCommand) -> Result<KvOutcome, AppendError> {
        let seen = self.leadership.current();
        if !seen.decides {
            return Err(AppendError::NotLeader { leader: seen.leader });
        }
        let room = self.room(&command)?;
        let stamped = StampedKv { command, at: self.now() };
        let (answer, outcome) = oneshot::channel();
        let done = move |outcome| {
            drop(room);
            // Whoever asked may have gone, which changes nothing.
            drop(answer.send(outcome));
        };
        self.proposer.propose(seen.term, DecidedWrite::Kv(stamped), Box::new(done));
        match outcome.await {
            Ok(Ok(WriteOutcome::Kv(outcome))) => Ok(outcome),
            Ok(Ok(_)) => unreachable!("a write has an outcome of its kind"),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let reason = "node stopped before the outcome was known".to_owned();
                Err(AppendError::OutcomeUnknown { reason })
            }
        }
    }

    /// Room for a command, or a refusal at once: nobody queues here.
    fn room(&self, command: &KvCommand) -> Result<Room, AppendError> {
        let weight = u32::try_from(command.weight()).unwrap_or(u32::MAX);
        let command = self.commands.clone().try_acquire_owned().map_err(|_| AppendError::Overloaded)?;
        let bytes = self.bytes.clone().try_acquire_many_owned(weight).map_err(|_| AppendError::Overloaded)?;
        Ok(Room { _command: command, _bytes: bytes })
    }
}
