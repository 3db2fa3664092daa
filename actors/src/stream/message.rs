//! What a stream actor is told, and how it answers.

use std::sync::Arc;

use tokio::sync::oneshot;
use weir_types::AppendError;

use super::{lease::Lease, pending::Reply, reservation};
use crate::admission::Admitted;

/// What a stream actor is told.
pub(crate) enum Message {
    /// Decide this append.
    Append { append: Arc<Admitted>, lease: Lease, answer: Answer },
    /// Say where the stream stands, and keep it so until something is decided.
    Reserve { lease: Lease, answer: reservation::Answer },
}

/// The promise of an answer. A message that is dropped, because its actor
/// stopped, is still answered: [`Reply::Again`] if nothing was proposed for it,
/// `OutcomeUnknown` if something may have been.
pub(crate) struct Answer {
    sender: Option<oneshot::Sender<Reply>>,
    proposing: bool,
}

impl Answer {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender: Some(sender), proposing: false }, receiver)
    }

    /// Says that from now on the append may be in the log.
    pub(crate) fn proposing(&mut self) {
        self.proposing = true;
    }

    pub(crate) fn send(mut self, reply: Reply) {
        if let Some(sender) = self.sender.take() {
            // A caller that went away gets nothing; the reply's own drop sees
            // to what it holds.
            let _gone = sender.send(reply);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        let reply = match self.proposing {
            false => Reply::Again,
            true => Reply::Refused(AppendError::OutcomeUnknown {
                reason: "stream actor stopped while proposing".into(),
            }),
        };
        let _gone = sender.send(reply);
    }
}
