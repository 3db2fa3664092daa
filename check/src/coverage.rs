//! The "sometimes" list: what a run must have met, or it is hollow.
//!
//! A green run in which no leader changed proves nothing about leader changes.
//! The list is data. What a history shows is counted by [`measure`]; what only
//! nodes and the harness know (a torn tail was cut, the outbox went back) is
//! given as counters of the same form.

mod leaders;
mod measure;

use std::collections::BTreeMap;

use serde::Serialize;

pub use measure::measure;

/// The run length for which minima are written, in seconds.
pub const FULL_S: u64 = 600;

/// One thing that must happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// The counter.
    pub name: &'static str,
    /// How often in a run of [`FULL_S`].
    pub minimum: u64,
    /// How the minimum follows the length of the run.
    pub scale: Scale,
    /// Runs shorter than this many seconds need not meet it.
    pub shortest_s: u64,
}

/// How a minimum follows the length of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// In proportion, at least 1.
    Rate,
    /// The same at any length.
    Once,
}

/// Something that did not happen often enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hollow {
    /// The counter.
    pub name: &'static str,
    /// How often it had to happen.
    pub wanted: u64,
    /// How often it happened.
    pub got: u64,
}

const fn rate(name: &'static str, minimum: u64, shortest_s: u64) -> Item {
    Item { name, minimum, scale: Scale::Rate, shortest_s }
}

const fn once(name: &'static str, shortest_s: u64) -> Item {
    Item { name, minimum: 1, scale: Scale::Once, shortest_s }
}

/// What the history of any run with faults must show; counted by [`measure`].
pub const SEEN_BY_CLIENTS: [Item; 18] = [
    rate("appends.acked", 2_000, 0),
    rate("appends.conflict", 50, 0),
    rate("appends.repeated", 50, 0),
    rate("appends.unknown_applied", 20, 120),
    rate("appends.unknown_absent", 20, 120),
    once("appends.repeated_across_leaders", 300),
    rate("appends.many_events", 50, 0),
    rate("reads.linearizable", 200, 0),
    rate("reads.local", 100, 0),
    rate("reads.at_least", 100, 0),
    rate("reads.backward", 20, 0),
    rate("views.min_position", 50, 0),
    rate("leaders.changes", 10, 60),
    rate("nodes.restarts", 10, 60),
    rate("reports.nodes", 100, 0),
    rate("faults.injected", 20, 60),
    rate("faults.kinds", 4, 120),
    once("reads.across_a_fault", 60),
];

/// What only consumers outside the cluster show.
pub const SEEN_BY_CONSUMERS: [Item; 4] = [
    rate("consumers.events", 2_000, 0),
    once("subscriptions.resumed", 120),
    once("subscriptions.resumed_across_leaders", 300),
    once("subscriptions.gaps", 300),
];

/// What nodes and the harness must count themselves.
pub const SEEN_INSIDE: [Item; 9] = [
    once("raft.leader_in_minority", 120),
    once("raft.uncommitted_tail_truncated", 300),
    rate("raft.snapshot_installs", 3, 600),
    once("raft.snapshot_install_interrupted", 600),
    once("log.torn_tail_cut", 300),
    once("log.corruption_detected", 300),
    once("subscriptions.slow_consumer_cut", 600),
    once("outbox.rewound", 300),
    once("projections.killed_between_fold_and_commit", 600),
];

/// The items that a run of this length has not met, in the order of the list.
#[must_use]
pub fn hollow(items: &[Item], counts: &BTreeMap<String, u64>, seconds: u64) -> Vec<Hollow> {
    let due = items.iter().filter(|item| seconds >= item.shortest_s);
    due.filter_map(|item| {
        let wanted = item.wanted(seconds);
        let got = counts.get(item.name).copied().unwrap_or(0);
        (got < wanted).then_some(Hollow { name: item.name, wanted, got })
    })
    .collect()
}

impl Item {
    /// How often it must happen in a run of this many seconds.
    #[must_use]
    pub fn wanted(&self, seconds: u64) -> u64 {
        match self.scale {
            Scale::Once => self.minimum,
            Scale::Rate => (self.minimum.saturating_mul(seconds) / FULL_S).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minima_follow_the_length_of_the_run() {
        let items = [rate("a", 20, 60), once("b", 300)];
        let counts = |a: u64, b: u64| BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        for (seconds, a, b, unmet) in [
            (30, 0, 0, 0),
            (60, 1, 0, 1),
            (60, 2, 0, 0),
            (300, 10, 0, 1),
            (600, 19, 1, 1),
            (6_000, 200, 1, 0),
        ] {
            assert_eq!(hollow(&items, &counts(a, b), seconds).len(), unmet, "{seconds} s, {a}, {b}");
        }
    }
}
