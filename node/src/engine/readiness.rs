use std::sync::atomic::Ordering;

use super::Engine;

/// Log entries that a node may be behind and still be ready.
const LAG_MAX: u64 = 10_000;

impl Engine {
    /// What must hold for this node to be sent requests, each by its name.
    #[must_use]
    pub fn readiness(&self) -> Vec<(&'static str, Result<(), String>)> {
        let status = self.raft.status();
        let must = |holds: bool, otherwise: &str| if holds { Ok(()) } else { Err(otherwise.to_owned()) };
        let member = status.members.iter().any(|member| member.node == self.node);
        let lag = status.committed.0.saturating_sub(status.applied.0);
        vec![
            ("serving", must(!self.draining.load(Ordering::Acquire), "node is stopping")),
            ("running", status.stopped.map_or(Ok(()), Err)),
            ("member", must(member, "node is no member of a cluster")),
            ("leader", must(status.leader.is_some(), "no leader is known")),
            ("applied", must(lag <= LAG_MAX, &format!("{lag} committed entries are not applied"))),
        ]
    }

    /// Whether this node leads, or hears who does.
    #[must_use]
    pub fn hears_a_leader(&self) -> bool {
        self.ports.leadership.current().leader.is_some()
    }

    /// Why this node's Raft has stopped, if it has.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        self.raft.status().stopped
    }
}
