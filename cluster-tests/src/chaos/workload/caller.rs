//! One client: every call goes to one node, once, has an honest time-out, and
//! is written down with what came of it.

mod appending;
mod keys;
mod looking;
mod wire;

use std::{collections::HashMap, time::Duration};

use anyhow::{Result, bail};
use weir_check::rng::Rng;
use weir_client::{AppendSession, ReadSession};

use super::Context;
use crate::edge::Edge;

pub(super) use appending::Way;
pub(super) use keys::Changed;
pub(super) use looking::{Look, mark_of};
pub(super) use wire::{Answer, Lost};

/// How many of a hundred clients wait out a change of leader.
const PATIENT_PERCENT: u64 = 40;
/// Wrong answers that one client tells; the others are only counted.
const WRONGS_TOLD: usize = 10;

/// A client. Its calls are one after another.
pub(super) struct Caller {
    pub(super) context: Context,
    pub(super) rng: Rng,
    /// The workload's name.
    part: &'static str,
    number: u64,
    http: reqwest::Client,
    sessions: HashMap<u64, AppendSession>,
    read_sessions: HashMap<u64, ReadSession>,
    patience: Duration,
    marks: u64,
    wrongs: Vec<String>,
}

impl Caller {
    /// One more client of a workload, that waits 1 to 3 s for an answer, or longer than a change of leader takes.
    pub(super) fn new(context: &Context, part: &'static str) -> Self {
        let number = context.client();
        // The number of a client depends on who came first, so its choices hang on its name alone.
        let mut rng = context.rng(&format!("{part}-{number}"));
        let patience = if rng.chance(PATIENT_PERCENT) { 4_000..9_000 } else { 1_000..3_000 };
        let patience = Duration::from_millis(rng.within(patience));
        Self {
            context: context.clone(),
            rng,
            part,
            number,
            http: wire::http(),
            sessions: HashMap::new(),
            read_sessions: HashMap::new(),
            patience,
            marks: 0,
            wrongs: Vec::new(),
        }
    }

    /// A mark that nobody else makes.
    pub(super) fn mark(&mut self) -> String {
        self.marks += 1;
        format!("{}-{}-{}", self.part, self.number, self.marks)
    }

    /// Several of them.
    pub(super) fn marks(&mut self, count: u64) -> Vec<String> {
        (0..count).map(|_| self.mark()).collect()
    }

    /// Any node.
    pub(super) fn node(&mut self) -> (u64, Edge) {
        self.context.nodes.pick(&mut self.rng)
    }

    /// Any node but this one, if there is another.
    pub(super) fn other_node(&mut self, than: u64) -> (u64, Edge) {
        let others: Vec<_> = self.context.nodes.all().into_iter().filter(|(node, _)| *node != than).collect();
        match self.rng.pick(&others) {
            Some(other) => other.clone(),
            None => self.node(),
        }
    }

    /// One more of `part.what`.
    pub(super) fn count(&self, what: &str) {
        self.context.counters.count(&format!("{}.{what}", self.part));
    }

    /// Lets between half and one and a half of the mean pass, or less under load, and waits for the end of a
    /// lull. Whether to go on.
    pub(super) async fn pace(&mut self, mean: Duration) -> bool {
        let permille = u32::try_from(self.rng.within(500..1_500)).unwrap_or(1_000);
        self.context.stop.pause(mean * permille / 1_000 / self.context.load).await
            && tokio::select! {
                () = self.context.lull.over() => true,
                () = self.context.stop.told() => false,
            }
    }

    /// Notes an answer that no fault explains; the client goes on.
    pub(super) fn wrong(&mut self, what: String) {
        self.count("wrong");
        eprintln!("{} client {}: {what}", self.part, self.number);
        if self.wrongs.len() < WRONGS_TOLD {
            self.wrongs.push(what);
        }
    }

    /// The end of its work.
    ///
    /// # Errors
    /// With the wrong answers.
    pub(super) fn end(self) -> Result<()> {
        if self.wrongs.is_empty() {
            return Ok(());
        }
        bail!("{} client {} was told what cannot be: {}", self.part, self.number, self.wrongs.join("; "))
    }
}
