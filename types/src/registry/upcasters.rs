//! The upcasters of the registry: which stand, and which before them a projection still folds by.

use std::collections::BTreeMap;

use crate::{EventName, LogIndex, RulesError, RulesLimit, UpcasterRecord, Upcasters, limits};

/// Which record: a name, a schema version, and the log index that made it.
pub type UpcasterKey = (EventName, u32, LogIndex);

/// What a change of upcasters writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpcasterChange {
    /// What stands from now on.
    pub record: UpcasterRecord,
    /// Records that nobody needs any more; `record` may be among them.
    pub dropped: Vec<UpcasterKey>,
}

/// Of each name and version, the records in order of their log indexes, and whether there was an upcaster then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct UpcasterBook(BTreeMap<(EventName, u32), Vec<(LogIndex, bool)>>);

impl UpcasterBook {
    pub(super) fn new(all: &Upcasters) -> Self {
        let mut book = Self::default();
        for record in &all.records {
            book.push(record);
        }
        book
    }

    pub(super) fn take(&mut self, change: &UpcasterChange) {
        self.push(&change.record);
        for (name, from, set) in &change.dropped {
            let key = (name.clone(), *from);
            if let Some(records) = self.0.get_mut(&key) {
                records.retain(|(known, _)| known != set);
                if records.is_empty() {
                    self.0.remove(&key);
                }
            }
        }
    }

    fn push(&mut self, record: &UpcasterRecord) {
        let of_name = self.0.entry((record.name.clone(), record.from)).or_default();
        of_name.push((record.set, record.upcaster.is_some()));
    }

    /// Whether an upcaster of a name and version stands.
    pub(super) fn stands(&self, name: &EventName, from: u32) -> bool {
        let newest = self.0.get(&(name.clone(), from)).and_then(|records| records.last());
        newest.is_some_and(|(_, stands)| *stands)
    }

    /// What a record changes. `folding` are the log indexes of the projections that may still be folded.
    pub(super) fn judge(
        &self,
        record: UpcasterRecord,
        folding: &[LogIndex],
    ) -> Result<UpcasterChange, RulesError> {
        let mut after = self.clone();
        after.push(&record);
        let dropped = after.needless(folding);
        let there = after.0.values().map(Vec::len).sum::<usize>() - dropped.len();
        let standing = after.0.values().filter(|records| records.last().is_some_and(|(_, stands)| *stands));
        let too_many = |max| RulesError::TooMany { what: RulesLimit::Upcasters, max };
        // What frees room is never refused.
        if record.upcaster.is_some() {
            if standing.count() > limits::UPCASTERS_MAX {
                return Err(too_many(limits::UPCASTERS_MAX));
            }
            if there > limits::UPCASTER_RECORDS_MAX {
                return Err(too_many(limits::UPCASTER_RECORDS_MAX));
            }
        }
        Ok(UpcasterChange { record, dropped })
    }

    /// Records that neither stand nor are folded by.
    fn needless(&self, folding: &[LogIndex]) -> Vec<UpcasterKey> {
        let mut needless = Vec::new();
        for ((name, from), records) in &self.0 {
            let mut kept_before = false;
            for (number, (set, stands)) in records.iter().enumerate() {
                let needed = match records.get(number + 1) {
                    Some((until, _)) => folding.iter().any(|index| set < index && index <= until),
                    None => true,
                };
                // A removal says something only after what it removes.
                if needed && (*stands || kept_before) {
                    kept_before = true;
                } else {
                    needless.push((name.clone(), *from, *set));
                }
            }
        }
        needless
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Timestamp, Upcaster};

    fn name() -> EventName {
        EventName::new("e").unwrap()
    }

    fn record(from: u32, set: u64, stands: bool) -> UpcasterRecord {
        let upcaster = stands.then(|| Upcaster {
            name: name(),
            from,
            to: from + 1,
            source: "".into(),
            description: String::new(),
            registered_at: Timestamp(0),
        });
        UpcasterRecord { name: name(), from, set: LogIndex(set), upcaster }
    }

    /// Takes records, and gives the log indexes of those that are kept.
    fn kept(records: &[(u32, u64, bool)], folding: &[u64]) -> Vec<u64> {
        let folding: Vec<LogIndex> = folding.iter().copied().map(LogIndex).collect();
        let mut book = UpcasterBook::default();
        for (from, set, stands) in records {
            let change = book.judge(record(*from, *set, *stands), &folding).unwrap();
            book.take(&change);
        }
        book.0.values().flatten().map(|(set, _)| set.0).collect()
    }

    #[test]
    fn what_a_projection_folds_by_is_kept_as_long_as_it_may_be_folded() {
        for (records, folding, expected) in [
            (vec![(1, 2, true)], vec![], vec![2]),
            (vec![(1, 2, true), (1, 4, true)], vec![], vec![4]),
            (vec![(1, 2, true), (1, 4, true)], vec![3], vec![2, 4]),
            (vec![(1, 2, true), (1, 4, true)], vec![1], vec![4]),
            (vec![(1, 2, true), (1, 4, true)], vec![5], vec![4]),
            (vec![(1, 2, true), (1, 4, false)], vec![], vec![]),
            (vec![(1, 2, true), (1, 4, false)], vec![3], vec![2, 4]),
            (vec![(1, 2, true), (1, 4, false), (1, 6, true)], vec![3, 5], vec![2, 4, 6]),
            (vec![(1, 2, true), (1, 4, false), (1, 6, true)], vec![5], vec![6]),
            (vec![(1, 2, true), (2, 3, true), (1, 4, true)], vec![3], vec![2, 4, 3]),
        ] {
            assert_eq!(kept(&records, &folding), expected, "{records:?} {folding:?}");
        }
    }

    #[test]
    fn there_are_not_more_than_may_be() {
        let mut book = UpcasterBook::default();
        for from in 1..=u32::try_from(limits::UPCASTERS_MAX).unwrap() {
            let change = book.judge(record(from, from.into(), true), &[]).unwrap();
            book.take(&change);
        }
        let full = book.judge(record(9_999, 9_999, true), &[]);
        assert!(matches!(full, Err(RulesError::TooMany { what: RulesLimit::Upcasters, .. })));
        assert!(book.judge(record(1, 10_000, true), &[]).is_ok(), "another in the place of one");
        let gone = book.judge(record(1, 10_000, false), &[]).unwrap();
        book.take(&gone);
        assert!(!book.stands(&name(), 1) && book.stands(&name(), 2));
        assert!(book.judge(record(9_999, 10_001, true), &[]).is_ok());
    }
}
