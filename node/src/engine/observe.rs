//! What a node measures when somebody asks, in memory but for one small read.

use weir_actors::{
    OutboxPhase, OutboxSnapshot,
    projection::{FoldState, ProjectionSnapshot},
};
use weir_raft::{ClusterStatus, NodeState};
use weir_types::{NodeId, Position};

use super::Engine;
use crate::family::{
    Family,
    Kind::{Counter, Gauge},
};

/// Microseconds in a second.
const MICROS: f64 = 1_000_000.0;

impl Engine {
    /// This node's metrics that are not counted on the way: where it is, and
    /// how far what follows it lags.
    pub(crate) async fn observe(&self) -> Vec<Family> {
        let applied = self.ports.reader.applied(self.group);
        let mut families = vec![
            Family::new("weir_applied_position", Gauge, "last position that this node has applied")
                .with(&[], number(applied.0)),
            Family::new("weir_is_leader", Gauge, "1 when this node decides appends")
                .with(&[], flag(self.decides())),
        ];
        families.extend(peers(&self.raft.status()));
        families.extend(self.outbox_families().await);
        families.extend(self.projection_families());
        families.push(self.projection_lag_seconds().await);
        families
    }

    async fn outbox_families(&self) -> Vec<Family> {
        let Some(outbox) = &self.outbox else { return Vec::new() };
        let now = outbox.snapshot();
        let active = now.phase != OutboxPhase::Inactive;
        let mut families = vec![
            Family::new("weir_outbox_active", Gauge, "1 when this node publishes to the bus")
                .with(&[], flag(active)),
            Family::new(
                "weir_outbox_errors_total",
                Counter,
                "times that the bus did not do what it was asked",
            )
            .with(&[], number(now.errors)),
        ];
        if !active {
            return families;
        }
        let lag = Family::new("weir_outbox_lag_events", Gauge, "events committed and not yet on the bus");
        families.push(lag.with(&[], number(now.lag())));
        let diverged = Family::new("weir_outbox_diverged", Gauge, "1 when the outbox needs a rebuild");
        families.push(diverged.with(&[], flag(now.phase == OutboxPhase::Diverged)));
        if let Some(seconds) = self.outbox_lag_seconds(&now).await {
            let lag =
                Family::new("weir_outbox_lag_seconds", Gauge, "age of the oldest event not yet on the bus");
            families.push(lag.with(&[], seconds));
        }
        families
    }

    /// The age of the oldest event that is not published; none when the log cannot be read.
    async fn outbox_lag_seconds(&self, now: &OutboxSnapshot) -> Option<f64> {
        if now.lag() == 0 {
            return Some(0.0);
        }
        self.age_of(now.published.next()).await
    }

    fn projection_families(&self) -> Vec<Family> {
        let mut all = Vec::new();
        let mut of = |name, kind, help, value: &dyn Fn(&ProjectionSnapshot) -> Option<f64>| {
            let mut family = Family::new(name, kind, help);
            for (projection, now) in self.projections.list() {
                if let Some(value) = value(&now) {
                    family.push(&[("projection", projection.as_str())], value);
                }
            }
            all.push(family);
        };
        of("weir_projection_events_total", Counter, "events that it has handled", &|now| {
            Some(number(now.checkpoint.events))
        });
        of("weir_projection_lag_events", Gauge, "events applied and not yet folded", &|now| {
            Some(number(now.lag))
        });
        of("weir_projection_position", Gauge, "last position that it has folded", &|now| {
            Some(number(now.checkpoint.position.0))
        });
        of("weir_projection_events_per_second", Gauge, "positions that it passes in a second", &|now| {
            Some(now.events_per_second)
        });
        of(
            "weir_projection_fold_seconds_total",
            Counter,
            "time in which steps were folded and stored",
            &|now| Some(now.folding.as_secs_f64()),
        );
        of("weir_projection_parked", Gauge, "1 when its handler threw", &|now| {
            Some(flag(now.checkpoint.parked.is_some()))
        });
        let unkeyed =
            "events that were passed because they have no partition key, since the node began to fold it";
        of("weir_projection_unkeyed_events_total", Counter, unkeyed, &|now| Some(number(now.unkeyed)));
        of("weir_projection_paused", Gauge, "1 when it was told to fold nothing", &|now| {
            Some(flag(now.state == FoldState::Paused))
        });
        let dead = "events that were passed though its handler could not fold them";
        of("weir_projection_dead_letters", Gauge, dead, &|now| Some(number(now.checkpoint.dead_letters)));
        let left = "positions that a generation lacks that is to take its place";
        of("weir_projection_rebuild_lag_events", Gauge, left, &|now| Some(number(now.next.as_ref()?.lag)));
        let passed = "last position that a generation has folded that is to take its place";
        of("weir_projection_rebuild_position", Gauge, passed, &|now| {
            Some(number(now.next.as_ref()?.checkpoint.position.0))
        });
        let parked = "1 when a generation is parked that is to take its place";
        of("weir_projection_rebuild_parked", Gauge, parked, &|now| {
            Some(flag(now.next.as_ref()?.checkpoint.parked.is_some()))
        });
        let rate = "positions that a generation passes in a second that is to take its place";
        of("weir_projection_rebuild_events_per_second", Gauge, rate, &|now| {
            Some(now.next.as_ref()?.events_per_second)
        });
        all
    }

