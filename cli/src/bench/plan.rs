use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::cpu::Process;
use crate::duration::parse_duration;

/// How to measure, whatever is measured.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Callers at once; several numbers are several runs
    #[arg(long, default_value = "1,16,64,256", value_delimiter = ',', value_name = "N[,N…]")]
    pub(super) in_flight: Vec<u16>,
    /// Begin this many calls a second, by the clock, and measure each from when it was due; `--in-flight` is
    /// then the most that wait for an answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: Option<u32>,
    /// How long each run measures
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(super) duration: Duration,
    /// How long each run goes before it measures
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub(super) warmup: Duration,
    /// Threads of the bench itself
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) threads: u8,
    /// Count the CPU of this process too; nodes on this machine are found by themselves
    #[arg(long, value_name = "NAME=PID")]
    pub(super) pid: Vec<Process>,
    /// A node's data folder on this machine, to tell its bytes; repeat
    #[arg(long, value_name = "DIR")]
    pub(super) data: Vec<PathBuf>,
}
