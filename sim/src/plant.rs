//! Planted bugs: each is something that Weir must not do, done on purpose, and
//! the simulation must notice.

use std::str::FromStr;

use anyhow::bail;

/// What is wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// A disk whose syncs do nothing and say that they did.
    SyncsLie,
    /// A disk on which only the vote is never durable.
    VoteSyncsLie,
    /// A disk that is put back to an earlier state when the power comes back.
    RolledBack,
    /// A network that delivers forwarded requests twice.
    FramesTwice,
    /// A linearizable read that shows what its node has applied.
    StaleRead,
    /// A read that does not wait for the position that it was asked to reflect.
    PositionIgnored,
    /// An acknowledgement of what may or may not come about.
    UnknownAcked,
    /// A refusal of what may come about after all.
    UnknownRefused,
    /// An edge that repeats by itself what has an unknown outcome, without a key.
    UnknownRepeated,
    /// An edge that forgets the idempotency key.
    KeyForgotten,
    /// An edge that forgets the guard.
    GuardForgotten,
    /// An edge that drops the last event of an append of several.
    EventDropped,
    /// A page that leaves an event out.
    PageWithHole,
    /// An edge that acknowledges before it asks.
    AckedEarly,
    /// A compare-and-set that does not compare.
    RevisionIgnored,
    /// A read of a key that shows what its node has applied.
    StaleKey,
    /// A transaction whose last part is an append of its own.
    PartApart,
    /// An invariant that refuses nothing.
    InvariantAsleep,
    /// A state of the past that lacks the last event.
    StateOfBefore,
    /// A verdict that is told to be taken and is not.
    AckForgotten,
    /// A consumer group whose filter is not there.
    GroupUnfiltered,
    /// A cursor that is one position further than what was given.
    CursorAhead,
    /// A transaction whose checks and conditions are not looked at.
    RestsForgotten,
    /// Schemas that nothing is held against.
    SchemasAsleep,
    /// Rules of metadata that are not there.
    MetadataAsleep,
    /// A snapshot that says to be of the version before.
    SnapshotOfBefore,
    /// A state of the past for which times do not count.
    TimesIgnored,
    /// A search of the log that leaves an event out.
    SearchWithHole,
    /// A validation that writes what it validates.
    ValidationWrites,
    /// A claim that does not look who holds it.
    LeaseIgnored,
    /// Events for a worker, without the state that they are to be folded into.
    WorkedStateLost,
    /// A table that holds its last row twice.
    RowTwice,
    /// A webhook that counts as answered when it fell silent, or refused.
    SilenceTaken,
    /// A publisher that has the bus take what does not follow what it holds.
    PublishedUnfenced,
    /// A save of a worker that was refused for its lease, and is told to be taken.
    LateSaveTold,
}

/// Every plant with its name.
pub const PLANTS: [(&str, Plant); 35] = [
    ("syncs-lie", Plant::SyncsLie),
    ("vote-syncs-lie", Plant::VoteSyncsLie),
    ("rolled-back", Plant::RolledBack),
    ("frames-twice", Plant::FramesTwice),
    ("stale-read", Plant::StaleRead),
    ("position-ignored", Plant::PositionIgnored),
    ("unknown-acked", Plant::UnknownAcked),
    ("unknown-refused", Plant::UnknownRefused),
    ("unknown-repeated", Plant::UnknownRepeated),
    ("key-forgotten", Plant::KeyForgotten),
    ("guard-forgotten", Plant::GuardForgotten),
    ("event-dropped", Plant::EventDropped),
    ("page-with-hole", Plant::PageWithHole),
    ("acked-early", Plant::AckedEarly),
    ("revision-ignored", Plant::RevisionIgnored),
    ("stale-key", Plant::StaleKey),
    ("part-apart", Plant::PartApart),
    ("invariant-asleep", Plant::InvariantAsleep),
    ("state-of-before", Plant::StateOfBefore),
    ("ack-forgotten", Plant::AckForgotten),
    ("group-unfiltered", Plant::GroupUnfiltered),
    ("cursor-ahead", Plant::CursorAhead),
    ("rests-forgotten", Plant::RestsForgotten),
    ("schemas-asleep", Plant::SchemasAsleep),
    ("metadata-asleep", Plant::MetadataAsleep),
    ("snapshot-of-before", Plant::SnapshotOfBefore),
    ("times-ignored", Plant::TimesIgnored),
    ("search-with-hole", Plant::SearchWithHole),
    ("validation-writes", Plant::ValidationWrites),
    ("lease-ignored", Plant::LeaseIgnored),
    ("worked-state-lost", Plant::WorkedStateLost),
    ("row-twice", Plant::RowTwice),
    ("silence-taken", Plant::SilenceTaken),
    ("published-unfenced", Plant::PublishedUnfenced),
    ("late-save-told", Plant::LateSaveTold),
];

impl FromStr for Plant {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match PLANTS.iter().find(|(known, _)| *known == name) {
            Some((_, plant)) => Ok(*plant),
            None => bail!("there is no plant `{name}`; there are {:?}", PLANTS.map(|(name, _)| name)),
        }
    }
}
