//! Makes entries of what waits and hands them to openraft, one after the other.

use std::sync::Arc;

use openraft::impls::ProgressResponder;
use tokio::sync::mpsc;
use weir_storage::codec::command::{encode_registry, encode_writes};
use weir_types::{AppendError, DecidedWrite, NodeId, Term, ports::LeadershipWatch};

use super::{
    queue::{Queue, Work},
    settler::{Answers, EntryOutcome, Settling},
};
use crate::{
    leader_id::CommittedLeaderId,
    leadership::GroupLeadership,
    types::{CommandBytes, Raft},
};

pub(super) struct Batcher {
    pub(super) raft: Raft,
    pub(super) node: NodeId,
    pub(super) queue: Arc<Queue>,
    pub(super) leadership: GroupLeadership,
    pub(super) settle: mpsc::Sender<Settling>,
}

impl Batcher {
    pub(super) async fn run(self) {
        while let Some(work) = self.queue.next().await {
            let settling = match work {
                Work::Barrier { term, answer } => Settling::Barrier { term, answer },
                Work::Writes { term, writes, answers } => {
                    let answers = Answers::Writes(answers);
                    let events: usize = writes.iter().map(DecidedWrite::events).sum();
                    metrics::histogram!("weir_raft_entry_appends").record(writes.len() as f64);
                    metrics::histogram!("weir_raft_entry_events").record(events as f64);
                    self.propose(term, || encode_writes(&writes), answers).await
                }
                Work::Registry { term, command, answer } => {
                    let answers = Answers::Registry(answer);
                    self.propose(term, || encode_registry(&command), answers).await
                }
            };
            if self.settle.send(settling).await.is_err() {
                return;
            }
        }
    }

    /// Proposes one entry in `term`, or refuses it without writing.
    async fn propose(
        &self,
        term: Term,
        payload: impl FnOnce() -> bytes::Bytes,
        answers: Answers,
    ) -> Settling {
        let now = self.leadership.current();
        if !now.decides || now.term != term {
            let leader = now.leader.filter(|leader| *leader != self.node);
            return Settling::Refused { answers, error: AppendError::NotLeader { leader } };
        }
        let (responder, outcome): (_, EntryOutcome) = ProgressResponder::complete_only();
        let leader = CommittedLeaderId { term: term.0, node_id: self.node.0 };
        let handed = self.raft.write(CommandBytes(payload())).with_leader(leader).responder(responder).await;
        match handed {
            Ok(()) => Settling::Entry { term, outcome, answers },
            Err(fatal) => {
                Settling::Refused { answers, error: AppendError::Unavailable { reason: fatal.to_string() } }
            }
        }
    }
}
