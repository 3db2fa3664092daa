//! One key with compare-and-set by revision.

use stateright::semantics::SequentialSpec;
use weir_check::{
    history::KvOp,
    search::{KvAnswer, KvSpec, KvState},
};

use super::{Told, moments, searched, tested};
use crate::{Breaks, Plan};

/// The key as a sequential object, written down a second time for stateright.
#[derive(Debug, Clone, Default)]
struct Reference {
    value: Option<String>,
    writes: u64,
}

impl Reference {
    fn write(&mut self, guard: Option<u64>, value: Option<&String>) -> KvAnswer {
        let now = if self.value.is_none() { 0 } else { self.writes };
        if guard.is_some_and(|guard| guard != now) {
            return KvAnswer::Conflict(Some(now));
        }
        self.writes += 1;
        self.value = value.cloned();
        KvAnswer::Done(None, self.writes)
    }
}

impl SequentialSpec for Reference {
    type Op = KvOp;
    type Ret = KvAnswer;

    fn invoke(&mut self, op: &KvOp) -> KvAnswer {
        match op {
            KvOp::Get => match &self.value {
                Some(value) => KvAnswer::Done(Some(value.clone()), self.writes),
                None => KvAnswer::Done(None, 0),
            },
            KvOp::Put { value } => self.write(None, Some(value)),
            KvOp::Cas { revision, value } => self.write(Some(*revision), Some(value)),
            KvOp::Delete { revision } => self.write(*revision, None),
        }
    }
}

/// A history of one key.
#[derive(Debug)]
pub struct Run(Vec<Told<KvOp, KvAnswer>>);

/// Carries a plan out.
pub fn run(plan: &Plan) -> Run {
    let mut key = Reference::default();
    let mut ops = Vec::new();
    for (at, from_us, _, until_us) in moments(plan) {
        let (_, kind, .., fate) = plan[at];
        let value = format!("v{at}");
        let call = match kind {
            0..4 => KvOp::Get,
            4..6 => KvOp::Put { value },
            6..8 => KvOp::Cas { revision: if key.value.is_none() { 0 } else { key.writes }, value },
            8..10 => KvOp::Cas { revision: u64::from(kind) - 8, value },
            10 => KvOp::Delete { revision: None },
            _ => KvOp::Delete { revision: Some(key.writes) },
        };
        let answer = match fate {
            0 => {
                key.invoke(&call);
                None
            }
            1 => None,
            _ => Some(key.invoke(&call)),
        };
        ops.push(Told { from_us, until_us, call, answer });
    }
    Run(ops)
}

/// Breaks answers and times.
pub fn damage(run: &mut Run, breaks: &Breaks) {
    let length = run.0.len();
    for &(which, how, much) in breaks.iter().filter(|_| length > 0) {
        let other = run.0[much as usize % length].answer.clone();
        let op = &mut run.0[which % length];
        match how {
            0 => op.answer = None,
            1 => op.until_us = op.until_us.saturating_sub(much).max(op.from_us),
            2 | 3 => (op.from_us, op.until_us) = (op.from_us + 3 * much, op.until_us + 3 * much),
            4 => op.answer = other,
            _ => {
                if let Some(KvAnswer::Done(_, number) | KvAnswer::Conflict(Some(number))) = &mut op.answer {
                    *number = (*number + much).saturating_sub(2);
                }
            }
        }
    }
}

impl Run {
    /// The search's opinion.
    pub fn searched(&self) -> bool {
        let answer = |op: &Told<KvOp, KvAnswer>| op.answer.clone().unwrap_or(KvAnswer::Unknown);
        // An unknown read says nothing; to the search it may not even be told.
        let tells = |op: &&Told<KvOp, KvAnswer>| op.answer.is_some() || op.call != KvOp::Get;
        let ops: Vec<_> =
            self.0.iter().filter(tells).map(|op| op.timed((op.call.clone(), answer(op)))).collect();
        searched(&KvSpec, &KvState::default(), &ops)
    }

    /// stateright's opinion.
    pub fn tested(&self) -> bool {
        tested(Reference::default(), &self.0)
    }
}
