use std::{sync::Arc, time::Duration};

use ractor::ActorRef;
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout},
};
use tracing::{info, warn};
use weir_types::{
    LogIndex, PartitionRebuild, Position, ProjectionDefinition, ProjectionId, ports::PartitionRebuildEnd,
};

use super::{
    actor::Message,
    dry_run::StepError,
    partition::{Part, PartFold, scratch_of},
    progress::ProgressSender,
    supervisor::ProjectionsArguments,
};

/// After how long a fold that failed is begun anew.
const RETRY: Duration = Duration::from_secs(1);

/// How far rebuilds of single partitions of a projection are on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The last one that ended here.
    pub ended: Option<PartitionRebuildEnd>,
    /// The one that runs.
    pub running: Option<PartitionFolding>,
}

/// A fold of one partition that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFolding {
    /// The log index of its command.
    pub at: LogIndex,
    /// What it has folded.
    pub folded: Position,
    /// Time that it has taken.
    pub took: Duration,
}

impl PartitionProgress {
    /// The first that is to be done here. What is done is behind: each is done once.
    fn next<'a>(&self, wanted: &'a [PartitionRebuild]) -> Option<&'a PartitionRebuild> {
        let behind = self.ended.as_ref().map_or(LogIndex::ZERO, |end| end.at);
        wanted.iter().find(|one| one.at > behind)
    }
}

/// How a partition's fold leaves the generation's actor.
pub(super) enum HandOver {
    /// It was swapped in, or its end was noted.
    Done,
    /// It is too far behind.
    Behind(Box<PartFold>),
    /// It could not go on, and may be tried again.
    Failed(String),
}

/// What a generation's actor is given of a rebuild of a partition.
pub(super) enum Handed {
    /// A fold that is near.
    Fold(Box<PartFold>),
    /// That it met an event that it cannot fold.
    Fault(PartitionRebuild, String),
}

impl Handed {
    /// What was asked for.
    pub(super) fn rebuild(&self) -> &PartitionRebuild {
        match self {
            Self::Fold(fold) => &fold.rebuild,
            Self::Fault(rebuild, _) => rebuild,
        }
    }
}

/// Does what is to be rebuilt of single partitions of one generation, one after the other, beside its actor. What was
/// begun and not handed over is begun anew with the next actor.
pub(super) struct PartitionRebuilds {
    pub(super) stands_on: ProjectionsArguments,
    pub(super) id: ProjectionId,
    pub(super) definition: Arc<ProjectionDefinition>,
    pub(super) actor: ActorRef<Message>,
    /// How far its generation is.
    pub(super) generation: Arc<ProgressSender>,
    /// What is to be done, oldest first.
    pub(super) wanted: watch::Receiver<Vec<PartitionRebuild>>,
    pub(super) progress: Arc<watch::Sender<PartitionProgress>>,
}

impl PartitionRebuilds {
    /// Runs until nobody can want anything any more.
    pub(super) async fn run(mut self) {
        // What a node that ended amid one has left.
        self.clear().await;
        loop {
            let next = self.progress.borrow().next(&self.wanted.borrow_and_update()).cloned();
            let Some(one) = next else {
                if self.wanted.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let ended = self.rebuild(&one).await;
            self.progress.send_modify(|progress| progress.running = None);
            self.clear().await;
            if let Err(reason) = ended {
                warn!(projection = %self.id.name, partition = %one.partition, reason, "rebuild of a partition begins anew");
                // Whatever comes first: it is looked at again.
                drop(timeout(RETRY, self.wanted.changed()).await);
            }
        }
    }

    /// Drops what was folded. What an error leaves goes with the next one, or with the node's next start.
    async fn clear(&self) {
        if let Err(error) = self.stands_on.forget(&scratch_of(&self.id)).await {
            warn!(projection = %self.id.name, %error, "views of a partition's fold are not dropped yet");
        }
    }

    fn is_wanted(&self, one: &PartitionRebuild) -> bool {
        self.wanted.borrow().iter().any(|other| other.at == one.at)
    }

    /// Folds a partition and hands it over; also ends when it is given up.
    async fn rebuild(&self, one: &PartitionRebuild) -> Result<(), String> {
        let began = Instant::now();
        let mut fold = Box::new(self.begin(one).await?);
        info!(projection = %self.id.name, partition = %one.partition, "partition is rebuilt");
        while self.is_wanted(one) {
            self.tell(one, fold.position(), began);
            let target = self.generation.borrow().checkpoint.position;
            if !fold.is_near(target) {
                match fold.step(target).await {
                    Ok(()) => continue,
                    Err(StepError::Parked(event)) => {
                        return match self.hand_over(Handed::Fault(one.clone(), event.to_string())).await {
                            HandOver::Failed(reason) => Err(reason),
                            HandOver::Done | HandOver::Behind(_) => Ok(()),
                        };
                    }
                    Err(StepError::Failed(reason)) => return Err(reason),
                }
            }
            match self.hand_over(Handed::Fold(fold)).await {
                HandOver::Done => return Ok(()),
                HandOver::Behind(same) => fold = same,
                HandOver::Failed(reason) => return Err(reason),
            }
        }
        Ok(())
    }

    async fn begin(&self, one: &PartitionRebuild) -> Result<PartFold, String> {
        let upcasts = self.stands_on.upcasting.as_of(self.id.deployed).await;
        let part = Part {
            stands_on: self.stands_on.clone(),
            of: self.id.clone(),
            scratch: scratch_of(&self.id),
            partition: one.partition.clone(),
            definition: self.definition.clone(),
            upcasts: upcasts.map_err(|error| error.to_string())?,
        };
        PartFold::start(part, one.clone()).await.map_err(|error| error.to_string())
    }

    async fn hand_over(&self, what: Handed) -> HandOver {
        let gone = || HandOver::Failed("projection stops".into());
        let (reply, answer) = oneshot::channel();
        if self.actor.cast(Message::Replace { what, reply }).is_err() {
            return gone();
        }
        answer.await.unwrap_or_else(|_| gone())
    }

    fn tell(&self, one: &PartitionRebuild, folded: Position, began: Instant) {
        let running = PartitionFolding { at: one.at, folded, took: began.elapsed() };
        self.progress.send_modify(|progress| progress.running = Some(running));
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{PartitionKey, Timestamp};

    use super::*;

    #[test]
    fn each_is_done_once_and_in_order() {
        let one = |at| {
            let partition = PartitionKey::new(format!("p{at}")).unwrap();
            PartitionRebuild { at: LogIndex(at), partition, asked_at: Timestamp(0), cancelled: false }
        };
        let wanted = [one(3), one(5), one(9)];
        for (ended, next) in
            [(None, Some(3)), (Some(3), Some(5)), (Some(4), Some(5)), (Some(9), None), (Some(12), None)]
        {
            let end = |at| PartitionRebuildEnd { at: LogIndex(at), position: Position(1), failure: None };
            let progress = PartitionProgress { ended: ended.map(end), running: None };
            assert_eq!(progress.next(&wanted).map(|one| one.at.0), next, "{ended:?}");
        }
    }
}
