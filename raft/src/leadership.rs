//! Who leads, and whether this node may decide.
//!
//! `decides` holds only when this node leads **and** has applied an entry of its
//! own leadership: the first such entry is the blank one, so all that came
//! before it is applied too, and a quorum has confirmed the leadership once.

use futures::stream::BoxStream;
use openraft::{ServerState, async_runtime::WatchReceiver, metrics::RaftServerMetrics};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tracing::info;
use weir_types::{
    LogId, NodeId, Term,
    ports::{Leadership, LeadershipWatch},
};

use crate::{
    applied::Applied,
    types::{Raft, TypeConfig},
};

/// Follows the leadership of one group. Cheap to clone.
#[derive(Clone)]
pub(crate) struct GroupLeadership(watch::Receiver<Leadership>);

impl GroupLeadership {
    /// Starts to follow, until `stop`.
    pub(crate) fn follow(raft: &Raft, applied: watch::Receiver<Applied>, stop: CancellationToken) -> Self {
        let (to, leadership) = watch::channel(Leadership { term: Term::ZERO, leader: None, decides: false });
        tokio::spawn(follow(raft.clone(), applied, to, stop));
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
    to: watch::Sender<Leadership>,
    stop: CancellationToken,
) {
    let node = NodeId(*raft.node_id());
    let mut server = raft.server_metrics();
    loop {
        let log_id = applied.borrow_and_update().log_id;
        let (next, leads) = judge(node, &server.borrow_watched(), log_id.as_ref());
        to.send_if_modified(|current| {
            if *current == next {
                return false;
            }
            note_change(node, current, &next);
            *current = next;
            true
        });
        let undecided = leads && !next.decides;
        let alive = tokio::select! {
            changed = server.changed() => changed.is_ok(),
            changed = applied.changed(), if undecided => changed.is_ok(),
            () = stop.cancelled() => false,
        };
        if !alive {
            to.send_modify(|current| *current = Leadership { leader: None, decides: false, ..*current });
            return;
        }
    }
}

/// The leadership as `node` sees it, and whether it leads at all.
fn judge(
    node: NodeId,
    server: &RaftServerMetrics<TypeConfig>,
    applied: Option<&LogId>,
) -> (Leadership, bool) {
    let term = Term(server.vote.leader_id.term);
    let leads = server.state == ServerState::Leader && server.vote.leader_id.node_id == node.0;
    let own = |id: &LogId| id.term == term && id.leader == node;
    let leader = if leads { Some(node) } else { server.current_leader.map(NodeId).filter(|id| *id != node) };
    (Leadership { term, leader, decides: leads && applied.is_some_and(own) }, leads)
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
