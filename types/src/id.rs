//! Ids and names. Each is checked once, where it enters, and trusted after.

use std::{fmt, sync::Arc};

use uuid::Uuid;

use crate::limits;

/// Why a name from outside was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no bytes.
    #[error("{kind} is empty")]
    Empty {
        /// What was named.
        kind: &'static str,
    },
    /// The name is longer than its limit.
    #[error("{kind} has {bytes} bytes, over the limit of {max}")]
    TooLong {
        /// What was named.
        kind: &'static str,
        /// Its bytes of UTF-8.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The name holds a control character (Unicode category Cc).
    #[error("{kind} holds a control character at byte {at}")]
    Control {
        /// What was named.
        kind: &'static str,
        /// Byte offset of the first one.
        at: usize,
    },
    /// The name holds a character outside the set that this kind allows.
    #[error("{kind} holds `{found}` at byte {at}; allowed are {allowed}")]
    Character {
        /// What was named.
        kind: &'static str,
        /// The character.
        found: char,
        /// Its byte offset.
        at: usize,
        /// The allowed set, in words.
        allowed: &'static str,
    },
}

pub(crate) fn check(kind: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if text.len() > max {
        return Err(NameError::TooLong { kind, bytes: text.len(), max });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(NameError::Control { kind, at }),
        None => Ok(()),
    }
}

/// Characters that a narrow name may hold, beside ASCII letters and digits.
pub(crate) struct Allowed {
    marks: &'static [char],
    /// All of them, in words.
    words: &'static str,
}

impl Allowed {
    /// Of buckets and consumer groups.
    pub(crate) const NARROW: Self = Self { marks: &['_', '-'], words: "ASCII letters, digits, `_` and `-`" };
    /// Of projections.
    const DOTTED: Self = Self { marks: &['_', '-', '.'], words: "ASCII letters, digits, `_`, `-` and `.`" };

    pub(crate) fn check(&self, kind: &'static str, text: &str) -> Result<(), NameError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || self.marks.contains(&c);
        match text.char_indices().find(|(_, c)| !legal(*c)) {
            Some((at, found)) => Err(NameError::Character { kind, found, at, allowed: self.words }),
            None => Ok(()),
        }
    }
}

/// A name of 1 to so many bytes of UTF-8 without control characters, and of fewer characters where it says so.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:expr $(, $allowed:expr)?) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// `NameError` when it is empty, too long, or holds other characters than it may.
            pub fn new(text: impl AsRef<str>) -> Result<Self, $crate::NameError> {
                let text = text.as_ref();
                $crate::id::check($kind, text, $max)?;
                $($allowed.check($kind, text)?;)?
                Ok(Self(std::sync::Arc::from(text)))
            }

            /// As [`Self::new`]; a name that is `before` is shared, and not checked again. Events that are
            /// neighbours have most names in common.
            ///
            /// # Errors
            /// As [`Self::new`].
            pub fn after(before: Option<&Self>, text: &str) -> Result<Self, $crate::NameError> {
                match before {
                    Some(before) if before.as_str() == text => Ok(before.clone()),
                    _ => Self::new(text),
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::NameError;
            fn from_str(text: &str) -> Result<Self, $crate::NameError> {
                Self::new(text)
            }
        }
    };
}
pub(crate) use name;

name!(
    /// The id of an entity, which is also the name of its stream.
    EntityId, "entity id", limits::ENTITY_ID_BYTES_MAX
);
name!(
    /// The type of an entity: `order`, `account`.
    EntityType, "entity type", limits::NAME_BYTES_MAX
);
name!(
    /// The name of an event: `order.placed`.
    EventName, "event name", limits::NAME_BYTES_MAX
);
name!(
    /// A client's key by which a repeated append is recognised.
    IdempotencyKey, "idempotency key", limits::IDEMPOTENCY_KEY_BYTES_MAX
);
name!(
    /// What an event is about, beside its stream: `customer:42`.
    Tag, "tag", limits::TAG_BYTES_MAX
);
name!(
    /// The key of one partition of a projection.
    PartitionKey, "partition key", limits::PARTITION_KEY_BYTES_MAX
);

