//! Which data folder a member takes part with.
//!
//! A node whose folder was wiped or replaced has forgotten what it acknowledged
//! and for whom it voted. So the membership says with which incarnation of its
//! folder a node was admitted, and every node holds every other to it, on the
//! connections that it makes and on those that it takes:
//!
//! * counted(n) ⇒ admitted(n) = Only(incarnation(n)). What a node answers counts,
//!   towards a quorum or an election, only on a connection to the folder that the
//!   asking node's membership names.
//! * admitted(n) never goes from Only(a) to Only(b): the id is given up instead.

mod record;

use std::collections::BTreeMap;

use tokio::sync::watch;
use weir_types::{Incarnation, NodeId};

pub(crate) use self::record::record;
use crate::types::RaftStoredMembership;

/// Under which incarnation of its data folder a member takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Admitted {
    /// None yet. It gets no entries and counts for nothing until the leader has
    /// met it and its incarnation is in the membership.
    #[default]
    Awaited,
    /// Any: it was admitted by a version that kept no incarnations. The leader
    /// records the first that it meets.
    Any,
    /// This one only, for ever.
    Only(Incarnation),
}

/// Why a node does not take part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAdmitted {
    #[error("node {node} is no member, as far as this node knows")]
    NoMember { node: NodeId },
    #[error("node {node} is a member whose data folder is not recorded yet")]
    Awaited { node: NodeId },
    #[error(
        "node {node} has the data folder {found}, and is a member with the data folder {admitted}: its folder \
         was wiped or replaced, and with it what it had acknowledged; remove node {node}, and add it again \
         under a new node id with an empty data folder"
    )]
    Replaced { node: NodeId, found: Incarnation, admitted: Incarnation },
}

impl NotAdmitted {
    /// Whether it passes by itself, as soon as the membership says more.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::NoMember { .. } | Self::Awaited { .. })
    }
}

type Known = BTreeMap<NodeId, Admitted>;

/// What this node's membership says of its members, and which of them it has met.
pub(crate) struct Admissions {
    known: watch::Sender<Known>,
    met: watch::Sender<BTreeMap<NodeId, Incarnation>>,
}

impl Admissions {
    /// Nobody is a member yet, and this node has met itself.
    pub(crate) fn new(node: NodeId, own: Incarnation) -> Self {
        let met = BTreeMap::from([(node, own)]);
        Self { known: watch::Sender::new(Known::new()), met: watch::Sender::new(met) }
    }

    /// Takes over what the newest membership says.
    pub(crate) fn learn(&self, membership: &RaftStoredMembership) {
        let known = membership.nodes().map(|(node, peer)| (NodeId(*node), peer.admitted)).collect();
        self.known.send_if_modified(|current| {
            let changed = *current != known;
            *current = known;
            changed
        });
    }

    /// A receiver of every change of the members.
    pub(crate) fn changes(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// The incarnation that the cluster knows a member by.
    pub(crate) fn recorded(&self, node: NodeId) -> Option<Incarnation> {
        match self.known.borrow().get(&node) {
            Some(Admitted::Only(incarnation)) => Some(*incarnation),
            Some(Admitted::Awaited | Admitted::Any) | None => None,
        }
    }

    /// Whether what a peer answers with this folder counts. The peer is noted as met.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub(crate) fn check_answering(&self, node: NodeId, found: Incarnation) -> Result<(), NotAdmitted> {
        self.met.send_if_modified(|met| met.insert(node, found) != Some(found));
        match self.known.borrow().get(&node) {
            None => Err(NotAdmitted::NoMember { node }),
            Some(Admitted::Awaited) => Err(NotAdmitted::Awaited { node }),
            Some(Admitted::Any) => Ok(()),
            Some(Admitted::Only(admitted)) => check(node, found, *admitted),
        }
    }

    /// Whether a peer may ask with this folder. One that this node does not know
    /// yet may: who asks as a leader or a candidate holds a membership that names
    /// it, and this node may only be behind.
    ///
    /// # Errors
    /// [`NotAdmitted::Replaced`].
    pub(crate) fn check_asking(&self, node: NodeId, found: Incarnation) -> Result<(), NotAdmitted> {
        self.recorded(node).map_or(Ok(()), |admitted| check(node, found, admitted))
    }

    /// Resolves when a peer that asked with this folder may ask no more.
    pub(crate) async fn turned_away(&self, node: NodeId, found: Incarnation) {
        let mut changes = self.changes();
        while self.check_asking(node, found).is_ok() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Whether a node has the folder that it was admitted with.
///
/// # Errors
/// [`NotAdmitted::Replaced`].
pub(crate) fn check(node: NodeId, found: Incarnation, admitted: Incarnation) -> Result<(), NotAdmitted> {
    if found == admitted { Ok(()) } else { Err(NotAdmitted::Replaced { node, found, admitted }) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::types::{PeerNode, RaftMembership};

    fn folder(number: u128) -> Incarnation {
        Incarnation(Uuid::from_u128(number))
    }

    fn admissions(second: Option<Admitted>) -> Admissions {
        let admissions = Admissions::new(NodeId(1), folder(1));
        let peer = |admitted| PeerNode { admitted, ..PeerNode::default() };
        let mut nodes = BTreeMap::from([(1, peer(Admitted::Only(folder(1))))]);
        nodes.extend(second.map(|admitted| (2, peer(admitted))));
        let membership = RaftMembership::new(vec![BTreeSet::from([1])], nodes).unwrap();
        admissions.learn(&RaftStoredMembership::new(None, membership));
        admissions
    }

    #[test]
    fn what_counts_and_who_may_ask_is_what_the_membership_says() {
        let replaced = NotAdmitted::Replaced { node: NodeId(2), found: folder(2), admitted: folder(9) };
        for (admitted, answering, asking) in [
            (None, Err(NotAdmitted::NoMember { node: NodeId(2) }), Ok(())),
            (Some(Admitted::Awaited), Err(NotAdmitted::Awaited { node: NodeId(2) }), Ok(())),
            (Some(Admitted::Any), Ok(()), Ok(())),
            (Some(Admitted::Only(folder(2))), Ok(()), Ok(())),
            (Some(Admitted::Only(folder(9))), Err(replaced.clone()), Err(replaced)),
        ] {
            let known = admissions(admitted);
            assert_eq!(known.check_answering(NodeId(2), folder(2)), answering, "{admitted:?}");
            assert_eq!(known.check_asking(NodeId(2), folder(2)), asking, "{admitted:?}");
        }
    }

    #[tokio::test]
    async fn a_peer_is_turned_away_when_the_membership_names_another_folder() {
        let known = admissions(Some(Admitted::Awaited));
        let turned = known.turned_away(NodeId(2), folder(2));
        let learn = async { known.learn(&replacement()) };
        tokio::join!(turned, learn);
    }

    fn replacement() -> RaftStoredMembership {
        let peer = PeerNode { admitted: Admitted::Only(folder(9)), ..PeerNode::default() };
        let membership = RaftMembership::new(vec![BTreeSet::from([2])], BTreeMap::from([(2, peer)])).unwrap();
        RaftStoredMembership::new(None, membership)
    }
}
