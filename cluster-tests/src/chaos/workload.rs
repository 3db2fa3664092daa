//! What clients do while the cluster is attacked: one file per workload.
//!
//! To add one: a file in `workload/`, a type that is a [`Workload`], a line in [`all`].

mod accounts;
mod bad_input;
mod bank;
mod caller;
mod consumers;
mod crew;
mod draft;
mod effects;
mod folds;
mod follow;
mod freshness;
mod groups;
mod guarded;
mod imports;
mod kv;
mod members;
mod moments;
mod outside;
mod projections;
mod reads;
mod retries;
mod rules;
mod sink;
mod subscribers;
mod tables;
mod tallies;
mod told;
mod transactions;
mod unguarded;
mod workers;
mod writer;

pub use folds::folds;
pub use outside::{Outside, SINK};

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Method;
use serde_json::Value;
use weir_check::{history::Recorder, rng::Rng};

use super::{counters::Counters, directory::Directory, lull::Lull, stop::Stop};
use crate::{PATIENCE, eventually};

/// Clients of one kind.
///
/// The runner calls `prepare` on a healthy cluster, `run` while faults come and
/// go, and `settle` when all is healed, all nodes run and have applied the same.
/// Several workloads run at once on one cluster, so each keeps to streams,
/// projections and consumers whose names begin with its own name.
#[async_trait]
pub trait Workload: Send + Sync {
    /// Its name: a word for `--workloads`, the prefix of all that it makes.
    fn name(&self) -> &'static str;

    /// Whether it can do nothing without a NATS.
    fn needs_nats(&self) -> bool {
        false
    }

    /// Whether it needs a PostgreSQL that the nodes know.
    fn needs_postgres(&self) -> bool {
        false
    }

    /// Makes what `run` needs: projections, first events.
    ///
    /// # Errors
    /// When a healthy cluster does not do what it is asked: the run fails.
    async fn prepare(&self, _context: &Context) -> Result<()> {
        Ok(())
    }

    /// Works until `context.stop` is told, then ends within 30 s. Any answer may
    /// be missing, late or a refusal: that is noted and lived with.
    ///
    /// # Errors
    /// For what no fault explains: a bug of the harness, or an answer that is
    /// wrong by itself. The run fails with it, after everything was gathered.
    async fn run(&self, context: &Context) -> Result<()>;

    /// Ends what `run` left open, and makes the last reads that the checkers need.
    /// One workload after another, in the order of [`all`].
    ///
    /// # Errors
    /// When a healed cluster does not do what it is asked: the run fails.
    async fn settle(&self, context: &Context) -> Result<()>;

    /// Counts (of `context.counters`) that must be above zero when a run of some minutes was not hollow.
    fn coverage(&self) -> &'static [&'static str] {
        &[]
    }
}

/// What a workload is given. Clones share everything.
#[derive(Clone)]
pub struct Context {
    /// The REST of all nodes, dead ones too. Ask it anew before every call: members come and go.
    pub nodes: Directory,
    /// Takes down every call and what came of it. An event's mark lies in its data as `op`.
    pub recorder: Recorder,
    /// URLs of the NATS servers; none without NATS.
    pub nats: Vec<String>,
    /// The PostgreSQL that the nodes know, where a workload needs one.
    pub postgres: Option<Outside>,
    /// The seed of the run.
    pub seed: u64,
    /// How many times as fast as usual clients work.
    pub load: u32,
    /// How many times as many readers as usual there are.
    pub readers: u32,
    /// When to be silent.
    pub lull: Lull,
    /// When to end.
    pub stop: Stop,
    /// What happened how often.
    pub counters: Counters,
    /// A folder for files of the workloads; kept with the run.
    pub folder: PathBuf,
    /// The next client's number.
    pub clients: Arc<AtomicU64>,
}

impl Context {
    /// A number for one more client: one task that calls.
    #[must_use]
    pub fn client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Has a node make what a workload needs, by a POST that may be said again; these answers say that it is there.
    async fn make(&self, path: &str, body: &Value, there: &[u16]) -> Result<()> {
        let body = body.to_string().into_bytes();
        eventually(&format!("{path} is made"), PATIENCE, || async {
            let (_, edge) = self.nodes.all().into_iter().next().context("a cluster has nodes")?;
            let answer = edge.send(Method::POST, path, Some(("application/json", body.clone()))).await?;
            ensure!(there.contains(&answer.status), "{answer:?}");
            Ok(())
        })
        .await
    }

    /// Random numbers of the run's seed for whoever has this name.
    #[must_use]
    pub fn rng(&self, name: &str) -> Rng {
        Rng::named(self.seed, name)
    }
}

/// Every workload.
#[must_use]
pub fn all() -> Vec<Arc<dyn Workload>> {
    vec![
        Arc::new(guarded::Guarded),
        Arc::new(unguarded::Unguarded),
        Arc::new(reads::Reads),
        Arc::new(retries::Retries::default()),
        Arc::new(projections::Projections::default()),
        Arc::new(freshness::Freshness),
        Arc::new(members::Members::default()),
        Arc::new(imports::Imports::default()),
        Arc::new(bank::Bank::default()),
        Arc::new(kv::Kv::default()),
        Arc::new(transactions::Transactions),
        Arc::new(accounts::Accounts),
        Arc::new(bad_input::BadInput),
        Arc::new(follow::Follow::default()),
        Arc::new(subscribers::Subscribers::default()),
        Arc::new(groups::Groups::default()),
        Arc::new(workers::Workers::default()),
        Arc::new(effects::Effects::default()),
        Arc::new(moments::Moments),
        Arc::new(rules::Rules),
        Arc::new(tables::Tables::default()),
        Arc::new(sink::Sink::default()),
        // Last: when it says that it has everything, nobody may write any more.
        Arc::new(consumers::Consumers::default()),
    ]
}
