//! A stream that stands still while something is decided that concerns others too.

use tokio::sync::oneshot;
use weir_types::{AppendError, DecidedAppend, EntityType, StreamVersion, Timestamp};

use super::{
    lease::{Lease, Shared},
    state::Standing,
};

/// A reserved stream. Its actor decides nothing else until [`Reserved::decided`]
/// is called or this is dropped: hold it briefly, and take several in order of
/// their entity ids, so that no two holders wait for each other.
pub(crate) struct Reserved {
    pub(crate) standing: Standing,
    lease: Lease,
    release: oneshot::Sender<Advance>,
}

/// What was decided of a reserved stream.
pub(super) struct Advance {
    pub(super) base: StreamVersion,
    pub(super) events: usize,
    pub(super) entity_type: EntityType,
    pub(super) recorded_at: Timestamp,
}

/// The promise of a reservation; `None` when the actor decides no more. A
/// message that is dropped, because its actor stopped, is answered so too.
pub(crate) struct Answer(Option<oneshot::Sender<Reservation>>);

/// What comes of asking for a reservation.
pub(crate) type Reservation = Result<Option<Reserved>, AppendError>;

impl Answer {
    pub(super) fn new() -> (Self, oneshot::Receiver<Reservation>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    pub(super) fn send(mut self, reservation: Reservation) {
        if let Some(sender) = self.0.take() {
            // Whoever went away gives the reservation back by that.
            let _gone = sender.send(reservation);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _gone = sender.send(Ok(None));
        }
    }
}

pub(super) fn reserve(standing: Standing, lease: Lease) -> (Reserved, oneshot::Receiver<Advance>) {
    let (release, decided) = oneshot::channel();
    (Reserved { standing, lease, release }, decided)
}

impl Reserved {
    /// What the stream shares with its actor.
    pub(crate) fn shared(&self) -> &Shared {
        &self.lease
    }

    /// Lets the stream go on after what was decided, and keeps its actor from being passivated.
    pub(crate) fn decided(self, append: &DecidedAppend) -> Lease {
        let advance = Advance {
            base: append.base,
            events: append.events.len(),
            entity_type: append.entity_type.clone(),
            recorded_at: append.recorded_at,
        };
        if self.release.send(advance).is_err() {
            // The actor is gone, and what it would decide on with it.
            self.lease.retire();
        }
        self.lease
    }
}
