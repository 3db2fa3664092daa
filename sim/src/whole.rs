//! A transaction is there whole or not at all, nothing lies between its events, and all that it rests on was true where
//! it stands.

use std::collections::{BTreeMap, BTreeSet};

use weir_check::{
    FinalState,
    history::{Call, Operation, Outcome},
};

use crate::desk::Rests;

/// What the keys of transactions begin with.
const PREFIX: &str = "tx-";

/// The transactions that are there in part, or apart, or on what was not true.
#[must_use]
pub fn broken(operations: &[Operation], rests: &BTreeMap<String, Rests>, end: &FinalState) -> Vec<String> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for operation in operations {
        if let Some((key, marks)) = part(operation) {
            all.entry(key).or_default().extend(marks.iter().map(String::as_str));
        }
    }
    let positions: BTreeMap<&str, u64> =
        end.longest().iter().map(|event| (event.mark.as_str(), event.position)).collect();
    let mut wrong = Vec::new();
    let mut taken = Vec::new();
    for (key, marks) in all {
        let mut there: Vec<u64> = marks.iter().filter_map(|mark| positions.get(mark)).copied().collect();
        there.sort_unstable();
        let Some(first) = there.first() else { continue };
        if there.len() < marks.len() || there.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
            wrong.push(format!("transaction {key} of {} events is at positions {there:?}", marks.len()));
        } else if let Some(rests) = rests.get(key) {
            taken.push((*first, key, rests));
        }
    }
    taken.sort_unstable_by_key(|(first, ..)| *first);
    wrong.extend(taken.iter().filter_map(|one| untrue(one, &taken, end)));
    wrong
}

/// Where a transaction begins, its key, and what it rests on.
type Taken<'a> = (u64, &'a str, &'a Rests);

/// What a transaction rests on that was not so where it begins.
fn untrue((first, key, rests): &Taken<'_>, taken: &[Taken<'_>], end: &FinalState) -> Option<String> {
    let before = end.longest().iter().take_while(|event| event.position < *first);
    let version = before.filter(|event| event.stream == rests.stream).count() as u64;
    if version != rests.version {
        return Some(format!("transaction {key} rests on {rests:?}, at position {first} it was {version}"));
    }
    let other = taken
        .iter()
        .find(|(at, _, other)| other.seat == rests.seat && (rests.after + 1..*first).contains(at))?;
    Some(format!("transaction {key} rests on {rests:?}, {} took the seat at position {}", other.1, other.0))
}

/// Of how many it is known that they are there.
#[must_use]
pub fn acked(operations: &[Operation]) -> u64 {
    let acked = operations.iter().filter(|operation| operation.seen().is_some());
    acked.filter_map(part).map(|(key, _)| key).collect::<BTreeSet<_>>().len() as u64
}

/// How many were refused for what they rest on.
#[must_use]
pub fn refused(operations: &[Operation]) -> u64 {
    let refused = |operation: &&Operation| matches!(&operation.outcome, Outcome::Refused { code, .. } if code == "transaction_refused");
    let all = operations.iter().filter(refused).filter_map(part);
    all.map(|(key, _)| key).collect::<BTreeSet<_>>().len() as u64
}

fn part(operation: &Operation) -> Option<(&str, &[String])> {
    match &operation.call {
        Call::Append { key: Some(key), marks, .. } if key.starts_with(PREFIX) => Some((key, marks)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use weir_check::{
        history::Expected,
        state::{NodeEnd, StoredEvent},
    };

    use super::*;

    fn sent(id: u64, stream: &str, marks: &[&str]) -> Operation {
        let call = Call::Append {
            stream: stream.to_owned(),
            expected: Expected::Any,
            key: Some("tx-1".to_owned()),
            marks: marks.iter().map(|mark| (*mark).to_owned()).collect(),
            node: 1,
        };
        let outcome = Outcome::Unknown { reason: String::new() };
        Operation { id, client: id, invoke_us: 1, complete_us: 2, call, outcome }
    }

    fn end(events: &[(u64, &str)]) -> FinalState {
        let event = |(position, mark): &(u64, &str)| StoredEvent {
            position: *position,
            mark: (*mark).to_owned(),
            ..StoredEvent::default()
        };
        let events = events.iter().map(event).collect();
        FinalState { nodes: vec![NodeEnd { node: 1, events, ..NodeEnd::default() }], ..FinalState::default() }
    }

    #[test]
    fn what_is_there_in_part_or_apart_is_found() {
        let operations = [sent(1, "a", &["1", "2"]), sent(2, "b", &["3"])];
        for (events, fine) in [
            (&[][..], true),
            (&[(1, "1"), (2, "2"), (3, "3")], true),
            (&[(7, "0"), (8, "1"), (9, "2"), (10, "3")], true),
            (&[(1, "1"), (2, "2")], false),
            (&[(3, "3")], false),
            (&[(1, "1"), (2, "2"), (3, "0"), (4, "3")], false),
        ] {
            assert_eq!(broken(&operations, &BTreeMap::new(), &end(events)).is_empty(), fine, "{events:?}");
        }
    }

    #[test]
    fn what_rests_on_what_was_not_true_is_found() {
        let mut operations = [sent(1, "a", &["1"]), sent(2, "b", &["2"])];
        if let Call::Append { key, .. } = &mut operations[1].call {
            *key = Some("tx-2".to_owned());
        }
        let end = end(&[(1, "0"), (2, "1"), (3, "3"), (4, "2")]);
        for (version, after, seat, fine) in
            [(0, 0, 2, true), (1, 0, 2, false), (0, 0, 1, false), (0, 1, 1, false), (0, 2, 1, true)]
        {
            let rests = |stream: &str, version, seat, after| Rests {
                stream: stream.to_owned(),
                version,
                seat,
                after,
            };
            let all = [
                ("tx-1".to_owned(), rests("c", 0, 1, 0)),
                ("tx-2".to_owned(), rests("c", version, seat, after)),
            ];
            let found = broken(&operations, &all.into(), &end);
            assert_eq!(found.is_empty(), fine, "{found:?}");
        }
    }
}
