//! The acceptance recipes, one file each: a story on real processes that holds
//! or names what broke. The quick ring in `tests/` tells the same stories, smaller.

pub mod bad_input;
pub mod bench;
pub mod damage;
pub mod fresh_clone;
pub mod hundred_writers;
pub mod import_through_leader_kills;
pub mod kill_all_under_load;
pub mod kv;
pub mod kv_claims;
pub mod members;
pub mod nats_outage;
pub mod outbox_rebuild;
pub mod paused_leader;
pub mod projections_bad_reducers;
pub mod projections_bench;
pub mod projections_exactly_once;
pub mod projections_fencing;
pub mod projections_postgres;
pub mod projections_walkthrough;
pub mod projections_workers;
pub mod prove_chaos;
pub mod prove_crash_points;
pub mod prove_damage_sweep;
pub mod prove_failover;
pub mod prove_fuzz;
pub mod prove_interleavings;
pub mod prove_peers;
pub mod prove_planted;
pub mod prove_repair;
pub mod prove_simulation;
pub mod prove_speed;
mod prove_storage;
pub mod streams_bench;
pub mod streams_groups;
pub mod streams_orders;
pub mod streams_slow_subscribers;
pub mod streams_subscribe;
mod ticks;
pub mod transfers;
pub mod withdrawals;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;

use crate::report::Report;

/// What a recipe may be told.
#[derive(Debug, Clone)]
pub struct Flags {
    /// Chooses whatever a recipe chooses.
    pub seed: u64,
    /// A permit file instead of the one that is found.
    pub data: Option<PathBuf>,
    /// How long NATS stays away.
    pub outage: Duration,
    /// How long one measurement runs.
    pub window: Duration,
    /// How often a leader is killed.
    pub kills: u64,
    /// How often each system is measured.
    pub rounds: u64,
    /// How many events are appended, at least.
    pub events: u64,
    /// Of what a recipe does one by one, only these.
    pub only: Option<Vec<String>>,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            seed: 1,
            data: None,
            outage: Duration::from_secs(60),
            window: Duration::from_secs(10),
            kills: 100,
            rounds: 3,
            events: 1_000_000,
            only: None,
        }
    }
}

impl Flags {
    /// Reads `--seed N --data FILE --outage SECONDS --window SECONDS --kills N --rounds N --events N --only NAME,NAME`.
    ///
    /// # Errors
    /// Naming the flag that is not one of these, or has no legal value.
    pub fn parse(args: &[String]) -> Result<Self> {
        let mut flags = Self::default();
        for pair in args.chunks(2) {
            let [flag, value] = pair else { bail!("flag {} has no value", pair[0]) };
            let number = || value.parse::<u64>().with_context(|| format!("{flag} {value} is no number"));
            match flag.as_str() {
                "--seed" => flags.seed = number()?,
                "--data" => flags.data = Some(value.into()),
                "--outage" => flags.outage = Duration::from_secs(number()?),
                "--window" => flags.window = Duration::from_secs(number()?),
                "--kills" => flags.kills = number()?,
                "--rounds" => flags.rounds = number()?,
                "--events" => flags.events = number()?,
                "--only" => flags.only = Some(value.split(',').map(str::to_owned).collect()),
                _ => bail!(
                    "unknown flag {flag}; known are --seed, --data, --outage, --window, --kills, --rounds, --events and --only"
                ),
            }
        }
        Ok(flags)
    }
}

/// How a recipe that did not fail ended.
#[derive(Debug)]
pub enum Outcome {
    /// All that it checks holds.
    Holds,
    /// What it needs is not on this machine.
    Skipped(String),
}

/// One recipe.
pub struct Recipe {
    /// `area/name`.
    pub name: &'static str,
    /// What it shows, in a line.
    pub summary: &'static str,
    /// Whether it measures, and therefore wants an optimised binary.
    pub release: bool,
    /// The story.
    pub run: for<'a> fn(&'a Flags, &'a mut Report) -> BoxFuture<'a, Result<Outcome>>,
}

/// Every recipe.
pub const RECIPES: &[Recipe] = &[
    import_through_leader_kills::RECIPE,
    hundred_writers::RECIPE,
    kill_all_under_load::RECIPE,
    nats_outage::RECIPE,
    outbox_rebuild::RECIPE,
    damage::RECIPE,
    bench::RECIPE,
    bad_input::RECIPE,
    members::RECIPE,
    paused_leader::RECIPE,
    projections_fencing::RECIPE,
    projections_walkthrough::RECIPE,
    projections_workers::RECIPE,
    fresh_clone::RECIPE,
    kv::RECIPE,
    kv_claims::RECIPE,
    projections_bad_reducers::RECIPE,
    projections_bench::RECIPE,
    projections_exactly_once::RECIPE,
    projections_postgres::RECIPE,
    prove_chaos::RECIPE,
    prove_crash_points::RECIPE,
    prove_damage_sweep::RECIPE,
    prove_failover::RECIPE,
    prove_fuzz::RECIPE,
    prove_interleavings::RECIPE,
    prove_peers::RECIPE,
    prove_planted::RECIPE,
    prove_repair::RECIPE,
    prove_simulation::RECIPE,
    prove_speed::RECIPE,
    streams_groups::RECIPE,
    streams_orders::RECIPE,
    streams_bench::RECIPE,
    streams_slow_subscribers::RECIPE,
    streams_subscribe::RECIPE,
    transfers::RECIPE,
    withdrawals::RECIPE,
];
