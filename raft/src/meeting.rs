//! The members of a cluster that is to begin meet once, so that the first
//! membership says with which data folder each of them takes part.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, sleep, timeout_at};
use weir_types::{Incarnation, LogIndex, NodeId};

use crate::{
    membership::MembershipError,
    network::{ConnectError, Myself, probe},
    types::PeerNode,
};

/// How long those that are needed may take to come.
const NEEDED_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the rest may take, once those have come.
const REST_WAIT_MAX: Duration = Duration::from_secs(1);
const PROBE_WAIT_MAX: Duration = Duration::from_secs(1);
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// How many of its members must be there when a cluster begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Founders {
    /// All. Who lost its folder cannot know that its cluster has begun, only those that kept theirs do: a
    /// cluster that begins by itself asks each of them.
    All,
    /// More than half, where a person says that the cluster has not begun.
    Majority,
}

impl Founders {
    fn needed(self, members: usize) -> usize {
        match self {
            Self::All => members,
            Self::Majority => members / 2 + 1,
        }
    }
}

/// The incarnations of the members that were met, this node's own among them: of
/// all that come in time, and of those that are needed at least. The others are recorded
/// when the leader meets them, and count for nothing before.
///
/// # Errors
/// [`MembershipError::AlreadyInitialized`] when a member holds a log, `Refused`, `TooFew`, `NotIncluded`.
pub(crate) async fn meet(
    myself: &Myself,
    members: &BTreeMap<NodeId, PeerNode>,
    founders: Founders,
) -> Result<BTreeMap<NodeId, Incarnation>, MembershipError> {
    if !members.contains_key(&myself.node) {
        return Err(MembershipError::NotIncluded { node: myself.node });
    }
    let mut met = BTreeMap::from([(myself.node, myself.incarnation)]);
    let needed = founders.needed(members.len());
    let others = members.iter().filter(|(node, _)| **node != myself.node);
    let mut coming: FuturesUnordered<_> =
        others.map(|(node, peer)| come(myself, (*node, &peer.peer))).collect();
    let mut deadline = Instant::now() + NEEDED_WAIT_MAX;
    while let Ok(Some(came)) = timeout_at(deadline, coming.next()).await {
        let (node, incarnation) = came?;
        met.insert(node, incarnation);
        if met.len() == needed {
            deadline = Instant::now() + REST_WAIT_MAX;
        }
    }
    if met.len() < needed {
        return Err(MembershipError::TooFew { met: met.len(), members: members.len(), needed });
    }
    Ok(met)
}

/// Waits for one member.
async fn come(
    myself: &Myself,
    (node, address): (NodeId, &str),
) -> Result<(NodeId, Incarnation), MembershipError> {
    loop {
        match probe(myself, (node, address), PROBE_WAIT_MAX).await {
            Ok(hello) if hello.held > LogIndex::ZERO => return Err(MembershipError::AlreadyInitialized),
            Ok(hello) => return Ok((node, hello.incarnation)),
            Err(ConnectError::Refused { reason }) => return Err(MembershipError::Refused { node, reason }),
            Err(_) => sleep(PROBE_PAUSE).await,
        }
    }
}
