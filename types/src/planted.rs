//! Bugs that are planted on purpose, one at a time, to see that the chaos harness catches each.
//!
//! Test only. Without the feature `planted`, which no other feature and no
//! default asks for, [`planted`] is the constant `false` and a build carries
//! nothing of it; `cargo xtask tidy` holds that. `weir-planted`, the one binary
//! with the feature, has the bug that the environment variable [`VARIABLE`] names.

use std::{fmt, str::FromStr};

/// The environment variable that names the bug.
pub const VARIABLE: &str = "WEIR_PLANTED";

macro_rules! plants {
    ($($(#[$doc:meta])+ $plant:ident = $name:literal,)+) => {
        /// A bug. What it breaks, and by which invariant it shows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Planted {
            $($(#[$doc])+ $plant,)+
        }

        impl Planted {
            /// Every bug.
            pub const ALL: &'static [Self] = &[$(Self::$plant,)+];

            /// Its name, as [`VARIABLE`] takes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$plant => $name,)+
                }
            }
        }
    };
}

plants! {
    // The log.
    /// A1: records count as durable before any fsync.
    AckBeforeFsync = "ack-before-fsync",
    /// W1: a vote is kept in memory alone, and a restart forgets it.
    VoteForgotten = "vote-forgotten",
    /// A cut of an uncommitted tail takes the record before it along: the node cannot go on.
    CutTooFar = "cut-too-far",
    /// A1: damage amid the log is cut as if it were a torn tail.
    DamageTakenForTornTail = "damage-taken-for-torn-tail",
    /// The replay at start begins one record late: apply refuses the hole.
    ReplaySkipsOne = "replay-skips-one",
    /// The replay at start leaves out the registry that a lost state held.
    RegistryNotReplayed = "registry-not-replayed",
    /// The replay at start leaves out the key-value commands that a lost state held.
    KvNotReplayed = "kv-not-replayed",

    // Raft and apply.
    /// A worker's save is taken under a lease that is over, and the checks of its change do not count.
    SaveIgnoresFence = "save-ignores-fence",
    /// A worker's save moves the checkpoint before its state: a leader that falls in between has lost the state.
    WorkerCheckpointFirst = "worker-checkpoint-first",
    /// A restarted node does not know its members: the cluster does not come back.
    MembershipForgotten = "membership-forgotten",
    /// R1: apply uses a value of its own process.
    ApplyUsesOwnValue = "apply-uses-own-value",
    /// A2: an actor counts one too many when it is loaded, and apply trusts it.
    HoleAfterActivation = "hole-after-activation",
    /// The index keeps a head that it has in memory, and does not take a newer one: what came after is not read, and
    /// appends are refused for ever.
    HeadCacheNotUpdated = "head-cache-not-updated",
    /// A1: of a transaction's streams the first half is written.
    TransactionAppliedInPart = "transaction-applied-in-part",
    /// Conditions of a transaction are not looked at.
    ConditionIgnored = "condition-ignored",
    /// A1: of an append of several events the first half is applied.
    AppendAppliedInPart = "append-applied-in-part",
    /// A1: the appends of one entry are answered in the wrong order.
    AnswersSwapped = "answers-swapped",
    /// Keys: a put by revision does not compare it.
    CasIgnoresRevision = "cas-ignores-revision",
    /// Keys: what is to live for a time is taken for due at once.
    DueTooEarly = "due-too-early",

    // Projections.
    /// P1, Q1: a new generation answers before it has caught up with the one that answered.
    SwapBeforeCaughtUp = "swap-before-caught-up",

    // The actor and the edge.
    /// Streams: the expected version is not checked.
    GuardIgnored = "guard-ignored",
    /// Streams: expected version 0, which is an empty stream, is taken for any.
    ZeroMeansAny = "zero-means-any",
    /// Accounts: an invariant judges on the state before the stream's last event, and apply does not compare.
    JudgedOnOlderState = "judged-on-older-state",
    /// Streams: a refusal does not wait for what it rests on.
    RefusalNotHeld = "refusal-not-held",
    /// A3: what an idempotency key led to is not kept.
    KeyForgotten = "key-forgotten",
    /// A3: a key is known again whatever it is used for.
    KeyWithoutDigest = "key-without-digest",
    /// A3: a repeat is answered as if it were the first.
    RepeatToldAsFirst = "repeat-told-as-first",
    /// A1: an append whose outcome is unknown is sent again, without a key.
    UnknownIsRetried = "unknown-is-retried",
    /// A4: a follower that hears no more of a forwarded append takes it for never sent.
    LostAnswerIsNotSent = "lost-answer-is-not-sent",
    /// A1: two answers of one session change places.
    SessionAnswersSwapped = "session-answers-swapped",
    /// An import takes a batch of which it heard nothing for done.
    ImportTakesUnknownForDone = "import-takes-unknown-for-done",

    // Reads.
    /// Streams: a linearizable read does not ask the leader.
    StaleRead = "stale-read",
    /// Q1: a read does not wait for its `min_position`.
    MinPositionIgnored = "min-position-ignored",
    /// Streams: a page says that it reflects one position more than it does.
    AppliedToldTooHigh = "applied-told-too-high",
    /// Streams: a page that is read backward leaves out the newest event.
    BackwardMissesNewest = "backward-misses-newest",
    /// Streams: a page holds one event more than it may.
    PageOverItsLimit = "page-over-its-limit",
    /// Streams: the next page begins one event late.
    PageSkipsOne = "page-skips-one",
    /// P1: a status joins a deployment with the checkpoint that is left of it a moment later.
    StatusOfTwoMoments = "status-of-two-moments",
    /// A list of streams leaves out the first.
    ListMissesOne = "list-misses-one",

    // The past of streams.
    /// Moments: what was recorded until a time takes the event after it along.
    AsOfTakesTheNext = "as-of-takes-the-next",
    /// Moments: a state is kept for the version after its own, and the next fold leaves that event out.
    StateKeptForTheNext = "state-kept-for-the-next",

    // Subscriptions.
    /// S1: where history ends and the live part begins, one event is left out.
    LiveJoinedLate = "live-joined-late",
    /// S1: the cursor of a frame says one event more than was given.
    CursorTooHigh = "cursor-too-high",

    // Consumer groups.
    /// Groups: an event is handed out while an older one of its entity is not settled.
    ConsumersOutOfOrder = "consumers-out-of-order",
    /// Groups: an ack is answered before it is written.
    AckToldEarly = "ack-told-early",

    // The outbox.
    /// O1: publishes say nothing of the sequence that they expect.
    OutboxWithoutFence = "outbox-without-fence",
    /// O1: a new leader goes on after what is applied, not after what the bus holds.
    OutboxGuessesItsCursor = "outbox-guesses-its-cursor",
    /// O1: after a failure the bus is not asked again what it holds.
    OutboxKeepsItsCursor = "outbox-keeps-its-cursor",
    /// O1: the last event is not published until another comes.
    OutboxLeavesOutTheLast = "outbox-leaves-out-the-last",

    // Projections.
    /// P2: the checkpoint is durable before the views that it stands for.
    CheckpointBeforeState = "checkpoint-before-state",
    /// P2: the views are durable before their checkpoint.
    StateBeforeCheckpoint = "state-before-checkpoint",
    /// P2: a checkpoint is told before it is stored.
    CheckpointToldEarly = "checkpoint-told-early",
    /// P2: after a restart the last event is folded once more.
    FoldedTwiceAfterRestart = "folded-twice-after-restart",
    /// P2: numbers that differ after the point are one partition.
    PartitionsMixedUp = "partitions-mixed-up",
    /// P2: a view is answered with a checkpoint that was read after it.
    ViewOfAnotherMoment = "view-of-another-moment",
    /// P2: a projection that is deployed anew begins with the views of the one before.
    RedeployedInheritsViews = "redeployed-inherits-views",
    /// Q1: a view is answered before it has folded its `min_position`.
    ViewTooEarly = "view-too-early",
}

/// Whether this bug is planted here. Always false without the feature `planted`.
#[cfg(not(feature = "planted"))]
#[inline]
#[must_use]
pub const fn planted(_: Planted) -> bool {
    false
}

/// Whether this bug is planted here.
///
/// # Panics
/// Panics when [`VARIABLE`] names no bug: a proof with a misspelled one would prove nothing.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(bug: Planted) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Planted>> = std::sync::OnceLock::new();
    let chosen = || {
        let named = std::env::var(VARIABLE).ok();
        named.map(|name| name.parse().expect("the variable names a bug that can be planted"))
    };
    *CHOSEN.get_or_init(chosen) == Some(bug)
}

impl fmt::Display for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no bug has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no bug named {0} can be planted")]
pub struct UnknownPlant(String);

impl FromStr for Planted {
    type Err = UnknownPlant;

    fn from_str(name: &str) -> Result<Self, UnknownPlant> {
        let found = Self::ALL.iter().find(|plant| plant.name() == name);
        found.copied().ok_or_else(|| UnknownPlant(name.to_owned()))
    }
}

#[cfg(all(test, not(feature = "planted")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_as_it_is_delivered_has_no_bug_planted_and_every_name_is_its_own() {
        for plant in Planted::ALL {
            assert!(!planted(*plant));
            assert_eq!(plant.name().parse(), Ok(*plant), "{plant} is another's name too");
        }
        assert_eq!("none".parse::<Planted>(), Err(UnknownPlant("none".to_owned())));
    }
}
