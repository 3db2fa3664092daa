//! The machine, and what its processes take of it.

use std::{collections::HashMap, fs, thread};

use serde_json::{Value, json};

/// The facts of the machine.
pub fn facts() -> Value {
    let fact = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let model = fact("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = fact("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    json!({
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "kernel": fact("/proc/sys/kernel/osrelease"),
        "cpu": model.map(|(_, name)| name).unwrap_or_default(),
        "memoryMb": memory.unwrap_or(0) / 1024,
        "loadAverage": fact("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
    })
}

/// Seconds of CPU so far.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
}

impl Cpu {
    pub fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }

    pub fn total(self) -> f64 {
        self.user + self.system
    }
}

/// What a process and all that it started have taken, those that ended included.
pub fn of_tree(root: u32) -> Cpu {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(stat) = stat(pid) {
            children.entry(stat.0).or_default().push(pid);
        }
    }
    let (mut sum, mut open) = (Cpu::default(), vec![root]);
    while let Some(pid) = open.pop() {
        if let Some((_, cpu)) = stat(pid) {
            sum = Cpu { user: sum.user + cpu.user, system: sum.system + cpu.system };
        }
        open.extend(children.get(&pid).into_iter().flatten());
    }
    sum
}

/// What all processes have taken.
pub fn of_machine() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    // User, nice and system; interrupts are taken on behalf of whoever runs.
    [0, 1, 2].iter().filter_map(|field| ticks.get(*field)).sum::<f64>() / 100.0
}

/// Its parent, and its time with that of the children that it has waited for. A tick is 1/100 s on Linux.
fn stat(pid: u32) -> Option<(u32, Cpu)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok().map(|ticks| ticks / 100.0);
    let cpu = Cpu { user: ticks(11)? + ticks(13)?, system: ticks(12)? + ticks(14)? };
    Some((fields.get(1)?.parse().ok()?, cpu))
}
