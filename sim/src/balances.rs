//! Accounts are never below zero, are refused only for a reason, hold no event with a flaw, and every state of them is
//! the fold that it says.

use std::collections::BTreeMap;

use weir_check::{
    FinalState,
    history::{Call, Expected, Operation, Outcome},
    state::StoredEvent,
};

use crate::{
    desk::{StateAsked, StateTold, Way},
    folds::{amount, flaw, occurred_us},
};

/// What an append is refused with that an invariant stands against.
const REFUSED: &str = "invariant_violated";
/// What an append is refused with that has a flaw by itself.
const FLAWED: &str = "event_invalid";

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

/// The events of each account, in order.
type Accounts<'a> = BTreeMap<&'a str, Vec<&'a StoredEvent>>;

/// What must not be.
#[must_use]
pub fn broken(operations: &[Operation], states: &[StateSeen], end: &FinalState) -> Vec<String> {
    let accounts = accounts(end);
    let below = accounts.iter().filter_map(|(account, events)| below_zero(account, events));
    let flaws = accounts.values().flatten().filter(|event| flaw(&event.mark).is_some());
    let flaws = flaws.map(|event| format!("{} holds {}, which has a flaw", event.stream, event.mark));
    let refusals = operations.iter().filter_map(|operation| groundless(operation, &accounts));
    let states = states.iter().filter_map(|seen| untrue(seen, &accounts));
    below.chain(flaws).chain(refusals).chain(states).collect()
}

fn accounts(end: &FinalState) -> Accounts<'_> {
    let mut accounts = Accounts::new();
    for event in end.longest().iter().filter(|event| amount(&event.mark).is_some()) {
        accounts.entry(event.stream.as_str()).or_default().push(event);
    }
    accounts
}

/// Appends that were only validated and are there, or whose answer is not what the append would have met.
#[must_use]
pub fn validated_wrongly(validated: &[Operation], end: &FinalState) -> Vec<String> {
    let accounts = accounts(end);
    let there = |mark: &String| end.longest().iter().any(|event| event.mark == *mark);
    let wrong = |operation: &Operation| {
        let Call::Append { stream, expected, marks, .. } = &operation.call else { return None };
        if marks.iter().any(there) {
            return Some(format!("{marks:?} was only validated, and is there"));
        }
        let flawed = marks.iter().any(|mark| flaw(mark).is_some());
        let fits = match expected {
            Expected::Any => true,
            Expected::Exact(version) => {
                allowed(*version, marks, accounts.get(stream.as_str()).map(Vec::as_slice))
            }
        };
        let passed = operation.outcome.is_ok() && (flawed || !fits);
        let why = passed.then(|| format!("{stream} was validated for {marks:?} at {expected:?}"));
        why.or_else(|| groundless(operation, &accounts))
    };
    validated.iter().filter_map(wrong).collect()
}

/// Whether an account at a version is there and has what an append takes.
fn allowed(version: u64, marks: &[String], events: Option<&[&StoredEvent]>) -> bool {
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(before) = events.unwrap_or_default().get(..version) else { return false };
    let mut balance = sum(before);
    marks.iter().filter_map(|mark| amount(mark)).all(|amount| {
        balance += amount;
        balance >= 0
    })
}

/// How many appends were refused by an invariant.
#[must_use]
pub fn refused(operations: &[Operation]) -> u64 {
    operations.iter().filter(|operation| was_refused(operation, REFUSED)).count() as u64
}

/// How many appends were refused for what is wrong with them by themselves.
#[must_use]
pub fn flawed(operations: &[Operation]) -> u64 {
    operations.iter().filter(|operation| was_refused(operation, FLAWED)).count() as u64
}

fn was_refused(operation: &Operation, with: &str) -> bool {
    matches!(&operation.outcome, Outcome::Refused { code, .. } if code == with)
}

fn sum<'a>(events: impl IntoIterator<Item = &'a &'a StoredEvent>) -> i64 {
    events.into_iter().filter_map(|event| amount(&event.mark)).sum()
}

fn below_zero(account: &str, events: &[&StoredEvent]) -> Option<String> {
    let at = (1..=events.len()).find(|count| sum(&events[..*count]) < 0)?;
    Some(format!("{account} is below zero at version {at}: {}", sum(&events[..at])))
}

/// A refusal of what has no flaw, or at a version whose balance allows all that was asked for. One among several
/// streams may have been refused for another's sake.
fn groundless(operation: &Operation, accounts: &Accounts<'_>) -> Option<String> {
    let Call::Append { stream, expected, key, marks, .. } = &operation.call else { return None };
    if key.as_ref().is_some_and(|key| key.starts_with("tx-")) {
        return None;
    }
    if was_refused(operation, FLAWED) && marks.iter().all(|mark| flaw(mark).is_none()) {
        return Some(format!("{stream} was refused {marks:?}, which have no flaw"));
    }
    let Expected::Exact(version) = expected else { return None };
    if !was_refused(operation, REFUSED) {
        return None;
    }
    let fine = allowed(*version, marks, accounts.get(stream.as_str()).map(Vec::as_slice));
    fine.then(|| format!("{stream} at version {version} was refused {marks:?}"))
}

