//! Nodes whose folder was lost take their seat again, under a new id.
//!
//! * A folder is admitted under an id that no other ever had, as a learner.
//! * When it has caught up it gets the vote of the seat's older holder, in the
//!   change that removes that one: the quorum is never larger than before.
//! * Each step rests on the membership alone: whoever leads goes on with it.
//! * Only a leader that a quorum confirms answers, and only about a seat whose
//!   holders it has not heard for longer than a leader may be silent.

mod decide;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use openraft::{ChangeMembers, Instant as _, ReadPolicy, async_runtime::WatchReceiver};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_types::NodeId;

use self::decide::{ADMISSIONS_PERIOD, Verdict, View};
use crate::{
    admission::Admitted,
    member_change,
    network::{JoinAnswer, JoinRequest},
    timing::RaftTiming,
    types::{self, PeerNode, Raft, RaftStoredMembership},
};

/// Between two looks at seats that have two holders.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// The seats of one group, as its leader keeps them.
pub(crate) struct Seats {
    raft: Raft,
    timing: RaftTiming,
    known: Mutex<Known>,
    /// One admission at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// The term in which this node leads, and since when.
    led: Option<(u64, Instant)>,
    /// The membership that is half-way between two, by the index of its entry, and since when.
    joint: Option<(u64, Instant)>,
    /// When folders were admitted.
    admitted: VecDeque<Instant>,
}

impl Seats {
    pub(crate) fn new(raft: Raft, timing: RaftTiming) -> Arc<Self> {
        Arc::new(Self { raft, timing, known: Mutex::default(), turn: tokio::sync::Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics while it holds this lock")
    }

    /// What this node knows, if it leads.
    fn view(&self) -> Option<View> {
        let now = self.raft.metrics().borrow_watched().clone();
        if !now.state.is_leader() {
            self.known().led = None;
            return None;
        }
        let (led_for, admissions) = self.note(now.current_term);
        let joint_for = self.note_joint(&now.membership_config);
        let next = now.last_log_index.map_or(0, |last| last + 1);
        let heard = now.heartbeat.iter().flatten();
        let replication = now.replication.iter().flatten();
        Some(View {
            me: now.id,
            membership: now.membership_config.membership().clone(),
            settled: now.membership_config == now.committed_membership_config,
            silent: heard.filter_map(|(node, at)| Some((*node, at.as_ref()?.elapsed()))).collect(),
            lag: replication
                .filter_map(|(node, matched)| {
                    Some((*node, next.saturating_sub(matched.as_ref()?.index() + 1)))
                })
                .collect(),
            led_for,
            joint_for,
            change_max: self.timing.outcome_wait_max,
            silent_max: self.timing.leader_silence_max(),
            next: types::log_index(next),
            admissions,
        })
    }

    /// For how long this node leads in a term, and how many folders were admitted of late.
    fn note(&self, term: u64) -> (Duration, usize) {
        let mut known = self.known();
        let since = match known.led {
            Some((led, since)) if led == term => since,
            _ => Instant::now(),
        };
        known.led = Some((term, since));
        while known.admitted.front().is_some_and(|at| at.elapsed() > ADMISSIONS_PERIOD) {
            known.admitted.pop_front();
        }
        (since.elapsed(), known.admitted.len())
    }

    /// For how long the membership has been half-way between two.
    fn note_joint(&self, membership: &RaftStoredMembership) -> Option<Duration> {
        let entry = membership.log_id().as_ref().map_or(0, |id| id.index());
        let mut known = self.known();
        known.joint = (membership.membership().get_joint_config().len() > 1).then(|| match known.joint {
            Some((index, since)) if index == entry => (index, since),
            _ => (entry, Instant::now()),
        });
        known.joint.map(|(_, since)| since.elapsed())
    }

    /// Answers a node that asks for its seat.
    pub(crate) async fn answer(&self, request: JoinRequest) -> JoinAnswer {
        let confirmed = timeout(self.timing.read_wait_max, self.raft.get_read_log_id(ReadPolicy::ReadIndex));
        if !self.raft.metrics().borrow_watched().state.is_leader() || !matches!(confirmed.await, Ok(Ok(_))) {
            return self.elsewhere();
        }
        let _turn = self.turn.lock().await;
        let Some(view) = self.view() else { return self.elsewhere() };
        match view.judge(request.seat, request.incarnation) {
            Verdict::Answer(answer) => answer,
            Verdict::Admit(node) => match request.incarnation.filter(|_| request.wants) {
                None => JoinAnswer::Free,
                Some(incarnation) => {
                    let admitted = Admitted::Only(incarnation);
                    let peer = PeerNode { peer: request.peer, edge: request.edge, admitted };
                    self.admit(node, peer).await
                }
            },
        }
    }

    fn elsewhere(&self) -> JoinAnswer {
        let now = self.raft.metrics().borrow_watched().clone();
        let leader = now.current_leader.filter(|leader| *leader != now.id);
        let leader = leader.and_then(|leader| now.membership_config.get_node(&leader));
        JoinAnswer::Elsewhere {
            in_cluster: now.membership_config.nodes().next().is_some(),
            leader: leader.map(|peer| peer.peer.clone()),
        }
    }

    async fn admit(&self, node: NodeId, peer: PeerNode) -> JoinAnswer {
        self.known().admitted.push_back(Instant::now());
        let address = peer.peer.clone();
        let change = ChangeMembers::AddNodes([(node.0, peer)].into());
        match self.change(change).await {
            Ok(()) => {
                let (node_id, seat) = (*self.raft.node_id(), node.seat().0);
                metrics::counter!("weir_seats_taken_total").increment(1);
                info!(node_id, peer = node.0, seat, address, "seat is taken again, by a new data folder");
                JoinAnswer::Member(node)
            }
            Err(reason) => JoinAnswer::Later(reason),
        }
    }

    async fn change(&self, change: ChangeMembers<u64, PeerNode>) -> Result<(), String> {
        let changing = timeout(self.timing.outcome_wait_max, member_change::propose(&self.raft, change));
        match changing.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no quorum confirmed the change in time".into()),
        }
    }

    /// Takes the steps towards one holder per seat while this node leads, until `stop`.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut server = self.raft.server_metrics();
        loop {
            server.borrow_and_update();
            let view = self.view();
            if let Some(change) = view.as_ref().and_then(View::step) {
                self.take(change).await;
            }
            let unfinished = view.is_some_and(|view| view.is_unfinished());
            let alive = tokio::select! {
                changed = server.changed() => changed.is_ok(),
                () = sleep(LOOK_PAUSE), if unfinished => true,
                () = stop.cancelled() => false,
            };
            if !alive {
                return;
            }
        }
    }

    async fn take(&self, change: ChangeMembers<u64, PeerNode>) {
        let _turn = self.turn.lock().await;
        let (node_id, change_text) = (*self.raft.node_id(), change.to_string());
        match self.change(change).await {
            Ok(()) => info!(node_id, change = change_text, "membership is a step further"),
            Err(reason) => {
                warn!(
                    node_id,
                    change = change_text,
                    reason,
                    "membership stays as it is, the step is tried again"
                );
                sleep(LOOK_PAUSE * 4).await;
            }
        }
    }
}
