use std::{fs, process, str::FromStr};

use serde::Serialize;

/// Clock ticks of a second in `/proc`, on Linux.
const TICKS: f64 = 100.0;

/// A process whose CPU is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub(super) name: String,
    pub(super) pid: u32,
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').unwrap_or((text, text));
        let pid = pid.parse().map_err(|_| format!("`{text}` is neither PID nor NAME=PID"))?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

/// Seconds of CPU so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Taken {
    user: f64,
    system: f64,
}

/// What each process and the whole machine have taken at one time.
#[derive(Debug)]
pub(super) struct Sample {
    processes: Vec<Taken>,
    machine: f64,
}

/// The CPU that one process took in a run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CpuLine {
    name: String,
    pid: u32,
    user_seconds: f64,
    system_seconds: f64,
    seconds_per_1000_calls: Option<f64>,
    /// Resident memory at the run's end.
    rss_mb: u64,
}

/// The processes of a run; the bench itself is the last, as `client`.
#[derive(Debug)]
pub(super) struct Watch(Vec<Process>);

impl Watch {
    pub(super) fn new(mut processes: Vec<Process>) -> Self {
        processes.push(Process { name: "client".to_owned(), pid: process::id() });
        Self(processes)
    }

    pub(super) fn sample(&self) -> Sample {
        Sample {
            processes: self.0.iter().map(|process| taken_by(process.pid)).collect(),
            machine: taken_by_all(&fact("/proc/stat")),
        }
    }

    /// The CPU between two samples, for this many calls.
    pub(super) fn lines(&self, before: &Sample, after: &Sample, calls: u64) -> Vec<CpuLine> {
        let between = before.processes.iter().zip(&after.processes);
        let line = |(process, (before, after)): (&Process, (&Taken, &Taken))| {
            let (user, system) = (after.user - before.user, after.system - before.system);
            let per_1000 = (calls > 0).then(|| (user + system) * 1_000.0 / calls as f64);
            CpuLine {
                name: process.name.clone(),
                pid: process.pid,
                user_seconds: user,
                system_seconds: system,
                seconds_per_1000_calls: per_1000,
                rss_mb: resident_mb(process.pid),
            }
        };
        self.0.iter().zip(between).map(line).collect()
    }

    /// Cores that none of these processes took: how quiet the machine was.
    pub(super) fn other_cores(before: &Sample, after: &Sample, seconds: f64) -> f64 {
        let all =
            |sample: &Sample| sample.processes.iter().map(|taken| taken.user + taken.system).sum::<f64>();
        let ours = all(after) - all(before);
        ((after.machine - before.machine - ours) / seconds).max(0.0)
    }
}

impl CpuLine {
    pub(super) fn is_client(&self) -> bool {
        self.name == "client"
    }

    pub(super) fn per_1000(&self) -> f64 {
        self.seconds_per_1000_calls.unwrap_or(0.0)
    }
}

fn fact(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Nothing of a process that is gone, or where there is no `/proc`.
fn taken_by(pid: u32) -> Taken {
    stat_of(&fact(&format!("/proc/{pid}/stat"))).unwrap_or_default()
}

/// The name of a process may hold blanks and brackets; the numbers follow its last `)`.
fn stat_of(stat: &str) -> Option<Taken> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS);
    Some(Taken { user: seconds()?, system: seconds()? })
}

/// user, nice and system of `/proc/stat`'s first line; interrupts are taken on behalf of whoever runs.
fn taken_by_all(stat: &str) -> f64 {
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    ticks.iter().take(3).sum::<f64>() / TICKS
}

fn resident_mb(pid: u32) -> u64 {
    let status = fact(&format!("/proc/{pid}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_name_or_is_named_by_its_number() {
        assert_eq!("nats=12".parse(), Ok(Process { name: "nats".into(), pid: 12 }));
        assert_eq!("12".parse(), Ok(Process { name: "12".into(), pid: 12 }));
        assert!("nats".parse::<Process>().is_err());
    }

    #[test]
    fn the_times_stand_behind_the_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 250 125 9 9 20 0";
        assert_eq!(stat_of(stat), Some(Taken { user: 2.5, system: 1.25 }));
        assert_eq!(stat_of(""), None);
        assert_eq!(taken_by_all("cpu  100 20 30 9999 888 7 3 0 0 0\ncpu0 1"), 1.5);
    }

    #[test]
    fn what_nobody_of_ours_took_is_the_others() {
        let watch = Watch::new(vec![]);
        let sample = |client: f64, machine: f64| Sample {
            processes: vec![Taken { user: client, system: 0.0 }],
            machine,
        };
        let (before, after) = (sample(1.0, 10.0), sample(2.0, 13.0));
        assert_eq!(Watch::other_cores(&before, &after, 4.0), 0.5);
        let lines = watch.lines(&before, &after, 2_000);
        assert_eq!((lines.len(), lines[0].per_1000(), lines[0].is_client()), (1, 0.5, true));
    }
}
