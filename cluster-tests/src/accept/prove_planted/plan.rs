/// What a bug is looked for with: some of the workloads, and some of the
/// faults so that they come often. All clients work together where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing but clients; leadership moves by the book.
    Calm,
    /// Processes are killed.
    Kills,
    /// Leaders are cut off, and do not know.
    Cuts,
    /// Leaders die, under writers alone.
    Leaders,
    /// Power fails.
    Power,
    /// Bits rot, and what is derived from the log is lost.
    Rot,
    /// NATS fails.
    Bus,
    /// An import is under way while leaders die.
    Imports,
}

/// Every plan.
pub(super) const PLANS: [Plan; 8] =
    [Plan::Calm, Plan::Kills, Plan::Cuts, Plan::Leaders, Plan::Power, Plan::Rot, Plan::Bus, Plan::Imports];

impl Plan {
    /// The flags of `chaos` that stand for it.
    pub(super) fn flags(self) -> [(&'static str, &'static str); 3] {
        let clients = "guarded,unguarded,reads,retries,freshness,projections";
        let (workloads, faults, nats) = match self {
            Self::Calm => (clients, "transfer", "1"),
            Self::Kills => (clients, "kill-one,kill-leader,kill-all,restart-loop", "1"),
            Self::Cuts => (clients, "isolate-leader,deafen-leader,mute-leader,pause-leader", "1"),
            Self::Leaders => ("guarded,unguarded,reads", "kill-leader", "0"),
            Self::Power => (clients, "power-cut-all,power-cut-leader,power-cut-one", "1"),
            Self::Rot => (clients, "flip-log,lose-state,rot-index", "1"),
            Self::Bus => (
                "guarded,unguarded,consumers",
                "nats-kill-one,nats-kill-all,nats-rewind,stream-delete,transfer",
                "3",
            ),
            Self::Imports => ("imports", "kill-leader,pause-leader,isolate-leader", "0"),
        };
        [("--workloads", workloads), ("--faults", faults), ("--nats", nats)]
    }
}
