use std::{fs, thread};

use serde::Serialize;

/// The machine that the numbers are of: the one that the bench runs on.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    cores: usize,
    kernel: String,
    cpu: String,
    /// Load averages over 1, 5 and 15 minutes, before the run.
    load_average: String,
    memory_mb: u64,
}

impl Machine {
    pub(super) fn here() -> Self {
        let fact = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let load = fact("/proc/loadavg");
        let model = fact("/proc/cpuinfo");
        let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let memory = fact("/proc/meminfo");
        let kilobytes =
            memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Self {
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: fact("/proc/sys/kernel/osrelease"),
            cpu: model.map(|(_, name)| name.to_owned()).unwrap_or_default(),
            load_average: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            memory_mb: kilobytes.unwrap_or(0) / 1_024,
        }
    }
}
