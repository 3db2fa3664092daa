//! Rounds of the read index. Reads that wait when a round begins share it.

use std::{sync::Arc, time::Duration};

use openraft::ReadPolicy;
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};
use weir_types::{GroupId, LogIndex, NodeId, ReadError, ports::Leadership};

use crate::{
    leadership::GroupLeadership,
    network::Links,
    types::{self, Raft},
};

/// Rounds under way at once.
const ROUNDS_MAX: usize = 4;
/// Reads that may wait for a round.
const WAITING_MAX: usize = 64 * 1024;
/// After a refusal, how long until the leader is asked again.
const RETRY_WAIT: Duration = Duration::from_millis(50);

type Confirmed = Result<LogIndex, ReadError>;

/// Shares rounds between reads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ReadRounds {
    asking: mpsc::Sender<oneshot::Sender<Confirmed>>,
}

impl ReadRounds {
    /// Starts to share; it ends when all clones are dropped.
    pub(crate) fn start(
        raft: Raft,
        links: Arc<Links>,
        group: GroupId,
        leadership: GroupLeadership,
        wait_max: Duration,
    ) -> Self {
        let (asking, asked) = mpsc::channel(WAITING_MAX);
        let round = Arc::new(Round { raft, links, group, leadership, wait_max });
        tokio::spawn(share(round, asked));
        Self { asking }
    }

    /// The entry that a read which begins now must have applied.
    ///
    /// # Errors
    /// `Unavailable` when no leader confirmed its leadership in time.
    pub(crate) async fn confirm(&self) -> Confirmed {
        let (answer, confirmed) = oneshot::channel();
        let stopping = || ReadError::Unavailable { reason: "node is stopping".into() };
        match self.asking.try_send(answer) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(ReadError::Unavailable { reason: "too many reads wait for the leader".into() });
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(stopping()),
        }
        confirmed.await.unwrap_or_else(|_| Err(stopping()))
    }
}

async fn share(round: Arc<Round>, mut asked: mpsc::Receiver<oneshot::Sender<Confirmed>>) {
    let room = Arc::new(Semaphore::new(ROUNDS_MAX));
    let mut waiting = Vec::new();
    while asked.recv_many(&mut waiting, WAITING_MAX).await > 0 {
        let permit = room.clone().acquire_owned().await.expect("the semaphore is never closed");
        // Whoever came while there was no room shares this round: it begins only now.
        while let Ok(more) = asked.try_recv() {
            waiting.push(more);
        }
        let (round, waiting) = (round.clone(), std::mem::take(&mut waiting));
        tokio::spawn(async move {
            let confirmed = round.run().await;
            for answer in waiting {
                // A reader that has gone needs no answer.
                let _ = answer.send(confirmed.clone());
            }
            drop(permit);
        });
    }
}

struct Round {
    raft: Raft,
    links: Arc<Links>,
    group: GroupId,
    leadership: GroupLeadership,
    wait_max: Duration,
}

impl Round {
    async fn run(&self) -> Confirmed {
        let deadline = Instant::now() + self.wait_max;
        let mut leadership = self.leadership.watch();
        loop {
            let reason = match timeout_at(deadline, self.ask_leader(&mut leadership, deadline)).await {
                Ok(Ok(index)) => return Ok(index),
                Ok(Err(reason)) => reason,
                Err(_) => "leader did not answer in time".to_owned(),
            };
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() {
                    return Err(ReadError::Unavailable { reason: "node is stopping".into() });
                },
                () = sleep(RETRY_WAIT) => {}
            }
            if Instant::now() >= deadline {
                return Err(ReadError::Unavailable { reason });
            }
        }
    }

    async fn ask_leader(
        &self,
        leadership: &mut watch::Receiver<Leadership>,
        deadline: Instant,
    ) -> Result<LogIndex, String> {
        let Some(leader) = leadership.borrow_and_update().leader else {
            return Err("none is known".into());
        };
        if leader.0 == *self.raft.node_id() {
            let confirmed = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await;
            return match confirmed {
                Ok((id, _)) => Ok(types::log_index(id.index())),
                Err(error) => Err(error.to_string()),
            };
        }
        let address = self.peer_address(leader).ok_or("leader is no member that this node knows")?;
        let wait_max = deadline.saturating_duration_since(Instant::now());
        let asked = self.links.read_index((leader, &address), self.group, wait_max).await;
        asked.map_err(|error| error.to_string())
    }

    fn peer_address(&self, node: NodeId) -> Option<String> {
        types::peer_of(&self.raft, node).map(|peer| peer.peer)
    }
}
