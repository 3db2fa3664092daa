use crate::{
    PartitionKey, PatternError, ProjectionName, limits::SUBSCRIPTION_PATTERN_BYTES_MAX as BYTES_MAX,
};

const SYSTEM: &str = "system.projection.";
const UPDATED: &str = ".updated";

/// Which partitions of a projection are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitions {
    /// All of them.
    All,
    /// One.
    One(PartitionKey),
}

impl Partitions {
    /// Whether a partition is one of them.
    #[must_use]
    pub fn take(&self, key: &PartitionKey) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == key,
        }
    }
}

/// Which states of a projection are asked for, in the words of the contract:
///
/// | pattern | takes |
/// | --- | --- |
/// | `system.projection.NAME.PARTITION.updated` | the states of one partition |
/// | `system.projection.NAME.*.updated`, `system.projection.NAME.>` | those of all partitions |
///
/// A name and a partition may hold dots of their own, so a pattern may be read in several ways: of those that name a
/// projection that is there, the one with the longest name counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewPattern {
    readings: Vec<(ProjectionName, Partitions)>,
}

impl ViewPattern {
    /// Whether a pattern is about projections.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SYSTEM)
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > BYTES_MAX {
            return Err(PatternError::TooLong { bytes: text.len() });
        }
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(PatternError::Control { at });
        }
        let rest = text.strip_prefix(SYSTEM).unwrap_or_default();
        let splits = rest.char_indices().filter(|(_, c)| *c == '.').map(|(at, _)| at);
        let readings = splits.rev().filter_map(|at| {
            let name = ProjectionName::new(&rest[..at]).ok()?;
            Some((name, partitions(&rest[at + 1..])?))
        });
        let readings: Vec<_> = readings.collect();
        match readings.is_empty() {
            true => Err(PatternError::NoProjection { text: text.to_owned() }),
            false => Ok(Self { readings }),
        }
    }

    /// The ways to read it, the longest name first; at least one.
    #[must_use]
    pub fn readings(&self) -> &[(ProjectionName, Partitions)] {
        &self.readings
    }
}

fn partitions(tail: &str) -> Option<Partitions> {
    match tail {
        ">" | "*" | "*.>" => return Some(Partitions::All),
        _ => {}
    }
    match tail.strip_suffix(UPDATED).or_else(|| tail.strip_suffix(".>"))? {
        "*" => Some(Partitions::All),
        key => PartitionKey::new(key).ok().map(Partitions::One),
    }
}

/// The topic of a new state.
#[must_use]
pub fn view_topic(name: &ProjectionName, partition: &PartitionKey) -> String {
    format!("{SYSTEM}{name}.{partition}{UPDATED}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Option<String>)> {
        let Ok(pattern) = ViewPattern::new(text) else { return Vec::new() };
        let reading = |(name, partitions): &(ProjectionName, Partitions)| match partitions {
            Partitions::All => (name.as_str().to_owned(), None),
            Partitions::One(key) => (name.as_str().to_owned(), Some(key.as_str().to_owned())),
        };
        pattern.readings().iter().map(reading).collect()
    }

    #[test]
    fn patterns_are_read_in_every_way_with_the_longest_name_first() {
        let one = |name: &str, key: &str| (name.to_owned(), Some(key.to_owned()));
        let all = |name: &str| (name.to_owned(), None);
        for (text, readings) in [
            ("system.projection.orders.>", vec![all("orders")]),
            ("system.projection.orders.*", vec![all("orders")]),
            ("system.projection.orders.*.updated", vec![all("orders")]),
            ("system.projection.orders.__global__.updated", vec![one("orders", "__global__")]),
            ("system.projection.orders.Ada Byron.updated", vec![one("orders", "Ada Byron")]),
            ("system.projection.orders.eu.7.updated", vec![one("orders.eu", "7"), one("orders", "eu.7")]),
            ("system.projection.orders.eu.>", vec![all("orders.eu"), one("orders", "eu")]),
            ("system.projection.>", vec![]),
            ("system.projection.orders", vec![]),
            ("system.projection.orders.updated", vec![]),
            ("system.projection.*.>", vec![]),
            ("system.projection.orders.a\n.updated", vec![]),
            ("system.run.7.>", vec![]),
        ] {
            assert_eq!(read(text), readings, "{text}");
        }
        assert!(ViewPattern::is_one("system.projection.orders.>") && !ViewPattern::is_one("events:x"));
    }

    #[test]
    fn the_topic_of_a_state_is_a_pattern_for_it() {
        let (name, key) = (ProjectionName::new("orders").unwrap(), PartitionKey::new("eu.7").unwrap());
        let topic = view_topic(&name, &key);
        assert_eq!(topic, "system.projection.orders.eu.7.updated");
        assert!(ViewPattern::new(&topic).unwrap().readings().contains(&(name, Partitions::One(key))));
    }
}
