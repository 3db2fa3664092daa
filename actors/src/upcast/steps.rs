//! Which steps lead from a schema version to the newest: a decision, and no I/O.

use std::{collections::BTreeMap, sync::Arc};

use weir_types::{EventName, LogIndex, UpcastError, Upcaster};

/// From one schema version to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) set: LogIndex,
    pub(super) source: Arc<str>,
    pub(super) description: String,
}

/// The steps of the events of one name; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Steps {
    name: EventName,
    by_from: BTreeMap<u32, Step>,
    newest: u32,
}

impl Steps {
    /// The steps that there are, by the name of their events.
    pub(super) fn of<'a>(
        standing: impl Iterator<Item = (LogIndex, &'a Upcaster)>,
    ) -> BTreeMap<EventName, Self> {
        let mut all = BTreeMap::<EventName, Self>::new();
        for (set, upcaster) in standing {
            let Upcaster { name, from, to, source, description, .. } = upcaster;
            let steps = all.entry(name.clone()).or_insert_with(|| Self {
                name: name.clone(),
                by_from: BTreeMap::new(),
                newest: 0,
            });
            steps.newest = steps.newest.max(*to);
            let (source, description) = (Arc::clone(source), description.clone());
            steps.by_from.insert(*from, Step { from: *from, to: *to, set, source, description });
        }
        all
    }

    pub(super) fn name(&self) -> &EventName {
        &self.name
    }

    /// The newest version that a step gives.
    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    /// What tells these steps from others of the same name.
    pub(super) fn key(&self) -> Vec<(u32, LogIndex)> {
        self.by_from.values().map(|step| (step.from, step.set)).collect()
    }

    /// The steps from a version to `target`, or to the newest. None where the version is not before it.
    pub(super) fn route(&self, version: u32, target: Option<u32>) -> Result<Vec<&Step>, UpcastError> {
        let target = target.unwrap_or(self.newest);
        let (mut at, mut route) = (version, Vec::new());
        while at < target {
            let step = self.by_from.get(&at).filter(|step| step.to <= target);
            let Some(step) = step else {
                return Err(UpcastError::Gap { name: self.name.clone(), from: at, newest: target });
            };
            route.push(step);
            at = step.to;
        }
        Ok(route)
    }
}

#[cfg(test)]
mod tests {
    use weir_types::Timestamp;

    use super::*;

    fn steps(of: &[(u32, u32)]) -> Steps {
        let name = EventName::new("e").unwrap();
        let upcasters: Vec<_> = of
            .iter()
            .map(|(from, to)| Upcaster {
                name: name.clone(),
                from: *from,
                to: *to,
                source: "".into(),
                description: String::new(),
                registered_at: Timestamp(0),
            })
            .collect();
        Steps::of(upcasters.iter().map(|upcaster| (LogIndex(1), upcaster))).remove(&name).unwrap()
    }

    #[test]
    fn steps_lead_to_the_newest_version_or_name_the_gap() {
        for (of, version, target, expected) in [
            (&[(1, 2), (2, 3)][..], 1, None, Ok(vec![1, 2])),
            (&[(1, 2), (2, 3)], 2, None, Ok(vec![2])),
            (&[(1, 2), (2, 3)], 3, None, Ok(vec![])),
            (&[(1, 2), (2, 3)], 7, None, Ok(vec![])),
            (&[(1, 3), (2, 3)], 1, None, Ok(vec![1])),
            (&[(1, 2), (3, 4)], 1, None, Err(2)),
            (&[(2, 3)], 1, None, Err(1)),
            (&[(1, 2), (2, 3)], 1, Some(2), Ok(vec![1])),
            (&[(1, 3)], 1, Some(2), Err(1)),
            (&[(1, 2)], 1, Some(5), Err(2)),
        ] {
            let steps = steps(of);
            let route = steps.route(version, target);
            let route = route.map(|route| route.iter().map(|step| step.from).collect::<Vec<_>>());
            let route = route.map_err(|error| match error {
                UpcastError::Gap { from, .. } => from,
                UpcastError::Failed { .. } => panic!("nothing runs here"),
            });
            assert_eq!(route, expected, "{of:?} from {version} to {target:?}");
        }
    }
}
