//! What goes wrong when: drawn from the seed alone, before anything runs.

use std::ops::Range;

use weir_check::rng::Rng;

/// One fault, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: FaultKind,
    /// When it begins, in milliseconds of the run.
    pub begins_ms: u64,
    /// When it is healed.
    pub ends_ms: u64,
}

/// The kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// The process is killed; its disk keeps what was written.
    Kill(u64),
    /// The power of one machine goes; what was not synced may go with it.
    PowerCut(u64),
    /// The power goes in the midst of a write, after so many more changes of the disk.
    TornWrite(u64, u64),
    /// A sync of the log fails, once: the process ends itself.
    SyncError(u64),
    /// The power of all machines goes at once.
    Blackout,
    /// One node hears and reaches nobody, clients included or not.
    Isolate(u64, bool),
    /// Nothing goes from the first to the second.
    OneWay(u64, u64),
    /// Nothing goes between the two.
    Cut(u64, u64),
    /// Everything between the two waits, and arrives at the end.
    Hold(u64, u64),
    /// Messages between the two take up to so many milliseconds.
    SlowLink(u64, u64, u64),
    /// The disk of one takes up to so many milliseconds for a write.
    SlowDisk(u64, u64),
    /// The clock of one is off by so many milliseconds.
    Clock(u64, i64),
    /// Whoever leads hands over to this node.
    Transfer(u64),
    /// A new node joins, and this one leaves when the fault ends.
    Replace(u64),
    /// All code is handed in anew: upcaster, invariant, projections.
    NewCode,
}

impl FaultKind {
    /// Its name in the history.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::PowerCut(_) => "power-cut",
            Self::TornWrite(..) => "torn-write",
            Self::SyncError(_) => "sync-error",
            Self::Blackout => "blackout",
            Self::Isolate(..) => "isolate",
            Self::OneWay(..) => "one-way",
            Self::Cut(..) => "cut",
            Self::Hold(..) => "hold",
            Self::SlowLink(..) => "slow-link",
            Self::SlowDisk(..) => "slow-disk",
            Self::Clock(..) => "clock",
            Self::Transfer(_) => "transfer",
            Self::Replace(_) => "replace",
            Self::NewCode => "new-code",
        }
    }

    /// The nodes that it hits; none for all.
    #[must_use]
    pub fn nodes(&self) -> Vec<u64> {
        match *self {
            Self::Blackout | Self::NewCode => Vec::new(),
            Self::OneWay(a, b) | Self::Cut(a, b) | Self::Hold(a, b) | Self::SlowLink(a, b, _) => vec![a, b],
            Self::Kill(node)
            | Self::PowerCut(node)
            | Self::TornWrite(node, _)
            | Self::SyncError(node)
            | Self::Isolate(node, _)
            | Self::SlowDisk(node, _)
            | Self::Clock(node, _)
            | Self::Transfer(node)
            | Self::Replace(node) => vec![node],
        }
    }
}

/// How many kinds there are to draw from.
const KINDS: u64 = 15;
/// Between the beginnings of two faults, in milliseconds.
const PAUSE_MS: Range<u64> = 150..1_400;
/// How long one lasts.
const LASTS_MS: Range<u64> = 100..2_500;

/// Draws the faults of a run of so many nodes and milliseconds, in order.
#[must_use]
pub fn draw(seed: u64, nodes: u64, from_ms: u64, until_ms: u64) -> Vec<Fault> {
    let mut rng = Rng::named(seed, "plan");
    // Each kind is there or not, so that some runs are about few of them.
    let allowed: Vec<u64> = (0..KINDS).filter(|_| rng.chance(60)).collect();
    let mut faults = Vec::new();
    let mut at = from_ms;
    while at < until_ms {
        if let Some(kind) = rng.pick(&allowed).copied() {
            let kind = one(kind, nodes, &mut rng);
            let ends_ms = (at + rng.within(LASTS_MS)).min(until_ms);
            faults.push(Fault { kind, begins_ms: at, ends_ms });
        }
        at += rng.within(PAUSE_MS);
    }
    faults
}

fn one(kind: u64, nodes: u64, rng: &mut Rng) -> FaultKind {
    let node = rng.within(1..nodes + 1);
    let other = 1 + (node - 1 + rng.within(1..nodes)) % nodes;
    match kind {
        0 => FaultKind::Kill(node),
        1 => FaultKind::PowerCut(node),
        2 => FaultKind::TornWrite(node, rng.within(0..12)),
        3 => FaultKind::Blackout,
        4 => FaultKind::Isolate(node, rng.chance(50)),
        5 => FaultKind::OneWay(node, other),
        6 => FaultKind::Cut(node, other),
        7 => FaultKind::Hold(node, other),
        8 => FaultKind::SlowLink(node, other, rng.within(20..200)),
        9 => FaultKind::SlowDisk(node, rng.within(10..300)),
        10 => FaultKind::Clock(node, i64::try_from(rng.within(0..7_200_000)).unwrap_or(0) - 3_600_000),
        11 => FaultKind::Replace(node),
        12 => FaultKind::SyncError(node),
        13 => FaultKind::NewCode,
        _ => FaultKind::Transfer(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_faults_every_time_and_every_kind_comes() {
        assert_eq!(draw(3, 3, 0, 20_000), draw(3, 3, 0, 20_000));
        let names: std::collections::BTreeSet<_> =
            (0..40).flat_map(|seed| draw(seed, 5, 0, 20_000)).map(|fault| fault.kind.name()).collect();
        assert_eq!(names.len() as u64, KINDS, "{names:?}");
    }

    #[test]
    fn faults_end_with_the_run_and_hit_two_different_nodes() {
        for fault in (0..40).flat_map(|seed| draw(seed, 3, 500, 9_000)) {
            assert!(fault.begins_ms <= fault.ends_ms && fault.ends_ms <= 9_000, "{fault:?}");
            let nodes = fault.kind.nodes();
            assert!(nodes.iter().all(|node| (1..=3).contains(node)), "{fault:?}");
            assert!(nodes.len() < 2 || nodes[0] != nodes[1], "{fault:?}");
        }
    }
}
