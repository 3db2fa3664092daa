//! What a leader answers a node that asks for its seat, and what it does about
//! seats that have two holders. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use openraft::ChangeMembers;
use weir_types::{Incarnation, LogIndex, NodeId};

use crate::{
    admission::Admitted,
    membership::PROMOTE_LAG_MAX,
    network::JoinAnswer,
    types::{PeerNode, RaftMembership},
};

/// Folders that one leader admits within [`ADMISSIONS_PERIOD`]: more mean that something goes on wiping them,
/// and each costs entries in a log that only grows.
pub(super) const ADMISSIONS_MAX: usize = 12;
pub(super) const ADMISSIONS_PERIOD: Duration = Duration::from_secs(600);

/// What a leader knows.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) me: u64,
    pub(super) membership: RaftMembership,
    /// Whether that membership is committed.
    pub(super) settled: bool,
    /// How long ago each member answered, of those that did since this node leads.
    pub(super) silent: BTreeMap<u64, Duration>,
    /// How many entries each member lacks, as far as is known.
    pub(super) lag: BTreeMap<u64, u64>,
    pub(super) led_for: Duration,
    /// For how long the membership has been half-way between two, as far as this leader knows.
    pub(super) joint_for: Option<Duration>,
    /// How long a change of the membership may take.
    pub(super) change_max: Duration,
    /// The longest silence of a member that counts as healthy.
    pub(super) silent_max: Duration,
    /// Where the log goes on.
    pub(super) next: LogIndex,
    /// Folders admitted within the last [`ADMISSIONS_PERIOD`].
    pub(super) admissions: usize,
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Answer(JoinAnswer),
    /// The folder may have the seat under this id.
    Admit(NodeId),
}

impl View {
    fn holders(&self, seat: NodeId) -> impl Iterator<Item = (u64, &PeerNode)> {
        let nodes = self.membership.nodes().map(|(node, peer)| (*node, peer));
        nodes.filter(move |(node, _)| NodeId(*node).seat() == seat)
    }

    fn is_heard(&self, node: u64) -> bool {
        node == self.me || self.silent.get(&node).is_some_and(|silent| *silent <= self.silent_max)
    }

    fn has_quorum(&self, voters: &BTreeSet<u64>) -> bool {
        voters.iter().filter(|voter| self.is_heard(**voter)).count() > voters.len() / 2
    }

    /// What a folder that asks for a seat is told.
    pub(super) fn judge(&self, seat: NodeId, incarnation: Option<Incarnation>) -> Verdict {
        let own = |peer: &PeerNode| incarnation.is_some_and(|own| peer.admitted == Admitted::Only(own));
        if let Some((node, _)) = self.holders(seat).find(|(_, peer)| own(peer)) {
            return Verdict::Answer(match self.settled {
                true => JoinAnswer::Member(NodeId(node)),
                false => later("its admission is not committed yet"),
            });
        }
        let replaced = |peer: &PeerNode| matches!(peer.admitted, Admitted::Only(_));
        if !self.holders(seat).all(|(_, peer)| replaced(peer)) || self.holders(seat).next().is_none() {
            return Verdict::Answer(JoinAnswer::Open);
        }
        if let Some((node, peer)) = self.holders(seat).find(|(node, _)| self.is_heard(*node)) {
            let (node, address) = (NodeId(node), peer.peer.clone());
            return Verdict::Answer(JoinAnswer::Taken { node, address });
        }
        match self.objection(seat) {
            Some(reason) => Verdict::Answer(later(reason)),
            None => match NodeId::seated(seat, self.next) {
                Some(node) => Verdict::Admit(node),
                None => Verdict::Answer(later("there are no more ids")),
            },
        }
    }

    /// Why nobody is admitted now.
    fn objection(&self, seat: NodeId) -> Option<String> {
        if self.led_for <= self.silent_max {
            return Some("the leader has not led long enough to know who is silent".into());
        }
        if !self.settled || self.membership.get_joint_config().len() != 1 {
            return Some("another change of the membership is under way".into());
        }
        if !self.membership.get_joint_config().iter().all(|voters| self.has_quorum(voters)) {
            return Some("no majority of the voters is healthy".into());
        }
        let joining = |(node, _): &(u64, &PeerNode)| {
            let other = NodeId(*node).seat();
            let is_joining = *node != other.0 && self.holders(other).count() > 1;
            other != seat && is_joining && self.is_heard(*node)
        };
        let mut nodes = self.membership.nodes().map(|(node, peer)| (*node, peer));
        if let Some((node, _)) = nodes.find(joining) {
            return Some(format!("node {node} is taking its seat"));
        }
        (self.admissions >= ADMISSIONS_MAX).then(|| {
            format!(
                "{} folders were admitted within {ADMISSIONS_PERIOD:?}: something wipes them",
                self.admissions
            )
        })
    }

    /// Whether some seat has two holders, or a change of the membership is half-way.
    pub(super) fn is_unfinished(&self) -> bool {
        self.joint_for.is_some() || self.has_twice()
    }

