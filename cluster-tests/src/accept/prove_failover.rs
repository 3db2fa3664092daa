//! How long no append is acknowledged after the leader is killed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::FutureExt as _;
use serde_json::json;
use tokio::task::JoinSet;

use super::{Flags, Outcome, Recipe};
use crate::{Cluster, ClusterSpec, PATIENCE, edge::Edge, eventually, pause, report::Report, window};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "prove/failover",
    summary: "kill -9 of the leader, again and again (--kills): time without appends, p50 and p99",
    release: true,
    run: |flags, report| story(report, flags).boxed(),
};

/// The goal, at default settings.
const GAP_MAX: Duration = Duration::from_secs(1);
/// Writers at each node.
const WRITERS: usize = 2;
/// Between two appends of a writer: gaps are known to about a sixth of it.
const BREATH: Duration = Duration::from_millis(5);
/// Appends after which the cluster is taken to serve again.
const ENOUGH: usize = 20;

/// Kills the leader `kills` times while writers at every node append, and takes the longest time between two
/// acknowledgements around each kill.
///
/// # Errors
/// When the cluster does not recover, or naming the percentile over the goal.
pub async fn story(report: &mut Report, flags: &Flags) -> Result<Outcome> {
    let mut cluster = Cluster::start(ClusterSpec { nodes: 3, nats: false }).await?;
    let acks = Acks::default();
    let mut writers = JoinSet::new();
    for edge in cluster.edges() {
        (0..WRITERS).for_each(|number| drop(writers.spawn(write(edge.clone(), number, acks.clone()))));
    }
    let (mut gaps, mut restarts) = (Vec::new(), Vec::new());
    for kill in 1..=flags.kills {
        let (gap, restart) = one_kill(&mut cluster, &acks).await.with_context(|| format!("kill {kill}"))?;
        report
            .phase(&format!("kill {kill}: {gap:?} without appends; ready again {restart:?} after its start"));
        gaps.push(gap);
        restarts.push(restart);
    }
    writers.shutdown().await;
    let (p50, p99) = (percentile(&mut gaps, 50), percentile(&mut gaps, 99));
    report.note("kills", flags.kills);
    report.note(
        "gap_ms",
        json!({"p50": millis(p50), "p99": millis(p99), "max": gaps.last().map(|gap| millis(*gap))}),
    );
    report.note(
        "restart_ms",
        json!({"p50": millis(percentile(&mut restarts, 50)), "p99": millis(percentile(&mut restarts, 99))}),
    );
    cluster.settled().await?;
    cluster.finish(&[])?;
    ensure!(p99 < GAP_MAX, "goal missed: {p99:?} without appends at p99, {p50:?} at p50");
    Ok(Outcome::Holds)
}

async fn one_kill(cluster: &mut Cluster, acks: &Acks) -> Result<(Duration, Duration)> {
    let leader = cluster.leader().await?;
    acks.more(ENOUGH).await?;
    let killed = Instant::now();
    cluster.node_mut(leader).kill()?;
    cluster.leader_other_than(Some(leader)).await?;
    acks.more(ENOUGH).await?;
    let gap = acks.gap_around(killed)?;
    let started = Instant::now();
    cluster.start_node(leader)?;
    eventually("the killed node is ready again", PATIENCE, || cluster.node(leader).edge.ready()).await?;
    let restart = started.elapsed();
    cluster.catches_up(leader).await?;
    Ok((gap, restart))
}

/// Appends to a stream of its own at one node, whoever leads, until it is aborted.
async fn write(edge: Edge, number: usize, acks: Acks) {
    let stream = format!("failover-{}-{number}", edge.base().rsplit(':').next().unwrap_or_default());
    let body = json!({"entityType": "failover", "name": "failover.appended"});
    loop {
        match edge.append(&stream, &body).await {
            Ok(_) => {
                acks.add(Instant::now());
                window(BREATH).await;
            }
            Err(_) => pause().await,
        }
    }
}

/// When appends were acknowledged, to any writer.
#[derive(Debug, Clone, Default)]
struct Acks(Arc<Mutex<Vec<Instant>>>);

impl Acks {
    fn with<T>(&self, look: impl FnOnce(&mut Vec<Instant>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, when: Instant) {
        self.with(|acks| acks.push(when));
    }

    async fn more(&self, count: usize) -> Result<()> {
        let goal = self.with(|acks| acks.len()) + count;
        eventually("appends are acknowledged", PATIENCE, || async {
            let acked = self.with(|acks| acks.len());
            ensure!(acked >= goal, "{acked} of {goal} acknowledged");
            Ok(())
        })
        .await
    }

    /// The longest time between two acknowledgements of which the later one came after `killed`. What came
    /// before the one that precedes the kill is forgotten.
    fn gap_around(&self, killed: Instant) -> Result<Duration> {
        self.with(|acks| {
            acks.sort_unstable();
            let after = acks.partition_point(|ack| *ack <= killed);
            acks.drain(..after.saturating_sub(1));
            let gaps = acks.windows(2).map(|pair| pair[1] - pair[0]);
            gaps.max().context("nothing was acknowledged around the kill")
        })
    }
}

/// The smallest time that is not exceeded by this many of a hundred; sorts them.
fn percentile(times: &mut [Duration], of_100: usize) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * of_100).div_ceil(100).max(1);
    times.get(rank - 1).copied().unwrap_or_default()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_one_around_the_kill() {
        let (acks, begin) = (Acks::default(), Instant::now());
        let at = |ms: u64| begin + Duration::from_millis(ms);
        // A pause before the kill counts nothing; answers on their way at the kill end no outage.
        [0, 500, 510, 512, 900, 905].into_iter().for_each(|ms| acks.add(at(ms)));
        let gap = acks.gap_around(at(511)).expect("there are acks on both sides");
        assert_eq!(gap, Duration::from_millis(388));
        assert!(Acks::default().gap_around(begin).is_err());
    }

    #[test]
    fn percentiles_are_times_that_were_seen() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 50), Duration::from_millis(50));
        assert_eq!(percentile(&mut times, 99), Duration::from_millis(99));
        assert_eq!(percentile(&mut times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }
}
