//! A page of the log by a filter holds all that the filter takes, where it looked, and nothing else.

use weir_check::{FinalState, state::StoredEvent};

use crate::{
    desk::{By, FoundEvents, Search},
    folds::{amount, tagged},
};

/// A search, and what it found.
pub type Searched = (Search, FoundEvents);

/// What must not be.
#[must_use]
pub fn broken(searched: &[Searched], end: &FinalState) -> Vec<String> {
    searched.iter().filter_map(|one| untrue(one, end.longest())).collect()
}

fn untrue((asked, found): &Searched, log: &[StoredEvent]) -> Option<String> {
    let looked_at = |position: u64| match asked.backward {
        true => position > found.next && position <= asked.from.min(found.applied),
        false => position >= asked.from && position < found.next.min(found.applied + 1),
    };
    let fits = |event: &&StoredEvent| looked_at(event.position) && takes(asked.by, &event.mark);
    let mut due: Vec<u64> = log.iter().filter(fits).map(|event| event.position).collect();
    if asked.backward {
        due.reverse();
    }
    let goes_on = match asked.backward {
        true => found.next < asked.from,
        false => found.next > asked.from || asked.from > found.applied,
    };
    let fine = found.positions == due && due.len() <= asked.limit && goes_on;
    (!fine).then(|| format!("{asked:?} found {found:?}; there is {due:?}"))
}

fn takes(by: By, mark: &str) -> bool {
    match by {
        By::Type => amount(mark).is_some(),
        By::Name => amount(mark).is_none(),
        By::Tag => tagged(mark),
    }
}

#[cfg(test)]
mod tests {
    use weir_check::state::NodeEnd;

    use super::*;

    #[test]
    fn a_page_that_lacks_an_event_or_has_another_is_found() {
        let marks = ["a-1", "a-2=5", "a-4", "a-8=5", "a-9"];
        let event = |(position, mark): (u64, &&str)| StoredEvent {
            position,
            mark: (*mark).to_owned(),
            ..StoredEvent::default()
        };
        let events = (1..).zip(&marks).map(event).collect();
        let nodes = vec![NodeEnd { node: 1, events, ..NodeEnd::default() }];
        let end = FinalState { nodes, ..FinalState::default() };
        for (by, from, backward, found, next, fine) in [
            (By::Type, 1, false, &[2, 4][..], 6, true),
            (By::Type, 1, false, &[4], 6, false),
            (By::Type, 1, false, &[2], 3, true),
            (By::Type, 1, false, &[2], 5, false),
            (By::Name, 1, false, &[1, 3, 5], 6, true),
            (By::Name, 3, true, &[3, 1], 0, true),
            (By::Name, 3, true, &[1, 3], 0, false),
            (By::Name, 9, true, &[5, 3], 2, true),
            (By::Tag, 1, false, &[3, 4], 6, true),
            (By::Tag, 1, false, &[3, 4, 5], 6, false),
            (By::Tag, 1, false, &[], 1, false),
        ] {
            let asked = Search { by, from, backward, limit: 10 };
            let told = FoundEvents { positions: found.to_vec(), next, applied: 5 };
            assert_eq!(broken(&[(asked, told)], &end).is_empty(), fine, "{by:?} {from} {found:?}");
        }
    }
}
