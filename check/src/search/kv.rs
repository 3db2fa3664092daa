//! A key with a value and a revision, as a sequential object.

use super::Spec;
use crate::history::{KvOp, Operation, Outcome, Seen};

/// What a key holds. The revision counts its writes and never falls; a deleted key keeps counting.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct KvState {
    /// Its value, `None` when absent.
    pub value: Option<String>,
    /// Its last revision.
    pub revision: u64,
}

impl KvState {
    /// What a guard compares with: 0 when absent.
    #[must_use]
    pub const fn guard(&self) -> u64 {
        if self.value.is_some() { self.revision } else { 0 }
    }
}

/// The answer to an operation on a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvAnswer {
    /// It was done: the value that was read and the revision.
    Done(Option<String>, u64),
    /// The guard did not hold, and the key was at this revision if the answer said so.
    Conflict(Option<u64>),
    /// Nobody knows.
    Unknown,
}

/// The specification of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvSpec;

impl KvSpec {
    /// An operation of a history as the specification takes it; `None` if it says nothing about the key.
    #[must_use]
    pub fn op(op: &KvOp, outcome: &Outcome) -> Option<(KvOp, KvAnswer)> {
        let answer = match outcome {
            Outcome::Ok { seen: Seen::Kv { value, revision } } => KvAnswer::Done(value.clone(), *revision),
            Outcome::Refused { code, actual } if code.ends_with("_conflict") => KvAnswer::Conflict(*actual),
            Outcome::Refused { .. } => return None,
            Outcome::Ok { .. } | Outcome::Unknown { .. } => KvAnswer::Unknown,
        };
        // An unknown read says nothing and does nothing.
        let silent = matches!((op, &answer), (KvOp::Get, KvAnswer::Unknown));
        (!silent).then(|| (op.clone(), answer))
    }

    /// The interval of an operation, endless if its outcome is unknown.
    #[must_use]
    pub fn interval(op: &Operation, answer: &KvAnswer) -> (u64, u64) {
        let until_us = if *answer == KvAnswer::Unknown { u64::MAX } else { op.complete_us };
        (op.invoke_us, until_us)
    }
}

impl Spec for KvSpec {
    type State = KvState;
    type Op = (KvOp, KvAnswer);

    fn step(&self, state: &KvState, (op, answer): &Self::Op) -> Option<KvState> {
        let guard = match op {
            KvOp::Cas { revision, .. } => Some(*revision),
            KvOp::Delete { revision } => *revision,
            KvOp::Get | KvOp::Put { .. } => None,
        };
        let passes = guard.is_none_or(|revision| revision == state.guard());
        if let KvAnswer::Conflict(actual) = answer {
            let told = actual.is_none_or(|actual| actual == state.guard());
            return (!passes && told).then(|| state.clone());
        }
        if !passes {
            return None;
        }
        let next = match op {
            KvOp::Get => state.clone(),
            KvOp::Put { value } | KvOp::Cas { value, .. } => {
                KvState { value: Some(value.clone()), revision: state.revision + 1 }
            }
            KvOp::Delete { .. } => KvState { value: None, revision: state.revision + 1 },
        };
        let holds = match (op, answer) {
            (_, KvAnswer::Unknown) => true,
            (KvOp::Get, KvAnswer::Done(value, revision)) => {
                (value, *revision) == (&state.value, state.guard())
            }
            (_, KvAnswer::Done(value, revision)) => value.is_none() && *revision == next.revision,
            (_, KvAnswer::Conflict(_)) => false,
        };
        holds.then_some(next)
    }

    fn is_lost(&self, state: &KvState, (op, answer): &Self::Op) -> bool {
        // Revisions never fall. An answer with 0 says only that the key was absent.
        match (op, answer) {
            (_, KvAnswer::Done(_, 0) | KvAnswer::Conflict(None | Some(0)) | KvAnswer::Unknown) => false,
            (KvOp::Get, KvAnswer::Done(_, revision)) => state.revision > *revision,
            (_, KvAnswer::Done(_, revision)) => state.revision >= *revision,
            (_, KvAnswer::Conflict(Some(revision))) => state.revision > *revision,
        }
    }
}
