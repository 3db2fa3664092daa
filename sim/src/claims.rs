//! What is claimed with a lease is held by one client at a time, by the times that the answers name.

use std::collections::BTreeMap;

use crate::desk::{Claim, Granted};

/// A claim that a client knows to have had.
#[derive(Debug, Clone)]
pub struct Held {
    /// What it asked for.
    pub asked: Claim,
    /// What it was told.
    pub granted: Granted,
    /// Whether it tried to give it up.
    pub released: bool,
}

/// What must not be.
#[must_use]
pub fn broken(held: &[Held]) -> Vec<String> {
    let mut in_order: Vec<&Held> = held.iter().collect();
    in_order.sort_by_key(|one| one.granted.revision);
    let mut wrong = Vec::new();
    let mut last: BTreeMap<&str, &Held> = BTreeMap::new();
    for pair in in_order.windows(2) {
        if pair[0].granted.at_us > pair[1].granted.at_us {
            wrong.push(format!("the time of claims falls: {pair:?}"));
        }
    }
    for one in in_order {
        let lease_us = i64::try_from(one.asked.lease_ms * 1_000).unwrap_or(i64::MAX);
        if one.granted.until_us - one.granted.at_us != lease_us {
            wrong.push(format!("the lease is another one: {one:?}"));
        }
        let before = last.insert(&one.asked.key, one);
        if let Some(before) = before.filter(|before| overlap(before, one)) {
            wrong.push(format!("two hold one claim: {before:?} and {one:?}"));
        }
    }
    wrong
}

fn overlap(before: &Held, after: &Held) -> bool {
    !before.released && before.granted.until_us > after.granted.at_us
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(key: &str, revision: u64, at_us: i64, released: bool) -> Held {
        let asked = Claim { key: key.to_owned(), lease_ms: 10 };
        Held { asked, granted: Granted { revision, at_us, until_us: at_us + 10_000 }, released }
    }

    #[test]
    fn a_claim_that_meets_another_is_found() {
        for (second, fine) in [
            (held("a", 2, 10_000, false), true),
            (held("a", 2, 9_999, false), false),
            (held("b", 2, 1, false), true),
            (held("b", 2, -1, false), false),
        ] {
            let found = broken(&[second, held("a", 1, 0, false)]);
            assert_eq!(found.is_empty(), fine, "{found:?}");
        }
        assert!(broken(&[held("a", 1, 0, true), held("a", 2, 1, false)]).is_empty());
        let longer =
            Held { granted: Granted { revision: 1, at_us: 0, until_us: 1 }, ..held("a", 1, 0, false) };
        assert_eq!(broken(&[longer]).len(), 1);
    }
}
