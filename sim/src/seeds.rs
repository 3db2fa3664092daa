//! Many seeds, each in a process of its own: nothing of one run can reach another.

use std::{
    collections::BTreeMap,
    io::Read as _,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::verdict::Verdict;

/// How long one seed may take in real time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What many seeds showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Seeds that were run.
    pub seeds: u64,
    /// Those that do not hold.
    pub failed: Vec<u64>,
    /// Seeds that were run twice, with equal traces.
    pub twice: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Operations.
    pub operations: u64,
    /// Real milliseconds.
    pub took_ms: u64,
    /// What happened how often, over all seeds.
    pub counts: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds a seed's verdict.
    pub fn add(&mut self, verdict: &Verdict) {
        self.seeds += 1;
        self.simulated_ms += verdict.simulated_ms;
        self.operations += verdict.operations;
        for (name, count) in &verdict.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        if !verdict.wrong.is_empty() {
            self.failed.push(verdict.seed);
        }
    }
}

/// The verdict over one seed, from a process of its own: `program one --seed N ARGS`.
///
/// # Errors
/// When the process does not end in time, or says no verdict.
pub fn one(program: &std::path::Path, seed: u64, args: &[&str]) -> Result<Verdict> {
    let mut command = Command::new(program);
    command.args(["one", "--seed", &seed.to_string()]).args(args);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start a run")?;
    let mut stdout = child.stdout.take().context("a run has no output")?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        // Nobody listens any more when the run took too long.
        let _ = tell.send(stdout.read_to_string(&mut text).map(|_| text));
    });
    let Ok(text) = told.recv_timeout(PATIENCE) else {
        child.kill()?;
        child.wait()?;
        bail!("seed {seed} does not end in {} s", PATIENCE.as_secs());
    };
    let (text, status) = (text.context("the output of a run cannot be read")?, child.wait()?);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("seed {seed} ended with {status} and no verdict"))
}
