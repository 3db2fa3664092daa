//! The running digest by which replicas compare what they applied (invariant R1).

use weir_storage::{
    codec::command::{CommandAppend, CommandTransaction, CommandWrite},
    log::LogRecord,
};
use weir_types::{
    AppendOutcome, RegistryError, RegistryOutcome, RulesError, TransactionOutcome, Violation, WriteOutcome,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Collects the facts of one record: its log id, what came of it, and the
/// checksums of the events that it added.
#[derive(Default)]
pub(super) struct Digest {
    facts: Vec<u8>,
}

impl Digest {
    pub(super) fn begin(&mut self, record: &LogRecord) {
        self.facts.clear();
        let id = record.id;
        self.numbers(&[id.term.0, id.leader.0, id.index.0, record.kind as u64]);
    }

    pub(super) fn write(&mut self, write: &CommandWrite, outcome: &WriteOutcome) {
        match (write, outcome) {
            (CommandWrite::Append(append), WriteOutcome::Append(outcome)) => self.append(append, outcome),
            (CommandWrite::Transaction(transaction), WriteOutcome::Transaction(outcome)) => {
                self.transaction(transaction, outcome);
            }
            // All of an entry's at once: see `kv`.
            (CommandWrite::Kv(_), WriteOutcome::Kv(_)) => {}
            _ => unreachable!("apply answers a write with an outcome of its kind"),
        }
    }

    /// What the entry's key-value commands led to.
    pub(super) fn kv(&mut self, digest: u64) {
        self.numbers(&[20, digest]);
    }

    fn transaction(&mut self, transaction: &CommandTransaction, outcome: &TransactionOutcome) {
        match outcome {
            TransactionOutcome::Committed { first_position } => {
                self.numbers(&[12, first_position.0]);
                for frame in transaction.appends.iter().flat_map(|append| &append.frames) {
                    self.facts.extend_from_slice(&frame.crc.to_le_bytes());
                }
            }
            TransactionOutcome::Repeated { first_position } => self.numbers(&[13, first_position.0]),
            TransactionOutcome::IdempotencyConflict => self.numbers(&[14]),
            TransactionOutcome::Violated(violations) => {
                self.numbers(&[15, violations.len() as u64]);
                violations.iter().for_each(|violation| self.violation(violation));
            }
        }
    }

    fn violation(&mut self, violation: &Violation) {
        match violation {
            Violation::Version { entity_id, actual, .. } => {
                self.text(16, entity_id.as_str());
                self.numbers(&[actual.0]);
            }
            Violation::Type { entity_id, actual } => {
                self.text(17, entity_id.as_str());
                self.text(17, actual.as_str());
            }
            Violation::Condition { number, position } => {
                self.numbers(&[18, u64::from(*number), position.0]);
            }
            Violation::ConditionTooWide { number } => self.numbers(&[19, u64::from(*number)]),
            Violation::JudgedOnOther { entity_id } => self.text(21, entity_id.as_str()),
        }
    }

    fn append(&mut self, append: &CommandAppend, outcome: &AppendOutcome) {
        match outcome {
            AppendOutcome::Appended { first_version, last_version, first_position } => {
                self.numbers(&[1, first_version.0, last_version.0, first_position.0]);
                for frame in &append.frames {
                    self.facts.extend_from_slice(&frame.crc.to_le_bytes());
                }
            }
            AppendOutcome::Repeated { first_version, last_version, first_position } => {
                self.numbers(&[2, first_version.0, last_version.0, first_position.0]);
            }
            AppendOutcome::VersionConflict { actual } => self.numbers(&[3, actual.0]),
            AppendOutcome::TypeConflict { actual } => self.text(4, actual.as_str()),
            AppendOutcome::IdempotencyConflict => self.numbers(&[5]),
            AppendOutcome::JudgedOnOther => self.numbers(&[22]),
        }
    }

    pub(super) fn registry(&mut self, outcome: &RegistryOutcome) {
        match outcome {
            RegistryOutcome::Deployed(id) => {
                self.text(6, id.name.as_str());
                self.numbers(&[id.deployed.0]);
            }
            RegistryOutcome::Removed => self.numbers(&[7]),
            RegistryOutcome::Changed => self.numbers(&[40]),
            // Not the reason's text: words may change between versions.
            RegistryOutcome::Refused(RegistryError::Invalid { .. }) => self.numbers(&[8]),
            RegistryOutcome::Refused(RegistryError::NotFound) => self.numbers(&[9]),
            RegistryOutcome::Refused(RegistryError::NotRebuilding) => self.numbers(&[41]),
            RegistryOutcome::Refused(RegistryError::TooMany { max }) => self.numbers(&[10, *max as u64]),
            RegistryOutcome::RulesChanged(changed) => {
                self.numbers(&[23, changed.revision.0, u64::from(changed.existed)]);
            }
            RegistryOutcome::RulesRefused(error) => self.numbers(&[
                24,
                match error {
                    RulesError::Invalid { .. } => 0,
                    RulesError::SchemaInvalid { .. } => 1,
                    RulesError::NotFound => 2,
                    RulesError::SchemaNotFound => 3,
                    RulesError::TooMany { .. } => 4,
                    RulesError::UpcasterInvalid { .. } => 5,
                    RulesError::UpcasterNotFound => 6,
                },
            ]),
        }
    }

    pub(super) fn payload(&mut self, payload: &[u8]) {
        self.numbers(&[11, payload.len() as u64]);
        self.facts.extend_from_slice(payload);
    }

    /// The digest after the record, from the one before it.
    pub(super) fn finish(&self, before: u64) -> u64 {
        xxh3_64_with_seed(&self.facts, before)
    }

    fn numbers(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.facts.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn text(&mut self, tag: u64, text: &str) {
        self.numbers(&[tag, text.len() as u64]);
        self.facts.extend_from_slice(text.as_bytes());
    }
}
