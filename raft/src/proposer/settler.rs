//! Answers entries in the order in which they were proposed.

use std::{sync::Arc, time::Duration};

use openraft::{errors::ClientWriteError, raft::ClientWriteResult, type_config::alias::OneshotReceiverOf};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use weir_types::{AppendError, NodeId, Planted, RegistryOutcome, Term, planted, ports::OnOutcome};

use super::queue::{Answer, Queue};
use crate::{apply::CommandOutcome, leadership::GroupLeadership, types::TypeConfig};

/// How long after a lost leadership the outcome of an entry is still waited for:
/// the next leader usually settles it at once.
const LOST_LEADERSHIP_WAIT: Duration = Duration::from_secs(1);

/// How long after an entry failed a barrier says so.
const FAILURE_TOLD_FOR: Duration = Duration::from_secs(1);

pub(super) type EntryOutcome = OneshotReceiverOf<TypeConfig, ClientWriteResult<TypeConfig>>;

/// Who waits for an entry.
pub(super) enum Answers {
    /// The writes in it, in order.
    Writes(Vec<OnOutcome>),
    /// The one registry command in it.
    Registry(Answer<RegistryOutcome>),
}

/// What was proposed, in order.
pub(super) enum Settling {
    /// An entry that openraft has.
    Entry { term: Term, outcome: EntryOutcome, answers: Answers },
    /// An entry that was never proposed.
    Refused { answers: Answers, error: AppendError },
    /// Somebody who waits for all before.
    Barrier { term: Term, answer: Answer<()> },
}

pub(super) struct Settler {
    leadership: GroupLeadership,
    node: NodeId,
    queue: Arc<Queue>,
    outcome_wait_max: Duration,
    /// The error of the last entry, if it failed: what was refused because of it is not refused for good.
    failed: Option<(AppendError, Instant)>,
}

impl Settler {
    pub(super) fn new(
        leadership: GroupLeadership,
        node: NodeId,
        queue: Arc<Queue>,
        outcome_wait_max: Duration,
    ) -> Self {
        Self { leadership, node, queue, outcome_wait_max, failed: None }
    }

    pub(super) async fn run(mut self, mut proposed: mpsc::Receiver<Settling>) {
        while let Some(settling) = proposed.recv().await {
            match settling {
                Settling::Barrier { term, answer } => {
                    // An asker that has gone needs no answer.
                    let _ = answer.send(self.barrier(term));
                }
                Settling::Refused { answers, error } => {
                    self.queue.answered(answers.callers());
                    self.fail(answers, error);
                }
                Settling::Entry { term, outcome, answers } => {
                    let outcome = self.outcome(term, outcome).await;
                    // Before the answers: those who get them are expected back.
                    self.queue.answered(answers.callers());
                    match outcome {
                        Ok(outcome) => {
                            self.failed = None;
                            answers.give(outcome);
                        }
                        Err(error) => self.fail(answers, error),
                    }
                }
            }
        }
    }

    fn barrier(&self, term: Term) -> Result<(), AppendError> {
        // Whatever rested on the failed entry has learned of it long before. Without an end, a stream whose
        // actor waits for a barrier would wait until another stream's entry succeeds.
        if let Some((error, at)) = &self.failed
            && at.elapsed() < FAILURE_TOLD_FOR
        {
            return Err(error.clone());
        }
        let now = *self.leadership.watch().borrow();
        if now.decides && now.term == term {
            Ok(())
        } else {
            Err(AppendError::NotLeader { leader: now.leader.filter(|leader| *leader != self.node) })
        }
    }

    fn fail(&mut self, answers: Answers, error: AppendError) {
        answers.fail(&error);
        self.failed = Some((error, Instant::now()));
    }

    /// What became of an entry; an error that nothing was written is certain.
    async fn outcome(&self, term: Term, outcome: EntryOutcome) -> Result<CommandOutcome, AppendError> {
        let result = tokio::select! {
            result = outcome => result,
            reason = self.given_up(term) => return Err(AppendError::OutcomeUnknown { reason }),
        };
        match result {
            Ok(Ok(response)) => Ok(response.data),
            Ok(Err(ClientWriteError::ForwardToLeader(forward))) => {
                Err(not_written(self.node, forward.leader_id))
            }
            Ok(Err(error)) => Err(AppendError::OutcomeUnknown { reason: error.to_string() }),
            Err(_) => Err(AppendError::OutcomeUnknown { reason: "node stopped".into() }),
        }
    }

