//! What is done to the cluster: one file per fault or family of faults.
//!
//! To add one: a file in `fault/`, a type that is a [`Fault`], its [`Kind`]s in [`all`].

mod client_cut;
mod clock;
mod cut;
mod delay;
mod disk_full;
mod flip;
mod kill;
mod loss;
mod lull;
mod members;
mod nats;
mod nats_rewind;
mod pause;
mod power_cut;
mod restart;
mod slow_link;
mod stream;
mod sync;
mod target;
mod transfer;
mod wipe;

use std::ops::Range;

use anyhow::Result;
use async_trait::async_trait;
use serde_json::Value;
use weir_check::rng::Rng;

use super::rig::{Means, Rig};

/// One fault, from its beginning to its end.
///
/// Faults overlap, also on one node. A fault undoes what it did and nothing
/// else, whatever others did meanwhile.
#[async_trait]
pub trait Fault: Send {
    /// Begins. Nothing when there is nothing that it could hit now.
    ///
    /// # Errors
    /// When the machine refuses: a bug of the harness.
    async fn inject(&mut self, scene: &mut Scene<'_>) -> Result<Option<Hit>>;

    /// Called several times a second while it lasts.
    ///
    /// # Errors
    /// As for `inject`.
    async fn tick(&mut self, _scene: &mut Scene<'_>) -> Result<()> {
        Ok(())
    }

    /// Ends. Called again and again until it is done.
    ///
    /// # Errors
    /// As for `inject`.
    async fn heal(&mut self, scene: &mut Scene<'_>) -> Result<Healed>;
}

/// What a fault is given.
pub struct Scene<'a> {
    /// The cluster.
    pub rig: &'a mut Rig,
    /// Random numbers of this one fault.
    pub rng: &'a mut Rng,
    /// Unique among the faults of the run, short, of letters, digits and hyphens.
    pub id: &'a str,
}

/// Whom a fault hit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hit {
    /// The nodes; none when it was NATS.
    pub nodes: Vec<u64>,
    /// What else a reader would want to know.
    pub detail: Value,
}

impl Hit {
    /// These nodes.
    #[must_use]
    pub fn of(nodes: &[u64]) -> Self {
        Self { nodes: nodes.to_vec(), detail: Value::Null }
    }
}

/// Whether a fault has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Healed {
    /// It has, and this is how often it did something: packets dropped, processes killed.
    Done(u64),
    /// It must be called again.
    NotYet,
}

/// What kinds of means a fault needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Signals.
    Nothing,
    /// A network per process.
    Network,
    /// A disk per node.
    Disk,
    /// Faults inside the process.
    Shim,
    /// A NATS.
    Nats,
    /// A NATS, and a network per process.
    NatsNetwork,
}

impl Need {
    /// Whether it is met.
    #[must_use]
    pub fn is_met(self, means: &Means, nats: bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::Network => means.network,
            Self::Disk => means.disks,
            Self::Shim => means.shim,
            Self::Nats => nats,
            Self::NatsNetwork => nats && means.network,
        }
    }
}

/// A fault by its name.
pub struct Kind {
    /// A word for `--faults`.
    pub name: &'static str,
    /// What it needs.
    pub need: Need,
    /// How many seconds it lasts.
    pub lasts: Range<u64>,
    /// Makes one.
    pub make: fn() -> Box<dyn Fault>,
}

/// Every fault.
#[must_use]
pub fn all() -> Vec<Kind> {
    let families: [Vec<Kind>; 20] = [
        kill::kinds(),
        pause::kinds(),
        restart::kinds(),
        transfer::kinds(),
        lull::kinds(),
        members::kinds(),
        cut::kinds(),
        loss::kinds(),
        delay::kinds(),
        slow_link::kinds(),
        client_cut::kinds(),
        power_cut::kinds(),
        disk_full::kinds(),
        sync::kinds(),
        flip::kinds(),
        wipe::kinds(),
        clock::kinds(),
        nats::kinds(),
        stream::kinds(),
        nats_rewind::kinds(),
    ];
    families.into_iter().flatten().collect()
}
