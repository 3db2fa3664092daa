//! Accounts are never below zero, are refused only for a reason, and every state of them is the fold that it says.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use weir_check::{
    FinalState,
    history::{Call, Expected, Operation, Outcome},
};

use crate::{
    desk::{StateAsked, StateTold},
    folds::amount,
};

/// What an append is refused with that an invariant stands against.
const REFUSED: &str = "invariant_violated";

/// A state of an account as a client was told it.
#[derive(Debug, Clone)]
pub struct StateSeen {
    /// The version that the client knew of before.
    pub floor: u64,
    /// What it asked for.
    pub asked: StateAsked,
    /// What it was told.
    pub told: StateTold,
}

/// Where clients put what they were told.
pub type States = Arc<Mutex<Vec<StateSeen>>>;

/// The balance after each version of each account, from version 0 on.
type Balances<'a> = BTreeMap<&'a str, Vec<i64>>;

/// What must not be.
#[must_use]
pub fn broken(operations: &[Operation], states: &[StateSeen], end: &FinalState) -> Vec<String> {
    let balances = balances(end);
    let below = balances.iter().filter(|(_, after)| after.iter().any(|balance| *balance < 0));
    let below = below.map(|(account, after)| format!("{account} was below zero: {after:?}"));
    let refusals = operations.iter().filter_map(|operation| groundless(operation, &balances));
    let states = states.iter().filter_map(|seen| untrue(seen, &balances));
    below.chain(refusals).chain(states).collect()
}

/// How many appends were refused by an invariant.
#[must_use]
pub fn refused(operations: &[Operation]) -> u64 {
    operations.iter().filter(|operation| was_refused(operation)).count() as u64
}

fn was_refused(operation: &Operation) -> bool {
    matches!(&operation.outcome, Outcome::Refused { code, .. } if code == REFUSED)
}

fn balances(end: &FinalState) -> Balances<'_> {
    let mut all = Balances::new();
    for event in end.longest() {
        if let Some(amount) = amount(&event.mark) {
            let after = all.entry(event.stream.as_str()).or_insert_with(|| vec![0]);
            after.push(after.last().copied().unwrap_or(0) + amount);
        }
    }
    all
}

/// A refusal at a version whose balance allows all that was asked for. One among several streams may have been refused
/// for another's sake.
fn groundless(operation: &Operation, balances: &Balances<'_>) -> Option<String> {
    let Call::Append { stream, expected: Expected::Exact(version), key, marks, .. } = &operation.call else {
        return None;
    };
    if !was_refused(operation) || key.as_ref().is_some_and(|key| key.starts_with("tx-")) {
        return None;
    }
    let after = balances.get(stream.as_str()).map_or(&[0][..], Vec::as_slice);
    let mut balance = *after.get(usize::try_from(*version).ok()?)?;
    let fine = marks.iter().filter_map(|mark| amount(mark)).all(|amount| {
        balance += amount;
        balance >= 0
    });
    fine.then(|| format!("{stream} at version {version} was refused {marks:?}: {after:?}"))
}

/// A state that is not the fold of the versions that it says, or lacks what its reader knew of.
fn untrue(StateSeen { floor, asked, told }: &StateSeen, balances: &Balances<'_>) -> Option<String> {
    let of = asked.version.map_or(told.version, |version| version.min(told.version));
    let after = balances.get(asked.stream.as_str())?;
    let due = usize::try_from(of).ok().and_then(|of| after.get(of)).map(|balance| balance * 100);
    let (cents, events) = (told.value["cents"].as_i64(), told.value["events"].as_u64());
    let holds = told.version >= *floor && due.is_some() && (cents, events) == (due, Some(of));
    (!holds).then(|| format!("{asked:?} was told {told:?}, with {floor} known of; the fold is {due:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_check::state::{NodeEnd, StoredEvent};

    use super::*;

    fn end(amounts: &[i64]) -> FinalState {
        let event = |(position, amount): (u64, &i64)| StoredEvent {
            position,
            version: position,
            stream: "account-1".to_owned(),
            mark: format!("m-{position}={amount}"),
            ..StoredEvent::default()
        };
        let events = (1..).zip(amounts).map(event).collect();
        FinalState { nodes: vec![NodeEnd { node: 1, events, ..NodeEnd::default() }], ..FinalState::default() }
    }

    fn refusal(version: u64, amount: i64) -> Operation {
        let call = Call::Append {
            stream: "account-1".to_owned(),
            expected: Expected::Exact(version),
            key: None,
            marks: vec![format!("r={amount}")],
            node: 1,
        };
        let outcome = Outcome::Refused { code: REFUSED.to_owned(), actual: None };
        Operation { id: 1, client: 1, invoke_us: 1, complete_us: 2, call, outcome }
    }

    #[test]
    fn below_zero_and_refusals_without_a_reason_are_found() {
        assert!(broken(&[], &[], &end(&[10, -10, 5])).is_empty());
        assert_eq!(broken(&[], &[], &end(&[10, -11])).len(), 1);
        for (version, amount, fine) in [(0, -1, true), (0, 1, false), (1, -11, true), (1, -10, false)] {
            let found = broken(&[refusal(version, amount)], &[], &end(&[10]));
            assert_eq!(found.is_empty(), fine, "{amount} at {version}: {found:?}");
        }
    }

    #[test]
    fn a_state_is_the_fold_of_what_it_says_and_of_all_that_was_known() {
        for (floor, version, told, cents, events, fine) in [
            (2, None, 2, 400, 2, true),
            (2, Some(1), 2, 1_000, 1, true),
            (2, Some(9), 2, 400, 2, true),
            (3, None, 2, 400, 2, false),
            (2, None, 2, 1_000, 1, false),
            (2, Some(1), 2, 400, 2, false),
            (0, None, 3, 400, 3, false),
        ] {
            let asked = StateAsked { stream: "account-1".to_owned(), version, projection: None };
            let told = StateTold { version: told, value: json!({ "cents": cents, "events": events }) };
            let found = broken(&[], &[StateSeen { floor, asked, told }], &end(&[10, -6]));
            assert_eq!(found.is_empty(), fine, "{found:?}");
        }
    }
}
