//! The outbox: what is committed and not yet on the bus. It is the log plus a
//! cursor; nothing is written twice, and no acknowledged append depends on it.

mod actor;
mod cursor;

use std::{
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use ractor::{Actor, ActorRef};
use tokio::sync::oneshot;
use tracing::error;
use weir_types::{
    GroupId, NodeId,
    ports::{BusError, Ports, Publisher},
};

use self::actor::{Arguments, Message, OutboxActor};
use crate::{
    observe::OutboxSnapshot,
    supervisor::{self, StartError, Supervisor},
};

/// Pause before an outbox actor that panicked is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// Why an outbox was not rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError {
    /// Another node's outbox publishes.
    #[error("node does not lead the group")]
    NotLeader {
        /// Who does, if known.
        leader: Option<NodeId>,
    },
    /// The bus did not throw its copy away. Whether it did in part is not known; ask again.
    #[error(transparent)]
    Bus(BusError),
    /// The outbox is stopping.
    #[error("outbox is stopping")]
    Stopping,
}

/// A group's outbox on this node; it publishes only while this node leads.
/// Clones share one outbox.
#[derive(Clone)]
pub struct OutboxHandle(Arc<Outbox>);

struct Outbox {
    arguments: Arguments,
    supervisor: ActorRef<supervisor::Message>,
    actor: Mutex<ActorRef<Message>>,
}

impl OutboxHandle {
    /// Starts an outbox. It follows leadership and log by itself, and waits
    /// for a bus that is not there.
    ///
    /// # Errors
    /// [`StartError`] when an actor does not start.
    ///
    /// # Panics
    /// Panics outside a tokio runtime.
    pub async fn start(
        group: GroupId,
        ports: &Ports,
        publisher: Arc<dyn Publisher>,
    ) -> Result<Self, StartError> {
        let arguments = Arguments {
            group,
            leadership: Arc::clone(&ports.leadership),
            reader: Arc::clone(&ports.reader),
            publisher,
            snapshot: Arc::default(),
        };
        let itself = Arc::new(Mutex::new(Weak::<Outbox>::new()));
        let restarted = Arc::clone(&itself);
        let on_failure = Box::new(move || {
            let outbox = restarted.lock().expect("no holder of the lock panics").upgrade();
            outbox.into_iter().for_each(Outbox::restart);
        });
        let supervisor = Supervisor::start(supervisor::Arguments { kind: "outbox", on_failure }).await?;
        let actor = start_actor(&arguments, &supervisor).await?;
        let outbox = Arc::new(Outbox { arguments, supervisor, actor: Mutex::new(actor) });
        *itself.lock().expect("no holder of the lock panics") = Arc::downgrade(&outbox);
        Ok(Self(outbox))
    }

    /// Throws the bus's copy away and publishes all of the log again. Resolves
    /// when the copy is gone; [`OutboxSnapshot::lag`] tells when it is back.
    ///
    /// # Errors
    /// [`RebuildError`]; `NotLeader` on every node but the leader.
    pub async fn rebuild(&self) -> Result<(), RebuildError> {
        let (answer, done) = oneshot::channel();
        let sent = self.0.actor().send_message(Message::Rebuild(answer));
        sent.map_err(|_| RebuildError::Stopping)?;
        done.await.unwrap_or(Err(RebuildError::Stopping))
    }

    /// The outbox at this moment.
    #[must_use]
    pub fn snapshot(&self) -> OutboxSnapshot {
        let mut snapshot = self.0.arguments.snapshot.lock().expect("no holder of the lock panics").clone();
        snapshot.applied = self.0.arguments.reader.applied(self.0.arguments.group);
        snapshot
    }

    /// Stops publishing, after the batch that is being published.
    pub fn stop(&self) {
        self.0.actor().stop(None);
    }
}

async fn start_actor(
    arguments: &Arguments,
    supervisor: &ActorRef<supervisor::Message>,
) -> Result<ActorRef<Message>, StartError> {
    let started = Actor::spawn_linked(None, OutboxActor, arguments.clone(), supervisor.get_cell()).await;
    Ok(started?.0)
}

impl Outbox {
    fn actor(&self) -> MutexGuard<'_, ActorRef<Message>> {
        self.actor.lock().expect("no holder of the lock panics")
    }

    fn restart(self: Arc<Self>) {
        tokio::spawn(async move {
            tokio::time::sleep(RESTART_PAUSE).await;
            match start_actor(&self.arguments, &self.supervisor).await {
                Ok(actor) => *self.actor() = actor,
                Err(error) => error!(%error, "outbox was not started again"),
            }
        });
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.actor().stop(None);
        self.supervisor.stop(None);
    }
}
