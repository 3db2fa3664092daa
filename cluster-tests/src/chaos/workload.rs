//! What clients do while the cluster is attacked: one file per workload.
//!
//! To add one: a file in `workload/`, a type that is a [`Workload`], a line in [`all`].

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use async_trait::async_trait;

use super::{counters::Counters, rng::Rng, stop::Stop};
use crate::edge::Edge;

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
    ///
    /// # Errors
    /// When a healed cluster does not do what it is asked: the run fails.
    async fn settle(&self, context: &Context) -> Result<()>;

    /// Counts that must be above zero when a run of some minutes was not hollow.
    fn coverage(&self) -> &'static [&'static str] {
        &[]
    }
}

/// What a workload is given.
#[derive(Debug, Clone)]
pub struct Context {
    /// The REST of the founding nodes, dead ones too, in order of their ids from 1.
    pub edges: Vec<Edge>,
    /// URLs of the NATS servers; none without NATS.
    pub nats: Vec<String>,
    /// The seed of the run.
    pub seed: u64,
    /// When to end.
    pub stop: Stop,
    /// What happened how often.
    pub counters: Counters,
    /// A folder for files of the workloads; kept with the run.
    pub folder: PathBuf,
}

impl Context {
    /// Random numbers of the run's seed for whoever has this name.
    #[must_use]
    pub fn rng(&self, name: &str) -> Rng {
        Rng::named(self.seed, name)
    }
}

/// Every workload.
#[must_use]
pub fn all() -> Vec<Arc<dyn Workload>> {
    vec![]
}
