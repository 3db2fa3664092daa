//! What ends a node: a signal, or its parent's end.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Listens for SIGTERM and SIGINT from its making on.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from their default, which is to kill.
    ///
    /// # Errors
    /// When the process may not have handlers.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// What stops with this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This node alone: others may lead on.
    Node,
    /// The parent, and with it all of its children: nobody is left to lead.
    Parent,
}

/// Waits for the reason to stop. With `with_parent`, the parent's end is one.
pub async fn reason(signals: &mut Signals, with_parent: bool) -> Scope {
    let parent = async {
        match with_parent {
            true => crate::parent::gone().await,
            false => std::future::pending().await,
        }
    };
    let (reason, scope) = tokio::select! {
        name = signals.next() => (name, Scope::Node),
        () = parent => ("the parent ended", Scope::Parent),
    };
    info!(reason, "stopping");
    scope
}
