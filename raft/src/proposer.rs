//! The way into the replicated log.
//!
//! Writes are queued in call order. The batcher takes all that is queued when
//! [`cohort`] says that an entry may leave and proposes it as one, so that an
//! idle log adds no latency and a busy one pays for one fsync per many appends.
//! The settler answers entries in the order in which they were proposed.
//!
//! Invariant: the log order is the queue order. There is one batcher, it awaits
//! each hand-over to openraft, and nothing is ever proposed twice.

mod batcher;
mod cohort;
mod queue;
mod settler;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use weir_types::{
    AppendError, DecidedWrite, NodeId, RegistryCommand, RegistryOutcome, Term, limits,
    ports::{OnOutcome, Proposer},
};

use self::{
    batcher::Batcher,
    queue::{Item, Queue},
    settler::Settler,
};
use crate::{leadership::GroupLeadership, timing::RaftTiming, types::Raft};

/// The proposer of one group on one node.
pub(crate) struct LogProposer {
    node: NodeId,
    queue: Arc<Queue>,
    leadership: GroupLeadership,
    decide_wait_max: Duration,
}

impl LogProposer {
    /// Starts the batcher and the settler; [`LogProposer::close`] ends them.
    pub(crate) fn start(raft: Raft, leadership: GroupLeadership, timing: &RaftTiming) -> Arc<Self> {
        let node = NodeId(*raft.node_id());
        let queue = Arc::new(Queue::default());
        let (settle, proposed) = mpsc::channel(limits::ENTRIES_IN_FLIGHT_MAX);
        tokio::spawn(
            Settler::new(leadership.clone(), node, queue.clone(), timing.outcome_wait_max).run(proposed),
        );
        tokio::spawn(
            Batcher { raft, node, queue: queue.clone(), leadership: leadership.clone(), settle }.run(),
        );
        Arc::new(Self { node, queue, leadership, decide_wait_max: timing.read_wait_max })
    }

    /// Refuses all that is queued and all that still comes; what is proposed is still answered.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// The term in which this node decides, waiting for a fresh leader to be ready.
    async fn deciding_term(&self) -> Result<Term, AppendError> {
        let mut watch = self.leadership.watch();
        let settled = watch.wait_for(|now| now.decides || now.leader.is_some_and(|id| id != self.node));
        match timeout(self.decide_wait_max, settled).await {
            Ok(Ok(now)) if now.decides => Ok(now.term),
            Ok(Ok(now)) => Err(AppendError::NotLeader { leader: now.leader }),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(AppendError::Unavailable { reason: "no leader was elected in time".into() }),
        }
    }
}

#[async_trait]
impl Proposer for LogProposer {
    fn propose(&self, term: Term, write: DecidedWrite, done: OnOutcome) {
        self.queue.push(Item::Write { term, write, done });
    }

    fn barrier(&self, term: Term) -> BoxFuture<'static, Result<(), AppendError>> {
        let (answer, outcome) = oneshot::channel();
        self.queue.push(Item::Barrier { term, answer });
        Box::pin(settled(outcome))
    }

    async fn register(&self, command: RegistryCommand) -> Result<RegistryOutcome, AppendError> {
        let term = self.deciding_term().await?;
        let (answer, outcome) = oneshot::channel();
        self.queue.push(Item::Registry { term, command, answer });
        settled(outcome).await
    }
}

async fn settled<T>(outcome: oneshot::Receiver<Result<T, AppendError>>) -> Result<T, AppendError> {
    outcome.await.unwrap_or_else(|_| {
        Err(AppendError::OutcomeUnknown { reason: "node stopped before the outcome was known".into() })
    })
}

fn stopping() -> AppendError {
    AppendError::Unavailable { reason: "node is stopping".into() }
}
