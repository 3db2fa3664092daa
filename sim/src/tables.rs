//! Tables hold each event up to the position that they name, once and in order, and no other.

use weir_check::FinalState;

use crate::{desk::TablesTold, folds::amount};

/// The position that a client asked for, and what it was told.
pub type TablesSeen = (u64, TablesTold);

/// What must not be.
#[must_use]
pub fn broken(seen: &[TablesSeen], end: &FinalState) -> Vec<String> {
    seen.iter().filter_map(|one| untrue(one, end)).collect()
}

fn untrue((min, told): &TablesSeen, end: &FinalState) -> Option<String> {
    let events = end.longest().iter().filter(|event| event.position <= told.position);
    let due: Vec<_> = events
        .filter_map(|event| Some((event.position, event.stream.clone(), amount(&event.mark)? * 100)))
        .collect();
    let fine = told.moves == due && told.position >= *min;
    (!fine).then(|| format!("tables as of {min} at least are {told:?}; there is {due:?}"))
}

#[cfg(test)]
mod tests {
    use weir_check::state::{NodeEnd, StoredEvent};

    use super::*;

    #[test]
    fn tables_that_lack_a_move_or_hold_one_twice_are_found() {
        let event = |(position, mark): (u64, &str)| StoredEvent {
            position,
            stream: "account-1".to_owned(),
            mark: mark.to_owned(),
            ..StoredEvent::default()
        };
        let events = (1..).zip(["a-1=5", "a-2", "a-3=-2"]).map(event).collect();
        let nodes = vec![NodeEnd { node: 1, events, ..NodeEnd::default() }];
        let end = FinalState { nodes, ..FinalState::default() };
        let row = |position, cents| (position, "account-1".to_owned(), cents);
        for (min, position, moves, fine) in [
            (0, 2, vec![row(1, 500)], true),
            (3, 3, vec![row(1, 500), row(3, -200)], true),
            (3, 2, vec![row(1, 500)], false),
            (0, 3, vec![row(1, 500)], false),
            (0, 2, vec![row(1, 500), row(1, 500)], false),
            (0, 2, vec![row(1, 500), row(3, -200)], false),
            (0, 1, vec![row(1, 400)], false),
        ] {
            let found = broken(&[(min, TablesTold { position, moves })], &end);
            assert_eq!(found.is_empty(), fine, "{found:?}");
        }
    }
}
