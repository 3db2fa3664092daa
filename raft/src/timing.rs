//! How long things take before they count as failed.

use std::time::Duration;

use openraft::{Config, ConfigError, SnapshotPolicy};

/// The Raft group's clockwork. Equal on all nodes of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftTiming {
    /// How often an idle leader tells its followers that it lives. Below 250 ms an idle cluster costs CPU.
    pub heartbeat_interval: Duration,
    /// The shortest silence after which a follower calls an election.
    pub election_timeout_min: Duration,
    /// The longest; also the leader's lease.
    pub election_timeout_max: Duration,
    /// How long a read waits for its barrier or its position.
    pub read_wait_max: Duration,
    /// How long a proposed entry may stay without an outcome before its appends are told so.
    pub outcome_wait_max: Duration,
    /// How long a peer may leave requests unanswered, sending nothing, before its connection is given up.
    pub peer_silence_max: Duration,
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(250),
            election_timeout_min: Duration::from_millis(1_000),
            election_timeout_max: Duration::from_millis(2_000),
            read_wait_max: Duration::from_secs(3),
            outcome_wait_max: Duration::from_secs(10),
            peer_silence_max: Duration::from_secs(3),
        }
    }
}

impl RaftTiming {
    /// The longest silence after which a leader still counts as one.
    pub(crate) fn leader_silence_max(&self) -> Duration {
        // By twice the longest timeout the others have elected another one, if they can.
        self.election_timeout_max * 2
    }

    /// The openraft configuration of these timings.
    ///
    /// The log is the event store: it is never replaced by a snapshot and never purged.
    ///
    /// # Errors
    /// When the timings contradict each other.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Config {
            cluster_name: "weir".into(),
            heartbeat_interval: millis(self.heartbeat_interval),
            election_timeout_min: millis(self.election_timeout_min),
            election_timeout_max: millis(self.election_timeout_max),
            max_payload_entries: crate::network::ENTRIES_PER_REQUEST_MAX,
            replication_lag_threshold: crate::membership::PROMOTE_LAG_MAX,
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            enable_pre_vote: Some(true),
            // A wiped folder is refused by its incarnation. One that was put back to an earlier state keeps its
            // incarnation; its leader refuses it when it lacks what is committed, but it may also lack entries
            // that it acknowledged and that are not committed yet. The leader must not fall over that.
            allow_log_reversion: Some(true),
            // A leader sends entries before its own disk has them. Killed in between and restored in its old
            // term, it would give the same term and index to other entries, and the log would fork.
            enable_leader_restore: Some(false),
            backoff: "50ms 100ms 200ms ...1s".into(),
            ..Config::default()
        }
        .validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_timings_agree_with_each_other() {
        assert!(RaftTiming::default().config().is_ok());
    }

    #[test]
    fn an_election_timeout_below_the_heartbeat_is_refused() {
        let timing = RaftTiming { election_timeout_min: Duration::from_millis(100), ..RaftTiming::default() };
        assert!(timing.config().is_err());
    }
}
