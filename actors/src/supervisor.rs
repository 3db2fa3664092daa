//! Supervision, written down.
//!
//! ```text
//! router supervisor ── stream actors    a panic: the actor is gone, its waiting appends are decided
//!                                       again by a fresh one; nothing is restarted until it is used
//! outbox supervisor ── outbox actor     a panic: started again after a pause; it reads back what the
//!                                       bus holds, so that nothing is lost or published out of place
//! ```
//!
//! A supervisor does not read its children's states: what a child knew is
//! dropped with it, because the log knows better.

use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tracing::error;

/// What a supervisor does when a child panicked.
pub(crate) type OnFailure = Box<dyn Fn() + Send + Sync>;

/// Watches over children of one kind.
pub(crate) struct Supervisor;

/// A supervisor is told nothing but what ractor tells it.
pub(crate) enum Message {}

pub(crate) struct Arguments {
    /// The kind of its children, for the log.
    pub(crate) kind: &'static str,
    pub(crate) on_failure: OnFailure,
}

impl Supervisor {
    pub(crate) async fn start(arguments: Arguments) -> Result<ActorRef<Message>, StartError> {
        let (actor, _task) = Actor::spawn(None, Self, arguments).await?;
        Ok(actor)
    }
}

/// An actor did not start.
#[derive(Debug, thiserror::Error)]
#[error("actor did not start")]
pub struct StartError(#[from] SpawnErr);

impl Actor for Supervisor {
    type Msg = Message;
    type State = Arguments;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<Arguments, ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut Arguments,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(child, reason) = event {
            error!(kind = state.kind, actor = %child.get_id(), %reason, "actor failed");
            (state.on_failure)();
        }
        Ok(())
    }
}