    /// Resolves with the reason when waiting for an entry's outcome makes no more sense.
    async fn given_up(&self, term: Term) -> String {
        let lost = async {
            let mut watch = self.leadership.watch();
            // An error means that the node stops, which is a loss as well.
            let _ = watch.wait_for(|now| !(now.leader == Some(self.node) && now.term == term)).await;
            sleep(LOST_LEADERSHIP_WAIT).await;
        };
        tokio::select! {
            () = lost => "leadership was lost after it was proposed".into(),
            () = sleep(self.outcome_wait_max) => "no quorum confirmed it in time".into(),
        }
    }
}

/// openraft refused an entry when it was handed over.
fn not_written(node: NodeId, leader: Option<u64>) -> AppendError {
    match leader.map(NodeId) {
        Some(leader) if leader != node => AppendError::NotLeader { leader: Some(leader) },
        Some(_) | None => {
            AppendError::Unavailable { reason: "leader has no quorum, or hands its leadership over".into() }
        }
    }
}

impl Answers {
    fn callers(&self) -> usize {
        match self {
            Self::Writes(answers) => answers.len(),
            Self::Registry(_) => 1,
        }
    }

    fn give(self, outcome: CommandOutcome) {
        match (self, outcome) {
            (Self::Writes(answers), CommandOutcome::Writes(mut outcomes)) => {
                if planted(Planted::AnswersSwapped) {
                    outcomes.reverse();
                }
                assert_eq!(answers.len(), outcomes.len(), "one outcome per write of an entry");
                for (done, outcome) in answers.into_iter().zip(outcomes) {
                    done(Ok(outcome));
                }
            }
            (Self::Registry(answer), CommandOutcome::Registry(outcome)) => {
                // An asker that has gone needs no answer.
                let _ = answer.send(Ok(outcome));
            }
            (answers, outcome) => {
                let reason = format!("apply answered another question: {outcome:?}");
                answers.fail(&AppendError::Storage { reason });
            }
        }
    }

    fn fail(self, error: &AppendError) {
        match self {
            Self::Writes(answers) => {
                for done in answers {
                    done(Err(error.clone()));
                }
            }
            Self::Registry(answer) => {
                // An asker that has gone needs no answer.
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{oneshot, watch};
    use weir_types::{ProjectionName, RegistryCommand, ports::Leadership};

    use super::{
        super::queue::{Item, Work},
        *,
    };

    const TERM: Term = Term(3);
    const NODE: NodeId = NodeId(1);

    /// A settler of a node that decides, into which things are put as proposed.
    struct Scene {
        settle: mpsc::Sender<Settling>,
        queue: Arc<Queue>,
        _leadership: watch::Sender<Leadership>,
    }

    impl Scene {
        fn new() -> Self {
            let now = Leadership { term: TERM, leader: Some(NODE), decides: true };
            let (to, leadership) = watch::channel(now);
            let (settle, proposed) = mpsc::channel(4);
            let leadership = GroupLeadership::of(leadership);
            let queue = Arc::<Queue>::default();
            let settler = Settler::new(leadership, NODE, queue.clone(), Duration::from_secs(60));
            tokio::spawn(settler.run(proposed));
            Self { settle, queue, _leadership: to }
        }

        async fn refuse(&self, error: AppendError) {
            let (answer, told) = oneshot::channel();
            let command = RegistryCommand::Remove(ProjectionName::new("p").unwrap());
            self.queue.push(Item::Registry { term: TERM, command, answer });
            let Some(Work::Registry { answer, .. }) = self.queue.next().await else {
                panic!("what was pushed is next");
            };
            let refused = Settling::Refused { answers: Answers::Registry(answer), error: error.clone() };
            assert!(self.settle.send(refused).await.is_ok());
            assert_eq!(told.await.unwrap(), Err(error));
        }

        async fn barrier(&self, term: Term) -> Result<(), AppendError> {
            let (answer, told) = oneshot::channel();
            assert!(self.settle.send(Settling::Barrier { term, answer }).await.is_ok());
            told.await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_failure_is_told_to_barriers_for_a_while_and_then_lapses() {
        let scene = Scene::new();
        assert_eq!(scene.barrier(TERM).await, Ok(()));
        let error = AppendError::OutcomeUnknown { reason: "no quorum confirmed it in time".into() };
        let failed = Instant::now();
        scene.refuse(error.clone()).await;
        assert_eq!(scene.barrier(TERM).await, Err(error.clone()), "what rested on it is refused with it");
        // Nothing else is proposed: time alone ends it.
        while let Err(told) = scene.barrier(TERM).await {
            assert_eq!(told, error);
            assert!(failed.elapsed() < FAILURE_TOLD_FOR * 20, "it never lapses");
            sleep(Duration::from_millis(5)).await;
        }
        assert!(failed.elapsed() >= FAILURE_TOLD_FOR, "it lapsed too early");
        let late = scene.barrier(Term(2)).await;
        assert_eq!(late, Err(AppendError::NotLeader { leader: None }), "the term is still judged");
    }
}
