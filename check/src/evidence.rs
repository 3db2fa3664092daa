//! A history and a final state, indexed once for all checkers.

mod append;
mod log;

use rustc_hash::{FxHashMap, FxHashSet};
use weir_types::limits;

pub use append::{Append, Fate, Intent};
pub use log::Log;

use crate::{
    history::{Call, History, NodeReport, Operation, Seen},
    state::FinalState,
};

/// What the product promises and a checker cannot know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Positions over which an idempotency key is remembered.
    pub key_window: u64,
    /// Whether a checkpoint may not fall even over a restart of its node. Views are not flushed per event,
    /// so by default it may: the fold is then done again.
    pub checkpoints_survive_restart: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { key_window: limits::IDEMPOTENCY_WINDOW_EVENTS, checkpoints_survive_restart: false }
    }
}

/// What the checkers look at.
pub struct Evidence<'a> {
    /// What clients did and saw.
    pub history: &'a History,
    /// What is there afterwards.
    pub end: &'a FinalState,
    /// What to assume.
    pub rules: Rules,
    /// The longest log among the nodes, to which the others are held equal by R2.
    pub log: Log<'a>,
    /// Every append operation, in the order of the history.
    pub appends: Vec<Append<'a>>,
    /// The appends that clients wanted: one per content, however often it was sent.
    pub intents: Vec<Intent<'a>>,
    by_mark: FxHashMap<&'a str, u32>,
}

impl<'a> Evidence<'a> {
    /// Indexes a run.
    #[must_use]
    pub fn new(history: &'a History, end: &'a FinalState, rules: Rules) -> Self {
        let log = Log::new(end.longest());
        let appends: Vec<_> = history.operations.iter().filter_map(Append::of).collect();
        let (intents, by_mark) = append::intents(&appends);
        Self { history, end, rules, log, appends, intents, by_mark }
    }

    /// The wanted append that a mark belongs to; `None` if nobody sent it.
    #[must_use]
    pub fn intent_of(&self, mark: &str) -> Option<&Intent<'a>> {
        self.by_mark.get(mark).map(|&at| &self.intents[at as usize])
    }

    /// The append operations of a wanted append.
    pub fn sends(&self, intent: &Intent<'a>) -> impl Iterator<Item = &Append<'a>> {
        intent.sends.iter().map(|&at| &self.appends[at as usize])
    }

    /// Whether all that was sent for it was refused, so that nothing of it may be there.
    #[must_use]
    pub fn is_refused(&self, intent: &Intent<'a>) -> bool {
        self.sends(intent).all(|append| matches!(append.fate, Fate::Refused { .. }))
    }

    /// The ids of the operations that sent it.
    #[must_use]
    pub fn send_ids(&self, intent: &Intent<'a>) -> Vec<u64> {
        self.sends(intent).map(|append| append.op.id).collect()
    }

    /// What nodes said of themselves during the run, with the operation.
    pub fn reports(&self) -> impl Iterator<Item = (&'a Operation, u64, &'a NodeReport)> {
        self.history.operations.iter().filter_map(|op| match (&op.call, op.seen()) {
            (Call::NodeState { node }, Some(Seen::Node(report))) => Some((op, *node, report)),
            _ => None,
        })
    }

    /// The logs that differ from [`Evidence::log`], with their node, and how many nodes hold exactly it.
    #[must_use]
    pub fn replicas(&self) -> (u64, Vec<(u64, Log<'a>)>) {
        let mut equal = 0;
        let mut differing = Vec::new();
        for node in &self.end.nodes {
            if std::ptr::eq(node.events.as_slice(), self.log.events) || node.events == self.log.events {
                equal += 1;
            } else {
                differing.push((node.node, Log::new(&node.events)));
            }
        }
        (equal, differing)
    }

    /// The operations with these ids.
    #[must_use]
    pub fn operations(&self, ids: &[u64]) -> Vec<&'a Operation> {
        let ids: FxHashSet<u64> = ids.iter().copied().collect();
        self.history.operations.iter().filter(|op| ids.contains(&op.id)).collect()
    }
}
