//! Who leads, and whether this node may decide.
//!
//! `decides` holds only when this node leads **and** has applied an entry of its
//! own leadership: the first such entry is the blank one, so all that came
//! before it is applied too, and a quorum has confirmed the leadership once.
//!
//! A leader that is not heard, or that no quorum answers, is no leader to count on:
//! after a silence nobody leads, until it is heard or answered again.

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use openraft::{Instant as _, ServerState, async_runtime::WatchReceiver, metrics::RaftServerMetrics};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tracing::info;
use weir_types::{
    LogId, NodeId, Term,
    ports::{Leadership, LeadershipWatch},
};

use crate::{
    applied::Applied,
    heard::Heard,
    types::{Raft, TypeConfig},
};

/// How often a leader without a quorum looks whether it has one again, per longest silence.
const LOOKS_PER_SILENCE: u32 = 8;

/// Follows the leadership of one group. Cheap to clone.
#[derive(Clone)]
pub(crate) struct GroupLeadership(watch::Receiver<Leadership>);

impl GroupLeadership {
    /// Starts to follow, until `stop`.
    pub(crate) fn follow(
        raft: &Raft,
        applied: watch::Receiver<Applied>,
        contact: Contact,
        stop: CancellationToken,
    ) -> Self {
        let (to, leadership) = watch::channel(Leadership { term: Term::ZERO, leader: None, decides: false });
        tokio::spawn(follow(raft.clone(), applied, contact, to, stop));
        Self(leadership)
    }

    /// A leadership that is told by hand.
    #[cfg(test)]
    pub(crate) fn of(leadership: watch::Receiver<Leadership>) -> Self {
        Self(leadership)
    }

    /// A receiver of every change.
    pub(crate) fn watch(&self) -> watch::Receiver<Leadership> {
        self.0.clone()
    }
}

impl LeadershipWatch for GroupLeadership {
    fn current(&self) -> Leadership {
        *self.0.borrow()
    }

    fn changes(&self) -> BoxStream<'static, Leadership> {
        Box::pin(WatchStream::new(self.0.clone()))
    }
}

async fn follow(
    raft: Raft,
    mut applied: watch::Receiver<Applied>,
    contact: Contact,
    to: watch::Sender<Leadership>,
    stop: CancellationToken,
) {
    let mut server = raft.server_metrics();
    loop {
        let log_id = applied.borrow_and_update().log_id;
        let now = server.borrow_and_update().clone();
        let (next, leads, look_again) = {
            let (heard, look_again) = contact.judge(&raft, &now);
            let (next, leads) = judge(NodeId(now.id), &now, log_id.as_ref(), heard);
            (next, leads, look_again)
        };
        to.send_if_modified(|current| {
            if *current == next {
                return false;
            }
            note_change(NodeId(now.id), current, &next);
            *current = next;
            true
        });
        let undecided = leads && !next.decides;
        let alive = tokio::select! {
            changed = server.changed() => changed.is_ok(),
            changed = applied.changed(), if undecided => changed.is_ok(),
            () = sleep_until(look_again.unwrap_or_else(Instant::now)), if look_again.is_some() => true,
            () = contact.heard.again() => true,
            () = stop.cancelled() => false,
        };
        if !alive {
            to.send_modify(|current| *current = Leadership { leader: None, decides: false, ..*current });
            return;
        }
    }
}

/// Whether the leader is in contact: a follower must hear it, and a leader must
/// be answered by a quorum. Otherwise it may be gone, or be replaced already.
pub(crate) struct Contact {
    pub(crate) heard: Arc<Heard>,
    /// The longest silence.
    pub(crate) silence_max: Duration,
}

impl Contact {
    /// Whether there is contact, and when that may have changed by the clock alone.
    fn judge(&self, raft: &Raft, server: &RaftServerMetrics<TypeConfig>) -> (bool, Option<Instant>) {
        self.heard.awaits(false);
        if leads(server) {
            let alone = server.membership_config.voter_ids().eq([server.id]);
            return if alone { (true, None) } else { self.judge_quorum(raft) };
        }
        if server.current_leader.is_none() {
            return (false, None);
        }
        let until = |last: Instant| Some(last + self.silence_max).filter(|until| *until > Instant::now());
        if let Some(until) = self.heard.last().and_then(until) {
            return (true, Some(until));
        }
        self.heard.awaits(true);
        let until = self.heard.last().and_then(until);
        (until.is_some(), until)
    }

    fn judge_quorum(&self, raft: &Raft) -> (bool, Option<Instant>) {
        let now = Instant::now();
        let acked = raft.metrics().borrow_watched().last_quorum_acked.map(|at| now - at.elapsed());
        match acked.map(|acked| acked + self.silence_max) {
            Some(until) if until > now => (true, Some(until)),
            // Nothing tells when a quorum answers again.
            Some(_) | None => (false, Some(now + self.silence_max / LOOKS_PER_SILENCE)),
        }
    }
}

fn leads(server: &RaftServerMetrics<TypeConfig>) -> bool {
    server.state == ServerState::Leader && server.vote.leader_id.node_id == server.id
}

/// The leadership as `node` sees it, and whether it leads at all.
fn judge(
    node: NodeId,
    server: &RaftServerMetrics<TypeConfig>,
    applied: Option<&LogId>,
    in_contact: bool,
) -> (Leadership, bool) {
    let term = Term(server.vote.leader_id.term);
    let leads = leads(server);
    let own = |id: &LogId| id.term == term && id.leader == node;
    let leader = if leads { Some(node) } else { server.current_leader.map(NodeId).filter(|id| *id != node) };
    let decides = in_contact && leads && applied.is_some_and(own);
    (Leadership { term, leader: leader.filter(|_| in_contact), decides }, leads)
}

fn note_change(node: NodeId, before: &Leadership, after: &Leadership) {
    if before.leader != after.leader || before.decides != after.decides {
        let leader = after.leader.map(|id| id.0);
        info!(node_id = node.0, term = after.term.0, leader, decides = after.decides, "leadership changed");
    }
    if before.leader != after.leader {
        metrics::counter!("weir_raft_leader_changes_total").increment(1);
    }
}
