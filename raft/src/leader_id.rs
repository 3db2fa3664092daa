//! Who a vote is for: one leader per term, as in Raft (ADR 0037).
//!
//! openraft asks for two ids. A vote's is ordered in part: two nodes of one term
//! compare with each other in no way, so who granted a vote to one grants none to
//! the other before the next term. A log id's is that of a leader whom a quorum
//! elected; it names its node beside the term, for `decided_by` and for whoever
//! reads a log, and is ordered wholly.

use std::{cmp::Ordering, fmt};

use openraft::{
    impls::leader_id_adv,
    vote::{LeaderIdCompare, RaftLeaderId},
};

/// The leader that made a log entry.
pub(crate) type CommittedLeaderId = leader_id_adv::LeaderId<u64, u64>;

/// Whom a vote is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderId {
    /// In which term.
    pub term: u64,
    /// Which node.
    pub node_id: u64,
}

impl PartialOrd for LeaderId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        LeaderIdCompare::std(self, other)
    }
}

impl PartialEq<CommittedLeaderId> for LeaderId {
    fn eq(&self, _: &CommittedLeaderId) -> bool {
        false
    }
}

/// In one term, who was elected comes after whoever stood.
impl PartialOrd<CommittedLeaderId> for LeaderId {
    fn partial_cmp(&self, elected: &CommittedLeaderId) -> Option<Ordering> {
        Some(self.term.cmp(&elected.term).then(Ordering::Less))
    }
}

impl RaftLeaderId for LeaderId {
    type Term = u64;
    type NodeId = u64;
    type Committed = CommittedLeaderId;

    fn new(term: u64, node_id: u64) -> Self {
        Self { term, node_id }
    }

    fn term(&self) -> u64 {
        self.term
    }

    fn node_id(&self) -> &u64 {
        &self.node_id
    }

    fn to_committed(&self) -> CommittedLeaderId {
        CommittedLeaderId { term: self.term, node_id: self.node_id }
    }
}

impl fmt::Display for LeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "T{}-N{}", self.term, self.node_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stands(term: u64, node_id: u64) -> LeaderId {
        LeaderId { term, node_id }
    }

    #[test]
    fn a_term_elects_one_leader() {
        assert_eq!(stands(3, 1).partial_cmp(&stands(3, 3)), None, "a vote for 1 is none for 3");
        assert_eq!(stands(3, 3).partial_cmp(&stands(3, 1)), None);
        assert_eq!(stands(3, 1).partial_cmp(&stands(3, 1)), Some(Ordering::Equal));
        assert_eq!(stands(4, 1).partial_cmp(&stands(3, 3)), Some(Ordering::Greater));
        assert_eq!(stands(3, 3).partial_cmp(&stands(4, 1)), Some(Ordering::Less));
    }

    #[test]
    fn who_was_elected_comes_after_who_stood() {
        let elected = stands(3, 1).to_committed();
        assert_eq!(stands(3, 3).partial_cmp(&elected), Some(Ordering::Less));
        assert_eq!(stands(4, 3).partial_cmp(&elected), Some(Ordering::Greater));
        assert_eq!(stands(2, 3).partial_cmp(&elected), Some(Ordering::Less));
    }
}
