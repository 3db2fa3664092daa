//! What must hold of a consumer group, by what its consumers saw. Times are in microseconds of one clock.

use std::collections::{BTreeMap, BTreeSet};

/// How long a request that was not answered may still lie somewhere, and be carried out: longer than any fault lasts.
const LOST_LASTS: u64 = 60_000_000;

/// What a consumer saw or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// It was given an event.
    Given {
        /// The event's position.
        position: u64,
        /// Its stream.
        stream: String,
        /// Which delivery it is, from 1.
        attempt: u32,
        /// When it was asked for.
        began: u64,
        /// When it was there.
        ended: u64,
    },
    /// It said something of an event.
    Said {
        /// The event's position.
        position: u64,
        /// When it said so.
        began: u64,
        /// When it was told that the event is settled or dead for good, if it was.
        ended: Option<u64>,
    },
    /// Somebody asked for a dead letter to be handed out again.
    Replayed {
        /// The event's position.
        position: u64,
        /// When it was asked for.
        began: u64,
    },
    /// The group was told to hand out nothing.
    Paused {
        /// When that was answered.
        ended: u64,
    },
    /// The group was told to go on.
    Resumed {
        /// When it was asked for.
        began: u64,
        /// Whether it was answered: one that was not may still be carried out.
        answered: bool,
    },
}

/// What is wrong. The log is that of the group's pattern and filter, in order: positions and streams.
#[must_use]
pub fn judge(log: &[(u64, String)], facts: &[Fact], dead: &[u64]) -> Vec<String> {
    let said = Said::new(facts);
    let pauses = pauses(facts);
    let dead: BTreeSet<u64> = dead.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut given = BTreeSet::new();
    for fact in facts {
        let Fact::Given { position, stream, began, ended, .. } = fact else { continue };
        given.insert(*position);
        if log.binary_search_by_key(position, |(of_group, _)| *of_group).is_err() {
            wrong.push(format!("{position} was handed out and is none of the group's"));
        }
        if let Some(settled) = said.settled_before(*position, *began) {
            wrong.push(format!("{position} was settled at {settled} and handed out by a request of {began}"));
        }
        if pauses.iter().any(|(paused, resumed)| paused < began && ended < resumed) {
            wrong.push(format!(
                "{position} was handed out by a request of {began} while the group was paused"
            ));
        }
        let older = log.iter().take_while(|(older, _)| older < position);
        let of_stream = older.filter(|(_, other)| other == stream);
        let open = of_stream.map(|(older, _)| *older).find(|older| {
            let touched = said.first.get(older).is_some_and(|first| first < ended);
            !(touched || said.replayed.contains_key(older) || dead.contains(older))
        });
        if let Some(older) = open {
            wrong.push(format!(
                "{position} was handed out before anybody said anything of {older} of {stream}"
            ));
        }
    }
    for (position, _) in log {
        let settled = said.first.contains_key(position) || dead.contains(position);
        if !settled || !(given.contains(position) || dead.contains(position)) {
            wrong.push(format!("{position} is passed over"));
        }
    }
    wrong
}

/// From when until when it is certain that the group handed out nothing: from the answer of a pause until somebody asked
/// it to go on, unless somebody asked so shortly before and heard nothing.
fn pauses(facts: &[Fact]) -> Vec<(u64, u64)> {
    let resumed: BTreeMap<u64, bool> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Resumed { began, answered } => Some((*began, *answered)),
            _ => None,
        })
        .collect();
    let until = |paused: u64| {
        let recent = resumed.range(paused.saturating_sub(LOST_LASTS)..paused);
        let next = resumed.range(paused..).next().map_or(u64::MAX, |(began, _)| *began);
        recent.into_iter().all(|(_, answered)| *answered).then_some((paused, next))
    };
    facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Paused { ended } => until(*ended),
            _ => None,
        })
        .collect()
}

struct Said {
    /// When somebody first said anything.
    first: BTreeMap<u64, u64>,
    /// When somebody was first told that it is settled.
    settled: BTreeMap<u64, u64>,
    replayed: BTreeMap<u64, u64>,
}