impl IdempotencyKey {
    /// The key that an event's chosen id stands for.
    #[must_use]
    pub fn of_event(id: EventId) -> Self {
        Self(Arc::from(format!("event {id}")))
    }
}

impl PartitionKey {
    /// The one partition of a projection that names no partition key.
    #[must_use]
    pub fn global() -> Self {
        Self(Arc::from("__global__"))
    }
}

name!(
    /// The name of a projection: ASCII letters, digits, `_`, `-` and `.`.
    ProjectionName, "projection name", limits::PROJECTION_NAME_BYTES_MAX, Allowed::DOTTED
);

name!(
    /// The name of a database outside, as each node's config has it: ASCII letters, digits, `_` and `-`.
    SinkName, "sink name", limits::SINK_NAME_BYTES_MAX, Allowed::NARROW
);

/// The id of a node. Never reused, not even after a wipe.
///
/// An id that is configured is below 1,000,000 and is the seat of its node. A
/// node whose folder was lost takes its seat again under an id that the cluster
/// gives it: a log index, then the six digits of the seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    const SEATS: u64 = 1_000_000;
    /// The highest id that may be configured.
    pub const CONFIGURED_MAX: Self = Self(Self::SEATS - 1);

    /// The configured id of the node, whatever its folder.
    #[must_use]
    pub const fn seat(self) -> Self {
        Self(self.0 % Self::SEATS)
    }

    /// The id of who takes a seat at a log index, above all earlier ones; `None` past the end of all numbers.
    #[must_use]
    pub fn seated(seat: Self, index: crate::LogIndex) -> Option<Self> {
        Some(Self(index.0.checked_mul(Self::SEATS)?.checked_add(seat.seat().0)?))
    }
}

/// The id of a Raft group, which is the id of its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The group of the namespace `default/default`.
    pub const DEFAULT: Self = Self(1);
}

/// The id of a cluster; a node refuses peers and folders of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub Uuid);

/// What tells a node's data folder from every other, an empty one that took its
/// place included: random, made with the folder, and kept for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub Uuid);

/// The id of an event, unique in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub Uuid);

macro_rules! display_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_inner!(NodeId, GroupId, ClusterId, Incarnation, EventId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_taken_under_ever_higher_ids() {
        let seat = NodeId(3);
        assert_eq!(seat.seat(), seat);
        let taken = NodeId::seated(seat, crate::LogIndex(57)).unwrap();
        assert_eq!((taken, taken.seat()), (NodeId(57_000_003), seat));
        assert!(NodeId::seated(taken, crate::LogIndex(58)).unwrap() > taken);
        assert_eq!(NodeId::seated(seat, crate::LogIndex(u64::MAX)), None);
    }

    #[test]
    fn names_from_outside_are_data_or_refused() {
        for legal in ["a", "a.b", "*", ">", "a b", "größe", "\u{202e}x", "../../etc"] {
            assert_eq!(EntityId::new(legal).unwrap().as_str(), legal);
        }
        let long = "x".repeat(513);
        for (bad, error) in [
            ("", NameError::Empty { kind: "entity id" }),
            ("a\0", NameError::Control { kind: "entity id", at: 1 }),
            ("\r\nPUB", NameError::Control { kind: "entity id", at: 0 }),
            (&long, NameError::TooLong { kind: "entity id", bytes: 513, max: 512 }),
        ] {
            assert_eq!(EntityId::new(bad), Err(error));
        }
    }

    #[test]
    fn projection_names_are_narrow() {
        assert!(ProjectionName::new("orders-v2.by_day").is_ok());
        for bad in ["", "a b", "a*", "a>b", "a/b", "é"] {
            assert!(ProjectionName::new(bad).is_err(), "{bad}");
        }
    }
}