    fn has_twice(&self) -> bool {
        self.membership.nodes().any(|(node, _)| self.holders(NodeId(*node).seat()).count() > 1)
    }

    /// The next step towards one holder per seat, the newest, if one can be made now. A change that nobody carries
    /// on, because its leader fell half-way, is ended first.
    pub(super) fn step(&self) -> Option<ChangeMembers<u64, PeerNode>> {
        if !self.settled || self.led_for <= self.silent_max {
            return None;
        }
        if let Some(joint_for) = self.joint_for {
            return (joint_for > self.change_max).then(|| ChangeMembers::AddVoterIds(BTreeSet::new()));
        }
        let seats: BTreeSet<NodeId> = self.membership.nodes().map(|(node, _)| NodeId(*node).seat()).collect();
        seats.into_iter().find_map(|seat| self.step_of(seat))
    }

    fn step_of(&self, seat: NodeId) -> Option<ChangeMembers<u64, PeerNode>> {
        let mut older: BTreeSet<u64> = self.holders(seat).map(|(node, _)| node).collect();
        let newest = older.pop_last()?;
        if older.is_empty() {
            return None;
        }
        let voters: BTreeSet<u64> = self.membership.voter_ids().collect();
        let came_back = older.iter().any(|node| self.is_heard(*node));
        if !self.is_heard(newest) || came_back {
            let gives_way = came_back && !self.is_heard(newest) && !voters.contains(&newest);
            return gives_way.then(|| ChangeMembers::RemoveNodes(BTreeSet::from([newest])));
        }
        let voting: BTreeSet<u64> = older.intersection(&voters).copied().collect();
        if voting.is_empty() {
            return Some(ChangeMembers::RemoveNodes(older));
        }
        let caught_up = self.lag.get(&newest).is_some_and(|lag| *lag <= PROMOTE_LAG_MAX);
        let mut then: BTreeSet<u64> = voters.difference(&voting).copied().collect();
        then.insert(newest);
        // In one change: between two, a group of four would need three.
        let swap =
            vec![ChangeMembers::AddVoterIds(BTreeSet::from([newest])), ChangeMembers::RemoveVoters(voting)];
        (caught_up && self.has_quorum(&then)).then_some(ChangeMembers::Batch(swap))
    }
}

