//! How events break rules.

use std::fmt;

use crate::{EntityId, limits};

/// Which kind of rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleKind {
    /// The schema of the event.
    Schema,
    /// What metadata must hold.
    Metadata,
    /// The invariant of the stream.
    Invariant,
}

impl RuleKind {
    /// The kind as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Metadata => "metadata",
            Self::Invariant => "invariant",
        }
    }
}

/// How one event breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    /// The event's stream.
    pub entity_id: EntityId,
    /// The event's place among those that go to the stream, from 0.
    pub event: u32,
    /// Which kind of rule.
    pub rule: RuleKind,
    /// Where in the data or the metadata, as a JSON pointer; empty is the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rule, self.path.as_str()) {
            (RuleKind::Invariant, _) => f.write_str(&self.message),
            (rule, "") => write!(f, "{}: {}", rule.as_str(), self.message),
            (rule, path) => write!(f, "{} {path}: {}", rule.as_str(), self.message),
        }
    }
}

/// All that stands against events: at most [`limits::RULE_FAULTS_MAX`] are told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleFaults {
    /// The events' own: of their schema and their metadata.
    pub own: Vec<RuleFault>,
    /// Of the state that their streams would be in.
    pub state: Vec<RuleFault>,
}

impl RuleFaults {
    /// Whether nothing stands against the events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.state.is_empty()
    }

    /// Takes more, as far as there is room, with texts that are not too long.
    pub fn extend(&mut self, faults: impl IntoIterator<Item = RuleFault>) {
        for mut fault in faults {
            if self.is_full() {
                return;
            }
            cut(&mut fault.message);
            cut(&mut fault.path);
            match fault.rule {
                RuleKind::Schema | RuleKind::Metadata => self.own.push(fault),
                RuleKind::Invariant => self.state.push(fault),
            }
        }
    }

    /// Whether no more are told.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.own.len() + self.state.len() >= limits::RULE_FAULTS_MAX
    }

    /// All of them in words, the events' own first.
    pub fn messages(&self) -> impl Iterator<Item = String> + '_ {
        self.own.iter().chain(&self.state).map(ToString::to_string)
    }
}

/// Faults that a message tells; the others are counted.
const TOLD: usize = 3;

impl fmt::Display for RuleFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.own.len() + self.state.len();
        for (number, message) in self.messages().take(TOLD).enumerate() {
            f.write_str(if number == 0 { "" } else { "; " })?;
            f.write_str(&message)?;
        }
        if all > TOLD { write!(f, "; and {} more", all - TOLD) } else { Ok(()) }
    }
}

fn cut(text: &mut String) {
    if text.len() > limits::RULE_FAULT_BYTES_MAX {
        let end = text.floor_char_boundary(limits::RULE_FAULT_BYTES_MAX);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(rule: RuleKind, path: &str, message: &str) -> RuleFault {
        let (entity_id, path) = (EntityId::new("a").unwrap(), path.to_owned());
        RuleFault { entity_id, event: 0, rule, path, message: message.to_owned() }
    }

    #[test]
    fn own_faults_and_those_of_the_state_are_apart_and_merge_in_words() {
        let mut faults = RuleFaults::default();
        faults.extend([
            fault(RuleKind::Invariant, "", "balance is below zero"),
            fault(RuleKind::Schema, "/amount", "is no number"),
            fault(RuleKind::Metadata, "/tenant", "is missing"),
        ]);
        assert_eq!((faults.own.len(), faults.state.len()), (2, 1));
        assert_eq!(
            faults.to_string(),
            "schema /amount: is no number; metadata /tenant: is missing; balance is below zero"
        );
        faults.extend((0..limits::RULE_FAULTS_MAX).map(|_| fault(RuleKind::Schema, "", &"ü".repeat(2_000))));
        assert!(faults.is_full() && faults.own.len() + faults.state.len() == limits::RULE_FAULTS_MAX);
        assert!(faults.own.iter().all(|fault| fault.message.len() <= limits::RULE_FAULT_BYTES_MAX + 3));
        assert!(faults.to_string().ends_with(&format!("and {} more", limits::RULE_FAULTS_MAX - 3)));
    }
}
