//! A transaction in the proposer's hands.

use std::sync::Arc;

use tokio::sync::oneshot;
use weir_types::{AppendError, StreamVersion, TransactionOutcome, WriteOutcome};

use crate::{admission::Room, stream::lease::Lease};

type Outcome = Result<TransactionOutcome, AppendError>;

/// Nobody needs to wait for it: its caller may go away. Dropped untold, it
/// leaves actors that decide no more.
pub(super) struct InFlight {
    /// The streams that are written, and their versions after it.
    streams: Vec<(Lease, StreamVersion)>,
    answer: Option<oneshot::Sender<Outcome>>,
    _room: Arc<Room>,
}

impl InFlight {
    pub(super) fn new(
        streams: Vec<(Lease, StreamVersion)>,
        room: Arc<Room>,
    ) -> (Self, oneshot::Receiver<Outcome>) {
        let (answer, outcome) = oneshot::channel();
        (Self { streams, answer: Some(answer), _room: room }, outcome)
    }

    /// Moves the durable marks, or retires actors whose decision did not hold, and answers.
    pub(super) fn settle(mut self, outcome: Result<WriteOutcome, AppendError>) {
        let outcome = outcome.map(|outcome| match outcome {
            WriteOutcome::Transaction(outcome) => outcome,
            other => unreachable!("a transaction was answered with {other:?}"),
        });
        // Before the caller can come back: it must not meet an actor whose decision did not hold.
        for (lease, version) in std::mem::take(&mut self.streams) {
            match &outcome {
                Ok(TransactionOutcome::Committed { .. }) => lease.note_durable(version),
                _ => lease.retire(),
            }
        }
        if let Some(answer) = self.answer.take() {
            let _gone = answer.send(outcome);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.streams.iter().for_each(|(lease, _)| lease.retire());
    }
}
