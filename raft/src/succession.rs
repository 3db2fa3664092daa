//! A leader whose process has ended is missed by its connection, not by its silence.
//!
//! Followers keep to a leader for as long as its lease lasts, and stand for
//! election later still: seconds. But a process that ends takes its connections
//! with it and leaves a port that refuses new ones. Who sees both gives up the
//! lease and asks for a pre-vote, one follower after the other, so that they do
//! not split the vote. Where the leader lives after all, whoever still hears it
//! refuses.
//!
//! Raft elects safely at any time; a lease only keeps elections rare. Nothing
//! here reads by the lease: reads ask a quorum.

use std::{io, sync::Arc, time::Duration};

use openraft::{async_runtime::WatchReceiver, raft::TransferLeaderRequest};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use weir_types::NodeId;

use crate::{
    network::Links,
    types::{Raft, RaftVote},
};

/// Connections that ended and were not looked at yet; more are left to the clock.
const ENDED_MAX: usize = 64;
/// How long the dead node's port may take to refuse.
const REFUSAL_WAIT: Duration = Duration::from_millis(200);
/// How often, and how long after one another, a port that still answers is tried.
const LOOKS: u32 = 8;
const LOOK_PAUSE: Duration = Duration::from_millis(25);
/// Until the others have seen it too; after that, how long each waits for those before it.
const TURN: Duration = Duration::from_millis(100);
/// How often each asks before it leaves the rest to the clock.
const ROUNDS: u32 = 3;

/// Where it is said whose connection ended. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ended(mpsc::Sender<NodeId>);

impl Ended {
    /// The connection from `peer` ended, whoever ended it.
    pub(crate) fn note(&self, peer: NodeId) {
        if self.0.try_send(peer).is_err() {
            debug!(peer = peer.0, "end of a connection is not looked at");
        }
    }
}

/// Starts to watch over the leader, until `stop`.
pub(crate) fn watch(raft: Raft, links: Arc<Links>, stop: CancellationToken) -> Ended {
    let (note, mut ended) = mpsc::channel(ENDED_MAX);
    tokio::spawn(async move {
        let succession = Succession { raft, links };
        loop {
            let peer = tokio::select! {
                peer = ended.recv() => peer,
                () = stop.cancelled() => None,
            };
            let Some(peer) = peer else { return };
            tokio::select! {
                () = succession.consider(peer) => {}
                () = stop.cancelled() => return,
            }
        }
    });
    Ended(note)
}

struct Succession {
    raft: Raft,
    links: Arc<Links>,
}

/// A leader that this node follows, as a voter.
struct Followed {
    vote: RaftVote,
    address: String,
    /// Voters that stand before this one.
    before: u32,
    voters: u32,
}

impl Succession {
    /// Calls an election if `peer` led and its process has ended.
    async fn consider(&self, peer: NodeId) {
        let Some(followed) = self.followed(peer) else { return };
        if !self.refuses(&followed.address).await {
            return;
        }
        info!(
            node_id = self.raft.node_id(),
            leader = peer.0,
            "leader's process has ended; its succession begins"
        );
        // Handing over to the leader itself stands for nobody: all that is left of it is the end of the lease.
        let end_of_lease = TransferLeaderRequest::new(followed.vote, peer.0, None);
        if self.raft.handle_transfer_leader(end_of_lease).await.is_err() {
            return;
        }
        sleep(TURN * (followed.before + 1)).await;
        for _ in 0..ROUNDS {
            let followed_still = self.followed(peer).is_some_and(|now| now.vote == followed.vote);
            if !followed_still || self.raft.trigger().elect(true).await.is_err() {
                return;
            }
            sleep(TURN * followed.voters).await;
        }
    }

    fn followed(&self, peer: NodeId) -> Option<Followed> {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        let voters: Vec<u64> = server.membership_config.voter_ids().filter(|id| *id != peer.0).collect();
        let leads = server.current_leader == Some(peer.0) && server.id != peer.0;
        if !leads || !voters.contains(&server.id) {
            return None;
        }
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Some(Followed {
            vote: server.vote,
            address: server.membership_config.get_node(&peer.0)?.peer.clone(),
            before: count(voters.iter().filter(|id| **id < server.id).count()),
            voters: count(voters.len()),
        })
    }

    /// Whether nobody listens there any more. A node that cannot be reached may live.
    async fn refuses(&self, address: &str) -> bool {
        // A process that ends may close its connections some time before its port.
        for _ in 0..LOOKS {
            let dialled = timeout(REFUSAL_WAIT, self.links.myself().dialer.dial(address)).await;
            match dialled {
                Ok(Ok(_)) => sleep(LOOK_PAUSE).await,
                Ok(Err(error)) => return error.kind() == io::ErrorKind::ConnectionRefused,
                Err(_) => return false,
            }
        }
        false
    }
}
