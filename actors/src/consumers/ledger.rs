use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::Position;

/// The format of the text.
const FORMAT: u32 = 1;

/// What is replicated of a consumer group's work, beside its dead letters: all that a new leader needs to go on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Every event of the pattern up to here is settled or dead.
    pub checkpoint: Position,
    /// Events after the checkpoint that are settled or dead.
    pub settled: BTreeSet<Position>,
    /// How often events that are not settled were handed out, where that was recorded.
    pub attempts: BTreeMap<Position, u32>,
    /// Dead letters that are handed out again.
    pub replayed: BTreeSet<Position>,
}

/// A ledger's text is none.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is not JSON of this form.
    #[error("ledger is not readable: {0}")]
    Illegal(#[from] serde_json::Error),
    /// It is of another version of Weir.
    #[error("ledger has format {0}, and this is format {FORMAT}")]
    Format(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    checkpoint: u64,
    /// First and last of each run.
    settled: Vec<(u64, u64)>,
    attempts: Vec<(u64, u32)>,
    replayed: Vec<u64>,
}

impl Ledger {
    /// Whether a dead letter at this position is one, and not left over from a write that was cut: of an event that
    /// was then handed out again, or is being replayed.
    #[must_use]
    pub fn is_dead(&self, position: Position) -> bool {
        let settled = position <= self.checkpoint || self.settled.contains(&position);
        settled && !self.replayed.contains(&position)
    }

    /// Its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let stored = Stored {
            format: FORMAT,
            checkpoint: self.checkpoint.0,
            settled: runs(&self.settled),
            attempts: self.attempts.iter().map(|(at, count)| (at.0, *count)).collect(),
            replayed: self.replayed.iter().map(|at| at.0).collect(),
        };
        serde_json::to_string(&stored).expect("numbers are always JSON")
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn from_text(text: &str) -> Result<Self, LedgerError> {
        #[derive(Deserialize)]
        struct Any {
            format: u32,
        }
        let Any { format } = serde_json::from_str(text)?;
        if format != FORMAT {
            return Err(LedgerError::Format(format));
        }
        let stored: Stored = serde_json::from_str(text)?;
        Ok(Self {
            checkpoint: Position(stored.checkpoint),
            settled: stored.settled.iter().flat_map(|(first, last)| (*first..=*last).map(Position)).collect(),
            attempts: stored.attempts.into_iter().map(|(at, count)| (Position(at), count)).collect(),
            replayed: stored.replayed.into_iter().map(Position).collect(),
        })
    }
}

fn runs(positions: &BTreeSet<Position>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for position in positions {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == position.0 => *last = position.0,
            _ => runs.push((position.0, position.0)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_of_what_is_settled_and_not_replayed() {
        let ledger = Ledger {
            checkpoint: Position(7),
            settled: [9].map(Position).into(),
            replayed: [3].map(Position).into(),
            ..Ledger::default()
        };
        for (position, dead) in [(2, true), (3, false), (7, true), (8, false), (9, true), (10, false)] {
            assert_eq!(ledger.is_dead(Position(position)), dead, "{position}");
        }
    }

    #[test]
    fn a_ledger_has_this_text_and_is_read_back() {
        let ledger = Ledger {
            checkpoint: Position(7),
            settled: [9, 10, 11, 14].map(Position).into(),
            attempts: [(Position(8), 2)].into(),
            replayed: [3].map(Position).into(),
        };
        let text =
            r#"{"format":1,"checkpoint":7,"settled":[[9,11],[14,14]],"attempts":[[8,2]],"replayed":[3]}"#;
        assert_eq!(ledger.to_text(), text);
        assert_eq!(Ledger::from_text(text).unwrap(), ledger);
        assert!(matches!(Ledger::from_text(r#"{"format":2,"new":[]}"#), Err(LedgerError::Format(2))));
        for bad in ["", "{}", r#"{"format":1}"#] {
            assert!(Ledger::from_text(bad).is_err(), "{bad}");
        }
    }
}