fn later(reason: impl Into<String>) -> JoinAnswer {
    JoinAnswer::Later(reason.into())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const NEW: u64 = 57_000_003;
    const SEAT: NodeId = NodeId(3);

    fn folder(number: u128) -> Incarnation {
        Incarnation(Uuid::from_u128(number))
    }

    /// Node 1 leads 1, 2 and 3; 3 is silent. `learners` follow too.
    fn view(learners: &[u64]) -> View {
        let peer = |node: u64| PeerNode {
            admitted: Admitted::Only(folder(node.into())),
            ..PeerNode::at(format!("n{node}:9124"), format!("n{node}:9123"))
        };
        let nodes: BTreeMap<_, _> =
            [1, 2, 3].iter().chain(learners).map(|node| (*node, peer(*node))).collect();
        let second = Duration::from_secs(1);
        View {
            me: 1,
            membership: RaftMembership::new(vec![BTreeSet::from([1, 2, 3])], nodes).unwrap(),
            settled: true,
            silent: [2].iter().chain(learners).map(|node| (*node, second)).collect(),
            lag: learners.iter().map(|node| (*node, 0)).collect(),
            led_for: second * 60,
            joint_for: None,
            change_max: second * 10,
            silent_max: second * 4,
            next: LogIndex(57),
            admissions: 0,
        }
    }

    fn with<T>(mut view: View, change: impl FnOnce(&mut View) -> T) -> View {
        change(&mut view);
        view
    }

    fn admitted_as(view: View, node: u64, admitted: Admitted) -> View {
        let change = |view: &mut View| {
            let mut nodes: BTreeMap<_, _> =
                view.membership.nodes().map(|(id, peer)| (*id, peer.clone())).collect();
            nodes.get_mut(&node).unwrap().admitted = admitted;
            view.membership = RaftMembership::new(view.membership.get_joint_config().clone(), nodes).unwrap();
        };
        with(view, change)
    }

    #[test]
    fn a_folder_that_lost_its_seat_is_admitted_under_a_new_id() {
        assert_eq!(view(&[]).judge(SEAT, Some(folder(9))), Verdict::Admit(NodeId(NEW)));
        assert_eq!(view(&[]).judge(SEAT, None), Verdict::Admit(NodeId(NEW)));
    }

    #[test]
    fn a_folder_that_is_a_members_is_told_which_and_only_when_that_is_committed() {
        let found = view(&[NEW]).judge(SEAT, Some(folder(NEW.into())));
        assert_eq!(found, Verdict::Answer(JoinAnswer::Member(NodeId(NEW))));
        let unsettled = with(view(&[NEW]), |view| view.settled = false);
        let found = unsettled.judge(SEAT, Some(folder(NEW.into())));
        assert!(matches!(found, Verdict::Answer(JoinAnswer::Later(_))), "{found:?}");
    }

    #[test]
    fn a_seat_that_nobody_had_or_that_waits_for_its_first_folder_is_open() {
        let open = Verdict::Answer(JoinAnswer::Open);
        assert_eq!(view(&[]).judge(NodeId(4), Some(folder(9))), open);
        for admitted in [Admitted::Awaited, Admitted::Any] {
            assert_eq!(admitted_as(view(&[]), 3, admitted).judge(SEAT, Some(folder(9))), open);
        }
    }

    #[test]
    fn a_seat_whose_holder_still_answers_is_taken() {
        let heard = with(view(&[]), |view| view.silent.insert(3, Duration::from_secs(1)));
        let taken = JoinAnswer::Taken { node: SEAT, address: "n3:9124".into() };
        assert_eq!(heard.judge(SEAT, Some(folder(9))), Verdict::Answer(taken));
        // The leader is heard, by itself.
        let found = view(&[]).judge(NodeId(1), Some(folder(9)));
        assert!(matches!(found, Verdict::Answer(JoinAnswer::Taken { .. })), "{found:?}");
    }

    #[test]
    fn nobody_is_admitted_at_a_bad_time() {
        for (what, bad) in [
            ("a new leader", with(view(&[]), |view| view.led_for = Duration::from_secs(3))),
            ("a change under way", with(view(&[]), |view| view.settled = false)),
            ("no healthy majority", with(view(&[]), |view| view.silent.clear())),
            ("another one is joining", view(&[50_000_002])),
            ("too many", with(view(&[]), |view| view.admissions = ADMISSIONS_MAX)),
        ] {
            let found = bad.judge(SEAT, Some(folder(9)));
            assert!(matches!(found, Verdict::Answer(JoinAnswer::Later(_))), "{what}: {found:?}");
        }
        // One that is joining and gone holds up nobody.
        let gone = with(view(&[50_000_002]), |view| view.silent.remove(&50_000_002));
        assert_eq!(gone.judge(SEAT, Some(folder(9))), Verdict::Admit(NodeId(NEW)));
    }

    #[test]
    fn who_caught_up_takes_the_place_of_the_older_holder_in_one_change() {
        let swap = ChangeMembers::Batch(vec![
            ChangeMembers::AddVoterIds(BTreeSet::from([NEW])),
            ChangeMembers::RemoveVoters(BTreeSet::from([3])),
        ]);
        assert_eq!(view(&[NEW]).step(), Some(swap));
        assert_eq!(view(&[]).step(), None);
        for (what, early) in [
            ("it lags", with(view(&[NEW]), |view| view.lag.insert(NEW, PROMOTE_LAG_MAX + 1))),
            ("its lag is not known", with(view(&[NEW]), |view| view.lag.clear())),
            ("it is not heard", with(view(&[NEW]), |view| view.silent.remove(&NEW))),
            ("a change is under way", with(view(&[NEW]), |view| view.settled = false)),
            ("a new leader", with(view(&[NEW]), |view| view.led_for = Duration::from_secs(3))),
        ] {
            assert_eq!(early.step(), None, "{what}");
        }
    }

    #[test]
    fn an_older_holder_that_comes_back_keeps_its_seat() {
        let back = with(view(&[NEW]), |view| view.silent.insert(3, Duration::from_secs(1)));
        assert_eq!(back.step(), None, "both are heard: a person must look");
        let back = with(back, |view| view.silent.remove(&NEW));
        assert_eq!(back.step(), Some(ChangeMembers::RemoveNodes(BTreeSet::from([NEW]))));
    }

    /// Found by reading: openraft ends a change in two steps, and the second one dies with the leader.
    #[test]
    fn a_change_that_was_left_half_way_is_ended() {
        let half = |joint_for| with(view(&[]), |view| view.joint_for = Some(Duration::from_secs(joint_for)));
        assert!(half(11).is_unfinished());
        assert_eq!(half(11).step(), Some(ChangeMembers::AddVoterIds(BTreeSet::new())));
        assert_eq!(half(9).step(), None, "whoever began it may be about to end it");
        assert_eq!(with(half(11), |view| view.settled = false).step(), None);
    }

    #[test]
    fn older_holders_without_a_vote_are_removed() {
        let older = 40_000_003;
        let twice = with(view(&[older, NEW]), |view| {
            view.silent.remove(&older);
            let nodes = view.membership.nodes().filter(|(node, _)| **node != 3);
            let nodes: BTreeMap<_, _> = nodes.map(|(node, peer)| (*node, peer.clone())).collect();
            view.membership = RaftMembership::new(vec![BTreeSet::from([1, 2, NEW])], nodes).unwrap();
        });
        assert!(twice.is_unfinished());
        assert_eq!(twice.step(), Some(ChangeMembers::RemoveNodes(BTreeSet::from([older]))));
    }
}