impl Said {
    fn new(facts: &[Fact]) -> Self {
        let mut said = Self { first: BTreeMap::new(), settled: BTreeMap::new(), replayed: BTreeMap::new() };
        let least = |of: &mut BTreeMap<u64, u64>, position: u64, at: u64| {
            let first = of.entry(position).or_insert(at);
            *first = at.min(*first);
        };
        for fact in facts {
            match fact {
                Fact::Said { position, began, ended } => {
                    least(&mut said.first, *position, *began);
                    if let Some(ended) = ended {
                        least(&mut said.settled, *position, *ended);
                    }
                }
                Fact::Replayed { position, began } => least(&mut said.replayed, *position, *began),
                Fact::Given { .. } | Fact::Paused { .. } | Fact::Resumed { .. } => {}
            }
        }
        said
    }

    /// When it was told to be settled, if that was before, and nobody has asked for it again.
    fn settled_before(&self, position: u64, at: u64) -> Option<u64> {
        let settled = self.settled.get(&position).copied().filter(|settled| *settled < at);
        settled.filter(|_| !self.replayed.contains_key(&position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(position: u64, began: u64, ended: u64) -> Fact {
        Fact::Given { position, stream: "a".into(), attempt: 1, began, ended }
    }

    fn said(position: u64, began: u64, ended: u64) -> Fact {
        Fact::Said { position, began, ended: (ended > 0).then_some(ended) }
    }

    #[test]
    fn what_is_handed_out_while_it_is_certain_that_the_group_is_paused_is_found() {
        let log = [(1, "a".to_owned())];
        let resumed = |began, answered| Fact::Resumed { began, answered };
        let paused = [Fact::Paused { ended: 10 }, resumed(20, false), resumed(5, true)];
        for (began, ended, wrongs) in [(11, 19, 1), (9, 12, 0), (15, 21, 0), (21, 22, 0)] {
            let facts = [paused.as_slice(), &[given(1, began, ended), said(1, 30, 40)]].concat();
            assert_eq!(judge(&log, &facts, &[]).len(), wrongs, "{began} to {ended}");
        }
        let for_good = [Fact::Paused { ended: 10 }, given(1, 11, 99), said(1, 100, 101)];
        assert_eq!(judge(&log, &for_good, &[]).len(), 1);
        let lost = [for_good.as_slice(), &[resumed(5, false)]].concat();
        assert_eq!(judge(&log, &lost, &[]).len(), 0, "it may have gone on since");
    }

    #[test]
    fn what_must_not_be_is_found() {
        let log = [(1, "a".to_owned()), (2, "a".to_owned())];
        let fine = [given(1, 0, 10), said(1, 11, 20), given(2, 21, 30), said(2, 31, 40)];
        assert_eq!(judge(&log, &fine, &[]), Vec::<String>::new());

        let again = [fine.as_slice(), &[given(1, 21, 25)]].concat();
        assert_eq!(judge(&log, &again, &[]).len(), 1, "settled, and handed out");
        let asked = [again.as_slice(), &[Fact::Replayed { position: 1, began: 20 }]].concat();
        assert_eq!(judge(&log, &asked, &[]).len(), 0, "it was a dead letter");
        let crossed = [fine.as_slice(), &[given(1, 19, 25)]].concat();
        assert_eq!(judge(&log, &crossed, &[]).len(), 0, "the answer was under way");

        let early = [given(1, 0, 10), said(1, 11, 20), given(2, 5, 10), said(2, 31, 40)];
        assert_eq!(judge(&log, &early, &[]).len(), 1, "out of order");
        assert_eq!(judge(&log, &early, &[1]).len(), 0, "the older one is dead");
        assert_eq!(judge(&log, &fine[..2], &[]).len(), 1, "passed over");
        assert_eq!(judge(&log, &fine[..2], &[2]).len(), 0, "dead");
        assert_eq!(judge(&log[..1], &fine, &[]).len(), 1, "the filter leaves it out");
    }
}