/// A state that is not the fold of what it says to be of, or lacks what its reader knew of.
fn untrue(StateSeen { floor, asked, told }: &StateSeen, accounts: &Accounts<'_>) -> Option<String> {
    let events = accounts.get(asked.stream.as_str())?;
    let holds = |event: &&&StoredEvent| {
        let occurred = occurred_us(&event.mark).unwrap_or(event.recorded_us);
        event.version <= told.version
            && asked.version.is_none_or(|last| event.version <= last)
            && asked.as_of_us.is_none_or(|as_of| event.recorded_us <= as_of)
            && asked.at_us.is_none_or(|at| occurred <= at)
    };
    let due: Vec<&StoredEvent> = events.iter().filter(holds).copied().collect();
    let due = (Some(sum(&due) * 100), Some(due.len() as u64));
    let said = (told.value["cents"].as_i64(), told.value["events"].as_u64());
    let too_new = asked.way == Way::Snapshot && asked.version.is_some_and(|last| told.version > last);
    let known = told.version >= *floor && told.version <= events.len() as u64;
    (said != due || too_new || !known)
        .then(|| format!("{asked:?} was told {told:?}, with {floor} known of; the fold is {due:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_check::state::{NodeEnd, StoredEvent};

    use super::*;
    use crate::machine::EPOCH_US;

    fn end(amounts: &[i64]) -> FinalState {
        let event = |(position, amount): (u64, &i64)| StoredEvent {
            position,
            version: position,
            stream: "account-1".to_owned(),
            mark: format!("m-{position}={amount}"),
            recorded_us: EPOCH_US + 5_000_000,
            ..StoredEvent::default()
        };
        let events = (1..).zip(amounts).map(event).collect();
        FinalState { nodes: vec![NodeEnd { node: 1, events, ..NodeEnd::default() }], ..FinalState::default() }
    }

    fn refusal(version: u64, mark: &str, with: &str) -> Operation {
        let call = Call::Append {
            stream: "account-1".to_owned(),
            expected: Expected::Exact(version),
            key: None,
            marks: vec![mark.to_owned()],
            node: 1,
        };
        let outcome = Outcome::Refused { code: with.to_owned(), actual: None };
        Operation { id: 1, client: 1, invoke_us: 1, complete_us: 2, call, outcome }
    }

    #[test]
    fn below_zero_and_refusals_without_a_reason_are_found() {
        assert!(broken(&[], &[], &end(&[10, -10, 5])).is_empty());
        assert_eq!(broken(&[], &[], &end(&[10, -11])).len(), 1);
        for (version, amount, fine) in [(0, -1, true), (0, 1, false), (1, -11, true), (1, -10, false)] {
            let found = broken(&[refusal(version, &format!("r={amount}"), REFUSED)], &[], &end(&[10]));
            assert_eq!(found.is_empty(), fine, "{amount} at {version}: {found:?}");
        }
        for (mark, fine) in [("r=1", false), ("r~data=1", true), ("r~metadata=1", true)] {
            let found = broken(&[refusal(0, mark, FLAWED)], &[], &end(&[10]));
            assert_eq!(found.is_empty(), fine, "{mark}: {found:?}");
        }
        let mut flawed = end(&[10]);
        flawed.nodes[0].events[0].mark = "m-1~data=10".to_owned();
        assert_eq!(broken(&[], &[], &flawed).len(), 1);
    }

    #[test]
    fn what_was_only_validated_is_not_there_and_was_told_what_an_append_is() {
        let passed = |version, mark: &str| {
            let outcome = Outcome::Ok { seen: weir_check::history::Seen::Done };
            Operation { outcome, ..refusal(version, mark, REFUSED) }
        };
        for (operation, fine) in [
            (passed(1, "p=-10"), true),
            (passed(1, "p=-11"), false),
            (passed(2, "p=1"), false),
            (passed(1, "p~data=1"), false),
            (passed(0, "m-1=10"), false),
            (refusal(1, "p=-11", REFUSED), true),
            (refusal(1, "p=-10", REFUSED), false),
            (refusal(1, "p=1", FLAWED), false),
        ] {
            let found = validated_wrongly(std::slice::from_ref(&operation), &end(&[10]));
            assert_eq!(found.is_empty(), fine, "{operation:?}: {found:?}");
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
            let asked = StateAsked { stream: "account-1".to_owned(), version, ..StateAsked::default() };
            let told = StateTold { version: told, value: json!({ "cents": cents, "events": events }) };
            let found = broken(&[], &[StateSeen { floor, asked, told }], &end(&[10, -6]));
            assert_eq!(found.is_empty(), fine, "{found:?}");
        }
    }

    #[test]
    fn a_state_of_the_past_is_of_what_was_recorded_and_occurred_until_then() {
        // The third says that it occurred after 23.757 s modulo 9 s, the others when they were recorded, after 5 s.
        let end = end(&[10, -6, 20]);
        let seconds = |seconds: i64| Some(EPOCH_US + seconds * 1_000_000);
        for (as_of_us, at_us, cents, events, fine) in [
            (None, None, 2_400, 3, true),
            (seconds(4), None, 0, 0, true),
            (seconds(4), None, 2_400, 3, false),
            (seconds(5), None, 2_400, 3, true),
            (None, seconds(5), 400, 2, true),
            (None, seconds(5), 2_400, 3, false),
            (None, seconds(6), 2_400, 3, true),
            (None, seconds(4), 0, 0, true),
        ] {
            let stream = "account-1".to_owned();
            let asked = StateAsked { stream, as_of_us, at_us, ..StateAsked::default() };
            let told = StateTold { version: 3, value: json!({ "cents": cents, "events": events }) };
            let found = broken(&[], &[StateSeen { floor: 0, asked, told }], &end);
            assert_eq!(found.is_empty(), fine, "{found:?}");
        }
    }
}
