//! A transaction is there whole or not at all, and nothing lies between its events.

use std::collections::{BTreeMap, BTreeSet};

use weir_check::{
    FinalState,
    history::{Call, Operation},
};

/// What the keys of transactions begin with.
const PREFIX: &str = "tx-";

/// The transactions that are there in part, or apart.
#[must_use]
pub fn broken(operations: &[Operation], end: &FinalState) -> Vec<String> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for operation in operations {
        if let Some((key, marks)) = part(operation) {
            all.entry(key).or_default().extend(marks.iter().map(String::as_str));
        }
    }
    let positions: BTreeMap<&str, u64> =
        end.longest().iter().map(|event| (event.mark.as_str(), event.position)).collect();
    let wrong = |(key, marks): (&str, BTreeSet<&str>)| {
        let mut there: Vec<u64> = marks.iter().filter_map(|mark| positions.get(mark)).copied().collect();
        there.sort_unstable();
        let whole = there.len() == marks.len() && there.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        (!there.is_empty() && !whole)
            .then(|| format!("transaction {key} of {} events is at positions {there:?}", marks.len()))
    };
    all.into_iter().filter_map(wrong).collect()
}

/// Of how many it is known that they are there.
#[must_use]
pub fn acked(operations: &[Operation]) -> u64 {
    let acked = operations.iter().filter(|operation| operation.seen().is_some());
    acked.filter_map(part).map(|(key, _)| key).collect::<BTreeSet<_>>().len() as u64
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
        history::{Expected, Outcome},
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
            assert_eq!(broken(&operations, &end(events)).is_empty(), fine, "{events:?}");
        }
    }
}
