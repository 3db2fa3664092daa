//! All checkers over one run.

use std::fmt;

use serde::Serialize;

use crate::{
    evidence::Evidence,
    invariants::{self, Folds},
    keys, stream,
    verdict::{CheckId, Verdict},
};

/// Every checker but [`invariants::p2`], which must be told what the projections fold.
pub const CHECKS: [fn(&Evidence<'_>) -> Verdict; 13] = [
    invariants::a1,
    invariants::a2,
    invariants::a3,
    invariants::a4,
    invariants::r1,
    invariants::r2,
    invariants::w1,
    invariants::o1,
    invariants::p1,
    invariants::q1,
    invariants::s1,
    stream::check,
    keys::check,
];

/// The verdicts of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One per checker.
    pub verdicts: Vec<Verdict>,
}

/// Runs every checker. `folds` knows the projections of the run.
#[must_use]
pub fn check(evidence: &Evidence<'_>, folds: &dyn Folds) -> Report {
    let mut verdicts: Vec<Verdict> = CHECKS.iter().map(|check| check(evidence)).collect();
    verdicts.push(invariants::p2(evidence, folds));
    Report { verdicts }
}

impl Report {
    /// Whether no checker found anything. Says nothing about how much was checked.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.verdicts.iter().all(Verdict::holds)
    }

    /// The checkers that compared nothing: a run that exercises them all has none.
    #[must_use]
    pub fn hollow(&self) -> Vec<CheckId> {
        self.verdicts.iter().filter(|verdict| verdict.checked == 0).map(|verdict| verdict.invariant).collect()
    }

    /// The verdicts that found something.
    pub fn broken(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.holds())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.verdicts {
            writeln!(f, "{verdict}")?;
        }
        Ok(())
    }
}
