//! What a seed decides before anything runs.

use std::time::Duration;

use weir_node::config::ClusterConfig;
use weir_storage::log::LogConfig;

use weir_check::rng::Rng;

/// The shape of a run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What decided it.
    pub seed: u64,
    /// The members of the cluster: 3 or 5.
    pub voters: u64,
    /// Clients at work.
    pub clients: u64,
    /// How long things go wrong.
    pub chaos: Duration,
    /// How long a message takes, at most.
    pub latency_max: Duration,
    /// Bytes of a log segment.
    pub log: LogConfig,
    /// Whether there is a bus.
    pub bus: bool,
    /// The clockwork of Raft.
    pub shared: ClusterConfig,
}

impl Setting {
    /// Draws it.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::named(seed, "setting");
        let election_timeout_min_ms = rng.within(150..350);
        let segment_bytes = [16 * 1024, 64 * 1024, 256 * 1024];
        let cache_bytes = [0, 4 * 1024, 64 * 1024 * 1024];
        Self {
            seed,
            voters: if rng.chance(25) { 5 } else { 3 },
            clients: rng.within(2..6),
            chaos: Duration::from_millis(rng.within(5_000..9_000)),
            latency_max: Duration::from_millis(rng.within(3..25)),
            log: LogConfig {
                segment_bytes: rng.pick(&segment_bytes).copied().unwrap_or(16 * 1024),
                cache_bytes: rng.pick(&cache_bytes).copied().unwrap_or(0),
            },
            bus: rng.chance(70),
            shared: ClusterConfig {
                heartbeat_ms: rng.within(20..election_timeout_min_ms / 3),
                election_timeout_min_ms,
                election_timeout_max_ms: election_timeout_min_ms * 2,
                ..ClusterConfig::default()
            },
        }
    }
}
