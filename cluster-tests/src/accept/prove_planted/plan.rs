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
    /// Leaders die while much is on its way to the others.
    Leaders,
    /// Power fails.
    Power,
    /// Bits rot, and what is derived from the log is lost.
    Rot,
    /// What is derived from the log is lost after nodes were stopped in order.
    Losses,
    /// NATS fails.
    Bus,
    /// NATS loses what it acknowledged, also while nobody writes; the leader stays.
    Rewinds,
    /// An import is under way while leaders die.
    Imports,
    /// Keys are changed and claimed while processes are killed.
    Keys,
    /// Subscribers go from node to node.
    Subscribers,
    /// Consumers of a group go from leader to leader.
    Groups,
    /// Workers go from leader to leader, and leaders fall.
    Workers,
    /// Accounts with an invariant, while leaders change.
    Accounts,
    /// The past of streams is read everywhere.
    Moments,
}

/// Every plan.
pub(super) const PLANS: [Plan; 16] = [
    Plan::Calm,
    Plan::Kills,
    Plan::Cuts,
    Plan::Leaders,
    Plan::Power,
    Plan::Rot,
    Plan::Losses,
    Plan::Bus,
    Plan::Rewinds,
    Plan::Imports,
    Plan::Keys,
    Plan::Subscribers,
    Plan::Groups,
    Plan::Workers,
    Plan::Accounts,
    Plan::Moments,
];

impl Plan {
    /// The lengths of the runs that look for a bug one after another, in seconds: most show at once.
    pub(super) fn lengths_s(self) -> [u64; 4] {
        match self {
            Self::Calm => [20, 40, 80, 240],
            _ => [45, 60, 120, 240],
        }
    }

    /// The flags of `chaos` that stand for it.
    pub(super) fn flags(self) -> [(&'static str, &'static str); 4] {
        let clients = "guarded,unguarded,reads,retries,freshness,projections,transactions";
        let (workloads, faults, nats, load) = match self {
            Self::Calm => (clients, "transfer", "1", "1"),
            Self::Kills => (clients, "kill-one,kill-leader,kill-all,restart-loop", "1", "1"),
            Self::Cuts => (
                "guarded,unguarded,reads",
                "isolate-leader,deafen-leader,mute-leader,pause-leader,delay-all",
                "0",
                "3",
            ),
            Self::Leaders => ("guarded,unguarded,reads", "kill-leader,delay-all", "0", "3"),
            Self::Power => (clients, "power-cut-all,power-cut-leader,power-cut-one", "1", "1"),
            Self::Rot => (clients, "flip-log,lose-state,rot-index", "1", "1"),
            Self::Losses => ("guarded,projections,kv", "rolling-restart,lose-state", "0", "1"),
            Self::Bus => (
                "guarded,unguarded,consumers",
                "nats-kill-one,nats-kill-all,nats-rewind,stream-delete,transfer",
                "3",
                "1",
            ),
            Self::Rewinds => ("guarded,unguarded", "lull,nats-rewind", "1", "1"),
            Self::Keys => ("kv", "kill-one,kill-leader,kill-all,restart-loop,pause-leader", "0", "2"),
            Self::Subscribers => ("subscribers,unguarded", "transfer,kill-one", "0", "1"),
            Self::Groups => ("groups", "kill-leader,isolate-leader,pause-leader,transfer", "0", "1"),
            Self::Workers => ("workers", "kill-leader,isolate-leader,pause-leader,transfer", "0", "1"),
            Self::Accounts => ("accounts", "transfer,kill-leader", "0", "2"),
            Self::Moments => ("moments", "transfer,kill-one", "0", "2"),
            Self::Imports => ("imports", "kill-leader,pause-leader,isolate-leader", "0", "1"),
        };
        [("--workloads", workloads), ("--faults", faults), ("--nats", nats), ("--load", load)]
    }
}
