//! Upcasters: how the data of events of an older schema version becomes that of a newer one.

use std::{collections::BTreeMap, sync::Arc};

use super::RulesError;
use crate::{EventName, LogIndex, Timestamp, limits};

/// Leads the data of the events of a name from one schema version to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcaster {
    /// The name of the events.
    pub name: EventName,
    /// The schema version that it takes, from 1.
    pub from: u32,
    /// The schema version that it gives.
    pub to: u32,
    /// The JavaScript module's text.
    pub source: Arc<str>,
    /// For people; may be empty.
    pub description: String,
    /// When it was set, by the clock of the node that was asked.
    pub registered_at: Timestamp,
}

impl Upcaster {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`RulesError::UpcasterInvalid`].
    pub fn check_limits(&self) -> Result<(), RulesError> {
        let refuse = |reason: String| Err(RulesError::UpcasterInvalid { reason });
        if self.from == 0 || self.to <= self.from {
            let (from, to) = (self.from, self.to);
            return refuse(format!("schema versions lead from 1 or more to a later one, not {from} to {to}"));
        }
        for (what, actual, max) in [
            ("upcaster", self.source.len(), limits::UPCASTER_SOURCE_BYTES_MAX),
            ("description", self.description.len(), limits::DESCRIPTION_BYTES_MAX),
        ] {
            if actual > max {
                return refuse(format!("{what} has {actual} bytes, over the limit of {max}"));
            }
        }
        Ok(())
    }
}

/// What stood for the events of a name and schema version from a log index on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpcasterRecord {
    /// The name of the events.
    pub name: EventName,
    /// The schema version.
    pub from: u32,
    /// The log index since which it stands.
    pub set: LogIndex,
    /// The upcaster; `None` where it was removed.
    pub upcaster: Option<Upcaster>,
}

/// Upcasters as of one log index, with those before them that a projection still folds by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upcasters {
    /// The log index of the last command that changed any of them; 0 when none did.
    pub revision: LogIndex,
    /// In order of names, versions and log indexes.
    pub records: Vec<UpcasterRecord>,
}

impl Upcasters {
    /// What stands now, in order of names and versions, each with the log index that set it.
    pub fn standing(&self) -> impl Iterator<Item = (LogIndex, &Upcaster)> {
        self.as_of(LogIndex(u64::MAX))
    }

    /// What stood where a command at `index` came, which a projection that it deployed folds by.
    pub fn as_of(&self, index: LogIndex) -> impl Iterator<Item = (LogIndex, &Upcaster)> {
        let mut last = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.set < index) {
            last.insert((&record.name, record.from), record);
        }
        last.into_values().filter_map(|record| Some((record.set, record.upcaster.as_ref()?)))
    }
}

/// Why the data of an event could not be led to the newest schema version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpcastError {
    /// There is no upcaster from a version, though there are some beyond it.
    #[error("no upcaster of `{name}` leads on from schema version {from}, and version {newest} is wanted")]
    Gap {
        /// The name of the events.
        name: EventName,
        /// The version at which the chain ends.
        from: u32,
        /// The version that is wanted: the newest that an upcaster gives, unless a test names another.
        newest: u32,
    },
    /// An upcaster did not give what JSON holds.
    #[error("upcaster of `{name}` from schema version {from} to {to} failed: {reason}")]
    Failed {
        /// The name of the events.
        name: EventName,
        /// The version that it takes.
        from: u32,
        /// The version that it gives.
        to: u32,
        /// The error, and where.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(from: u32, set: u64, to: Option<u32>) -> UpcasterRecord {
        let name = EventName::new("e").unwrap();
        let upcaster = to.map(|to| Upcaster {
            name: name.clone(),
            from,
            to,
            source: "".into(),
            description: String::new(),
            registered_at: Timestamp(0),
        });
        UpcasterRecord { name, from, set: LogIndex(set), upcaster }
    }

    #[test]
    fn what_stood_is_known_for_each_index() {
        let records =
            vec![record(1, 3, Some(2)), record(1, 7, Some(4)), record(1, 9, None), record(2, 5, Some(3))];
        let all = Upcasters { revision: LogIndex(9), records };
        let steps = |index| -> Vec<(u64, u32, u32)> {
            all.as_of(LogIndex(index)).map(|(set, found)| (set.0, found.from, found.to)).collect()
        };
        assert_eq!(steps(3), []);
        assert_eq!(steps(4), [(3, 1, 2)]);
        assert_eq!(steps(7), [(3, 1, 2), (5, 2, 3)]);
        assert_eq!(steps(8), [(7, 1, 4), (5, 2, 3)]);
        assert_eq!(steps(10), [(5, 2, 3)]);
        assert_eq!(all.standing().count(), 1);
    }

    #[test]
    fn versions_lead_on() {
        let legal = |from, to| {
            let upcaster = record(from, 1, Some(to)).upcaster.unwrap();
            upcaster.check_limits().is_ok()
        };
        assert_eq!(
            (legal(1, 2), legal(1, 9), legal(0, 1), legal(2, 2), legal(3, 2)),
            (true, true, false, false, false)
        );
    }
}
