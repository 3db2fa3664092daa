//! The way into the log, and who leads it.

use async_trait::async_trait;
use futures::{
    FutureExt, StreamExt,
    channel::{mpsc, oneshot},
    future::BoxFuture,
    stream::BoxStream,
};

use super::{Inner, MemoryLog, Queued};
use crate::{
    AppendError, DecidedWrite, LogIndex, RegistryCommand, RegistryOutcome, Term,
    ports::{Leadership, LeadershipWatch, OnOutcome, Proposer},
};

impl LeadershipWatch for MemoryLog {
    fn current(&self) -> Leadership {
        self.inner().now_led()
    }

    fn changes(&self) -> BoxStream<'static, Leadership> {
        let (sender, receiver) = mpsc::unbounded();
        let mut inner = self.inner();
        let now = inner.now_led();
        inner.leadership_watchers.push(sender);
        futures::stream::once(async move { now }).chain(receiver).boxed()
    }
}

impl Inner {
    fn refusal(&mut self, term: Term) -> Option<AppendError> {
        let led = self.now_led();
        if !led.decides || led.term != term {
            return Some(AppendError::NotLeader { leader: led.leader });
        }
        None
    }
}

fn settled<T: Send + 'static>(
    receiver: oneshot::Receiver<Result<T, AppendError>>,
) -> BoxFuture<'static, Result<T, AppendError>> {
    let gone = || AppendError::OutcomeUnknown { reason: "log is gone".into() };
    receiver.map(move |answer| answer.unwrap_or_else(|_| Err(gone()))).boxed()
}

#[async_trait]
impl Proposer for MemoryLog {
    fn propose(&self, term: Term, write: DecidedWrite, done: OnOutcome) {
        let mut inner = self.inner();
        if let Some(refusal) = inner.refusal(term).or_else(|| inner.refusals.pop_front()) {
            drop(inner);
            return done(Err(refusal));
        }
        inner.queue.push_back(Queued::Write(Box::new(write), done));
        if !inner.held {
            inner.drain();
        }
    }

    fn barrier(&self, term: Term) -> BoxFuture<'static, Result<(), AppendError>> {
        let mut inner = self.inner();
        if let Some(refusal) = inner.refusal(term) {
            return futures::future::ready(Err(refusal)).boxed();
        }
        let (sender, receiver) = oneshot::channel();
        inner.queue.push_back(Queued::Barrier(sender));
        if !inner.held {
            inner.drain();
        }
        settled(receiver)
    }

    async fn register(&self, command: RegistryCommand) -> Result<RegistryOutcome, AppendError> {
        let mut inner = self.inner();
        let led = inner.now_led();
        if !led.decides {
            return Err(AppendError::NotLeader { leader: led.leader });
        }
        inner.entries += 1;
        let index = LogIndex(inner.entries);
        let (change, outcome) = inner.registry.judge(index, &command);
        inner.take_rules(index, &change);
        inner.registry.take(change);
        inner.registry_at = index;
        inner.registry_watchers.retain(|watcher| watcher.unbounded_send(()).is_ok());
        Ok(outcome)
    }
}
