//! The handle of one entity stream's actor.

pub(crate) mod actor;
pub(crate) mod digest;
pub(crate) mod lease;
mod message;
pub(crate) mod pending;
pub(crate) mod reservation;
pub(crate) mod state;

/// What the doors of [`crate::inside`] lead to.
#[cfg(feature = "inside")]
pub(crate) mod inside {
    pub(crate) use super::state::{Decision, StreamState, decide};
}

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorRef, ActorStatus};
use weir_types::{AppendError, EntityId, Term};

use self::{
    actor::{Arguments, StreamActor, StreamPorts},
    lease::{Lease, Shared},
    message::{Answer, Message},
    pending::Reply,
    reservation::Reservation,
};
use crate::admission::Admitted;

/// A stream's actor, as its router holds it.
#[derive(Clone)]
pub(crate) struct StreamHandle {
    actor: ActorRef<Message>,
    shared: Arc<Shared>,
}

impl StreamHandle {
    /// Starts an actor for a stream. It reads its head with the first append.
    pub(crate) async fn start(
        ports: &Arc<StreamPorts>,
        entity_id: EntityId,
        term: Term,
        predecessor: Option<Self>,
        supervisor: ActorCell,
    ) -> Result<Self, AppendError> {
        let shared = Shared::new();
        let arguments = Arguments {
            ports: Arc::clone(ports),
            shared: Arc::clone(&shared),
            entity_id,
            term,
            predecessor: predecessor.map(|handle| handle.actor),
        };
        match Actor::spawn_linked(None, StreamActor, arguments, supervisor).await {
            Ok((actor, _task)) => Ok(Self { actor, shared }),
            Err(error) => Err(AppendError::Unavailable { reason: format!("router is stopping: {error}") }),
        }
    }

    /// Has an append decided. The handle is given up before the wait, so that
    /// the mailbox of a stopped actor is freed and its messages are answered.
    pub(crate) async fn append(self, append: Arc<Admitted>, lease: Lease) -> Reply {
        let (answer, reply) = Answer::new();
        // A message that a stopped actor does not take is dropped here, and
        // answered by that.
        let _stopped = self.actor.send_message(Message::Append { append, lease, answer });
        drop(self);
        reply.await.expect("an answer is sent at the latest when it is dropped")
    }

    /// Has the stream stand still. The handle is given up as in [`StreamHandle::append`].
    pub(crate) async fn reserve(self, lease: Lease) -> Reservation {
        let (answer, reservation) = reservation::Answer::new();
        let _stopped = self.actor.send_message(Message::Reserve { lease, answer });
        drop(self);
        reservation.await.expect("an answer is sent at the latest when it is dropped")
    }

    /// Takes a lease for one append.
    pub(crate) fn lease(&self, use_count: u64) -> Lease {
        Lease::take(&self.shared, use_count)
    }

    /// What is shared with its callers.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether it decides no more, by retirement or because it died.
    pub(crate) fn is_spent(&self) -> bool {
        self.shared.is_retired()
            || matches!(self.actor.get_status(), ActorStatus::Stopping | ActorStatus::Stopped)
    }

    /// Whether this is the same actor.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Stops it after the append that it is deciding, if any. Those that wait
    /// are answered [`Reply::Again`].
    pub(crate) fn stop(&self) {
        self.shared.retire();
        self.actor.stop(None);
    }
}
