//! A node asks its peers how it stands with them, and for its seat.
//!
//! It runs before Raft does, or beside it while no leader is heard, and changes
//! nothing here: whoever calls it opens the folder under the id that is answered.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::join_all;
use tokio::time::timeout;
use weir_types::{ClusterId, GroupId, Incarnation, NodeId};

use crate::{
    network::{ANYBODY, JoinAnswer, JoinRequest, Myself, TcpDialer, visit},
    types::PeerNode,
};

/// How long one peer may take. A leader may have to wait for its quorum.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Who asks whom.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The cluster.
    pub cluster: ClusterId,
    /// A checksum of the settings that must be equal on all nodes.
    pub config_checksum: u64,
    /// The configured id.
    pub seat: NodeId,
    /// The incarnation of the folder that asks; none when there is no folder to come with yet.
    pub incarnation: Option<Incarnation>,
    /// Where others reach the node.
    pub own: PeerNode,
    /// Where the peers are, `host:port` each.
    pub peers: BTreeSet<String>,
}

/// How a node stands with its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The folder is a member's, under this id.
    Member(NodeId),
    /// It takes part as it is configured: the cluster has no such seat, or waits for its first folder.
    Open,
    /// Another folder has the seat, and a new one would be admitted now.
    Free,
    /// Another folder has the seat, and now is not the time.
    Later(String),
    /// Another folder has the seat, and a process still answers with it, at this address.
    Taken {
        /// The id that the process has.
        node: NodeId,
        /// Where it is.
        address: String,
    },
    /// There is a cluster, and no leader of it answers.
    NoLeader,
    /// No peer that answers is in a cluster.
    NoCluster,
}

/// Asks how a folder stands, and with `wants` to be admitted if its seat is free. Repeating it changes nothing.
pub async fn ask_for_seat(options: &JoinOptions, wants: bool) -> Standing {
    let mut asked: BTreeSet<String> = options.peers.clone();
    let mut next = asked.clone();
    let mut in_cluster = false;
    while !next.is_empty() {
        let answers = join_all(next.iter().map(|address| ask(options, address, wants))).await;
        next.clear();
        for answer in answers.into_iter().flatten() {
            match answer {
                JoinAnswer::Elsewhere { in_cluster: peer_is, leader } => {
                    in_cluster |= peer_is;
                    next.extend(leader.filter(|address| asked.insert(address.clone())));
                }
                JoinAnswer::Member(node) => return Standing::Member(node),
                JoinAnswer::Open => return Standing::Open,
                JoinAnswer::Free => return Standing::Free,
                JoinAnswer::Later(reason) => return Standing::Later(reason),
                JoinAnswer::Taken { node, address } => return Standing::Taken { node, address },
            }
        }
    }
    if in_cluster { Standing::NoLeader } else { Standing::NoCluster }
}

async fn ask(options: &JoinOptions, address: &str, wants: bool) -> Option<JoinAnswer> {
    let JoinOptions { cluster, seat, incarnation, ref own, config_checksum: config, .. } = *options;
    // A folder that lost its seat is refused where it says its name.
    let nobody = Incarnation(uuid::Uuid::nil());
    let myself = Myself {
        cluster,
        node: ANYBODY,
        incarnation: nobody,
        config,
        silence_max: ANSWER_WAIT_MAX,
        dialer: Arc::new(TcpDialer),
    };
    let request = JoinRequest { wants, seat, incarnation, peer: own.peer.clone(), edge: own.edge.clone() };
    let asking = visit::join(&myself, address, GroupId::DEFAULT, &request);
    match timeout(ANSWER_WAIT_MAX, asking).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(reason)) => {
            tracing::debug!(seat = seat.0, address, reason, "peer says nothing of the seat");
            None
        }
        Err(_) => None,
    }
}
