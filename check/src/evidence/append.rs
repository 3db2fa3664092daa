//! Appends, and what they were meant to be.

use rustc_hash::FxHashMap;

use crate::history::{Call, Expected, Operation, Outcome, Seen};

/// One append operation, taken apart.
#[derive(Debug, Clone, Copy)]
pub struct Append<'a> {
    /// The operation.
    pub op: &'a Operation,
    /// The entity id.
    pub stream: &'a str,
    /// The guard.
    pub expected: Expected,
    /// The idempotency key.
    pub key: Option<&'a str>,
    /// The marks of its events.
    pub marks: &'a [String],
    /// What came of it.
    pub fate: Fate<'a>,
}

/// What came of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate<'a> {
    /// It was acknowledged.
    Acked {
        /// Version of its first event.
        first_version: u64,
        /// Version of its last event.
        last_version: u64,
        /// Position of its first event.
        first_position: u64,
        /// Whether the answer says that it repeats an earlier one.
        repeated: bool,
    },
    /// It was definitely not done.
    Refused {
        /// The error code.
        code: &'a str,
        /// The version that the answer named.
        actual: Option<u64>,
    },
    /// Nobody knows.
    Unknown,
}

impl<'a> Append<'a> {
    /// The append that an operation is, if it is one.
    #[must_use]
    pub fn of(op: &'a Operation) -> Option<Self> {
        let Call::Append { stream, expected, key, marks, .. } = &op.call else { return None };
        let fate = match &op.outcome {
            Outcome::Ok {
                seen: Seen::Appended { first_version, last_version, first_position, repeated },
            } => {
                let (first_version, last_version) = (*first_version, *last_version);
                let (first_position, repeated) = (*first_position, *repeated);
                Fate::Acked { first_version, last_version, first_position, repeated }
            }
            Outcome::Refused { code, actual } => Fate::Refused { code, actual: *actual },
            // A success without numbers promises only that it is there, and proves less than nothing.
            Outcome::Ok { .. } | Outcome::Unknown { .. } => Fate::Unknown,
        };
        Some(Self { op, stream, expected: *expected, key: key.as_deref(), marks, fate })
    }

    /// Whether it was acknowledged.
    #[must_use]
    pub const fn is_acked(&self) -> bool {
        matches!(self.fate, Fate::Acked { .. })
    }
}

/// One append that a client wanted, sent once or, with an idempotency key, more often.
#[derive(Debug, Clone)]
pub struct Intent<'a> {
    /// The entity id.
    pub stream: &'a str,
    /// The marks of its events.
    pub marks: &'a [String],
    /// The sends, as places in [`super::Evidence::appends`].
    pub sends: Vec<u32>,
}

/// Groups appends by content, which their first mark identifies; and finds the group of every mark.
pub(super) fn intents<'a>(appends: &[Append<'a>]) -> (Vec<Intent<'a>>, FxHashMap<&'a str, u32>) {
    let mut intents: Vec<Intent<'a>> = Vec::with_capacity(appends.len());
    let mut by_mark = FxHashMap::default();
    by_mark.reserve(appends.len());
    for (at, append) in (0_u32..).zip(appends) {
        let Some(first) = append.marks.first() else { continue };
        let next = u32::try_from(intents.len()).unwrap_or(u32::MAX);
        let group = *by_mark.entry(first.as_str()).or_insert(next);
        if group == next {
            intents.push(Intent { stream: append.stream, marks: append.marks, sends: Vec::with_capacity(1) });
            by_mark.extend(append.marks.iter().skip(1).map(|mark| (mark.as_str(), group)));
        }
        intents[group as usize].sends.push(at);
    }
    (intents, by_mark)
}