    /// The age of the oldest event that each projection has not folded.
    async fn projection_lag_seconds(&self) -> Family {
        let help = "age of the oldest event that is applied and not yet folded";
        let mut family = Family::new("weir_projection_lag_seconds", Gauge, help);
        for (projection, now) in self.projections.list() {
            let seconds = match now.lag {
                0 => Some(0.0),
                _ => self.age_of(now.checkpoint.position.next()).await,
            };
            if let Some(seconds) = seconds {
                family.push(&[("projection", projection.as_str())], seconds);
            }
        }
        family
    }

    /// How long ago an event was recorded; none when the log cannot be read.
    async fn age_of(&self, position: Position) -> Option<f64> {
        let event = self.ports.reader.read_log(self.group, position, 1).await.ok()?;
        let age = self.now().0.saturating_sub(event.first()?.recorded_at.0);
        // Another leader's clock may have been ahead of this one's.
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        Some(age.max(0) as f64 / MICROS)
    }
}

/// What a leader knows of the other members; no series on any other node.
fn peers(status: &ClusterStatus) -> [Family; 2] {
    let mut lag =
        Family::new("weir_raft_replication_lag_entries", Gauge, "log entries that a member still lacks");
    let mut silent =
        Family::new("weir_raft_peer_silent_seconds", Gauge, "time since a member last answered its leader");
    let is_other = |node: NodeId| status.state == NodeState::Leader && node != status.node;
    for member in status.members.iter().filter(|member| is_other(member.node)) {
        let (group, peer) = (status.group.to_string(), member.node.to_string());
        let labels = [("group", group.as_str()), ("peer", peer.as_str())];
        if let Some(matched) = member.matched {
            lag.push(&labels, number(status.last_log_index.0.saturating_sub(matched.0)));
        }
        if let Some(ms) = member.silent_ms {
            silent.push(&labels, number(ms) / 1_000.0);
        }
    }
    [lag, silent]
}

#[allow(clippy::cast_precision_loss, reason = "a metric is a float")]
fn number(value: u64) -> f64 {
    value as f64
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weir_raft::{MemberRole, MemberStatus};
    use weir_types::{ClusterId, GroupId, LogIndex, Term};

    use super::*;

    fn status(state: NodeState, members: &[u64]) -> ClusterStatus {
        let member = |id: &u64| MemberStatus {
            node: NodeId(*id),
            role: MemberRole::Voter,
            peer_address: "b:9124".into(),
            edge_address: "b:9123".into(),
            matched: (state == NodeState::Leader).then_some(LogIndex(7)),
            silent_ms: (state == NodeState::Leader && *id != 3).then_some(1_500),
        };
        ClusterStatus {
            cluster: ClusterId(Uuid::nil()),
            group: GroupId::DEFAULT,
            node: NodeId(1),
            state,
            leader: None,
            decides: false,
            term: Term(1),
            last_log_index: LogIndex(9),
            committed: LogIndex(9),
            applied: LogIndex(9),
            position: Position(9),
            digest: 0,
            stopped: None,
            members: members.iter().map(member).collect(),
        }
    }

    #[test]
    fn a_removed_member_and_a_node_that_leads_no_more_leave_no_series() {
        let lines = |state, members: &[u64]| {
            let text = Family::render(&peers(&status(state, members)));
            text.lines().filter(|line| line.starts_with("weir")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            lines(NodeState::Leader, &[1, 2, 3]),
            [
                "weir_raft_replication_lag_entries{group=\"1\",peer=\"2\"} 2",
                "weir_raft_replication_lag_entries{group=\"1\",peer=\"3\"} 2",
                "weir_raft_peer_silent_seconds{group=\"1\",peer=\"2\"} 1.5",
            ]
        );
        assert_eq!(
            lines(NodeState::Leader, &[1, 3]),
            ["weir_raft_replication_lag_entries{group=\"1\",peer=\"3\"} 2",]
        );
        assert_eq!(lines(NodeState::Follower, &[1, 2, 3]), [""; 0]);
    }
}
