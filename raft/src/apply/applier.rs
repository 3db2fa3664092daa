//! The applier: one writer of a group's index and registry.

use bytes::Bytes;
use weir_storage::{
    codec::{
        CodecError,
        command::{Command, CommandWrite},
    },
    group_store::GroupStore,
    index::{AppliedMark, Index, IndexError},
    log::{Log, LogError, LogRecord, Place, RecordKind},
    state::{State, StateError},
};
use weir_types::{
    KvOutcome, LogIndex, Planted, Position, RegistryCommand, RegistryOutcome, StampedKv, WriteOutcome,
    limits, planted, registry::Registry,
};

use super::{
    Changes, CommandError, CommandOutcome, Payload, Terms, apply_command, digest::Digest, kv::KvWriter,
};

/// Why committed records could not be applied. The node must stop: it cannot
/// go on without them, and it cannot skip them.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A committed payload cannot be read by this binary.
    #[error("record {index} cannot be applied: {source}")]
    Payload {
        /// The record.
        index: LogIndex,
        /// Why.
        source: CodecError,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// An earlier call failed, so what is in memory is not to be trusted.
    #[error("apply stopped after an earlier failure")]
    Stopped,
}

/// A committed record on its way into apply.
pub trait Committed {
    /// The record.
    fn record(&self) -> &LogRecord;

    /// Where its payload lies in this log.
    ///
    /// # Errors
    /// The log's.
    fn payload_place(&self, log: &Log) -> Result<Place, LogError>;
}

impl Committed for LogRecord {
    fn record(&self) -> &LogRecord {
        self
    }

    fn payload_place(&self, log: &Log) -> Result<Place, LogError> {
        log.payload_place(self.id.index)
    }
}

/// As a replay reads it, which spares the search for its place.
impl Committed for (LogRecord, Place) {
    fn record(&self) -> &LogRecord {
        &self.0
    }

    fn payload_place(&self, _: &Log) -> Result<Place, LogError> {
        Ok(self.1)
    }
}

/// Applies committed records of one group, in order. There is one per group.
pub struct Applier {
    log: Log,
    index: Index,
    state: State,
    registry: Registry,
    registry_applied: LogIndex,
    kv: KvWriter,
    mark: Option<AppliedMark>,
    digest: Digest,
    window: u64,
    stopped: bool,
}

impl Applier {
    /// The applier of a group's stores, from where their marks are.
    ///
    /// # Errors
    /// [`ApplyError`] when the marks or the registry cannot be read.
    pub fn new(store: &GroupStore) -> Result<Self, ApplyError> {
        Self::with_window(store, limits::IDEMPOTENCY_WINDOW_EVENTS)
    }

    /// As [`Applier::new`], with another idempotency window. For tests: every
    /// replica of a group must have the same, always.
    ///
    /// # Errors
    /// [`ApplyError`].
    pub fn with_window(store: &GroupStore, mut window: u64) -> Result<Self, ApplyError> {
        if planted(Planted::ApplyUsesOwnValue) {
            window *= u64::from(std::process::id() % 2);
        }
        Ok(Self {
            log: store.log.clone(),
            index: store.index.clone(),
            state: store.state.clone(),
            registry: Registry::new(store.state.registry()?, &store.state.rules()?),
            registry_applied: store.state.registry_applied()?,
            kv: KvWriter::new(&store.state)?,
            mark: store.index.applied()?,
            digest: Digest::default(),
            window,
            stopped: false,
        })
    }

    /// What is applied.
    #[must_use]
    pub fn mark(&self) -> Option<&AppliedMark> {
        self.mark.as_ref()
    }

    /// Applies consecutive committed records and gives one outcome each. The
    /// first must follow the mark, or lie at or below it: what is at or below it
    /// is applied already, and only the state takes what it has lost.
    ///
    /// All of them are in the index afterwards, or none. The state may be
    /// ahead of the index when this fails, which a replay allows for.
    ///
    /// # Errors
    /// [`ApplyError`]; every later call fails too.
    ///
    /// # Panics
    /// Panics when the records leave a hole.
    pub fn apply<R: Committed>(&mut self, records: &[R]) -> Result<Vec<CommandOutcome>, ApplyError> {
        if std::mem::replace(&mut self.stopped, true) {
            return Err(ApplyError::Stopped);
        }
        let mut pass = Pass { changes: Changes::default(), mark: self.mark.clone() };
        let mut outcomes = Vec::with_capacity(records.len());
        for record in records {
            outcomes.push(self.apply_record(record, &mut pass)?);
        }
        self.commit(pass)?;
        self.stopped = false;
        Ok(outcomes)
    }

    fn apply_record(
        &mut self,
        committed: &impl Committed,
        pass: &mut Pass,
    ) -> Result<CommandOutcome, ApplyError> {
        let record = committed.record();
        let applied = pass.mark.as_ref().map_or(LogIndex::ZERO, |mark| mark.log_id.index);
        if record.id.index <= applied {
            return self.apply_again(record);
        }
        assert!(
            record.id.index == applied.next(),
            "record {} does not follow the applied {applied}",
            record.id.index
        );
        let mut mark = pass.next_mark(record);
        self.digest.begin(record);
        let outcome = match record.kind {
            RecordKind::Blank => CommandOutcome::Nothing,
            RecordKind::Membership => {
                self.digest.payload(&record.payload);
                mark.membership = record.payload.clone();
                mark.membership_at = Some(record.id);
                CommandOutcome::Nothing
            }
            RecordKind::Command => self.apply_payload(committed, &mut mark, &mut pass.changes)?,
        };
        mark.digest = self.digest.finish(mark.digest);
        pass.mark = Some(mark);
        Ok(outcome)
    }

    fn apply_payload(
        &mut self,
        committed: &impl Committed,
        mark: &mut AppliedMark,
        changes: &mut Changes,
    ) -> Result<CommandOutcome, ApplyError> {
        let record = committed.record();
        match decode(record)? {
            Command::Registry(command) => {
                let outcome = self.apply_registry(record.id.index, &command)?;
                self.digest.registry(&outcome);
                mark.registry = record.id.index;
                // By the outcome alone, which a replay finds again where the registry has moved on.
                if matches!(outcome, RegistryOutcome::RulesChanged(_)) {
                    mark.rules = record.id.index;
                }
                Ok(CommandOutcome::Registry(outcome))
            }
            Command::Writes(writes) => {
                let terms = Terms { window: self.window, rules: mark.rules };
                let payload = Payload { place: committed.payload_place(&self.log)?, bytes: &record.payload };
                let applied =
                    apply_command(&self.index, &writes, payload, terms, &mut mark.position, changes);
                let mut outcomes = applied.map_err(|error| match error {
                    CommandError::Index(error) => ApplyError::Index(error),
                    CommandError::Event(source) => ApplyError::Payload { index: record.id.index, source },
                })?;
                if let Some((answers, digest)) = self.apply_kv(record.id.index, &writes, false)? {
                    mark.kv = record.id.index;
                    self.digest.kv(digest);
                    let asked = outcomes.iter_mut().filter(|outcome| matches!(outcome, WriteOutcome::Kv(_)));
                    for (outcome, answer) in asked.zip(answers) {
                        *outcome = WriteOutcome::Kv(answer);
                    }
                }
                for (write, outcome) in writes.iter().zip(&outcomes) {
                    self.digest.write(write, outcome);
                }
                Ok(CommandOutcome::Writes(outcomes))
            }
        }
    }

    /// Applies an entry's key-value commands, if it has any.
    fn apply_kv(
        &mut self,
        index: LogIndex,
        writes: &[CommandWrite],
        indexed: bool,
    ) -> Result<Option<(Vec<KvOutcome>, u64)>, ApplyError> {
        let commands: Vec<&StampedKv> = writes
            .iter()
            .filter_map(|write| match write {
                CommandWrite::Kv(stamped) => Some(stamped),
                CommandWrite::Append(_) | CommandWrite::Transaction(_) => None,
            })
            .collect();
        if commands.is_empty() { Ok(None) } else { self.kv.apply(index, &commands, indexed).map(Some) }
    }

    /// A record that the index reflects already: the state may have lost it.
    fn apply_again(&mut self, record: &LogRecord) -> Result<CommandOutcome, ApplyError> {
        if record.kind != RecordKind::Command {
            return Ok(CommandOutcome::Nothing);
        }
        match decode(record)? {
            Command::Registry(_) if planted(Planted::RegistryNotReplayed) => Ok(CommandOutcome::Nothing),
            Command::Registry(command) => {
                Ok(CommandOutcome::Registry(self.apply_registry(record.id.index, &command)?))
            }
            Command::Writes(_) if planted(Planted::KvNotReplayed) => Ok(CommandOutcome::Nothing),
            Command::Writes(writes) => {
                self.apply_kv(record.id.index, &writes, true)?;
                Ok(CommandOutcome::Nothing)
            }
        }
    }

    fn apply_registry(
        &mut self,
        index: LogIndex,
        command: &RegistryCommand,
    ) -> Result<RegistryOutcome, ApplyError> {
        // The registry has moved on, so a replay answers what was answered then.
        if index <= self.registry_applied {
            return Ok(self.state.registry_outcome(index)?);
        }
        let (change, outcome) = self.registry.judge(index, command);
        self.state.commit_registry(index, &change, &outcome)?;
        self.registry.take(change);
        self.registry_applied = index;
        Ok(outcome)
    }

    fn commit(&mut self, pass: Pass) -> Result<(), ApplyError> {
        self.kv.commit(&self.index)?;
        let Pass { changes, mark: Some(mark) } = pass else { return Ok(()) };
        if self.mark.as_ref() == Some(&mark) {
            return Ok(());
        }
        let fallen = |position: Position| Position(position.0.saturating_sub(self.window));
        let before = self.mark.as_ref().map_or(Position::ZERO, |mark| mark.position);
        let mut batch = self.index.batch();
        changes.write(&self.index, fallen(before), fallen(mark.position), &mut batch)?;
        batch.set_mark(mark.clone());
        self.index.commit(batch)?;
        self.mark = Some(mark);
        Ok(())
    }
}

/// One call's work, before it is written.
struct Pass {
    changes: Changes,
    mark: Option<AppliedMark>,
}

impl Pass {
    /// The mark with the record's log id, and all else as it was.
    fn next_mark(&mut self, record: &LogRecord) -> AppliedMark {
        match self.mark.take() {
            Some(mark) => AppliedMark { log_id: record.id, ..mark },
            None => AppliedMark {
                log_id: record.id,
                position: Position::ZERO,
                membership: Bytes::new(),
                membership_at: None,
                registry: LogIndex::ZERO,
                kv: LogIndex::ZERO,
                rules: LogIndex::ZERO,
                digest: 0,
            },
        }
    }
}

fn decode(record: &LogRecord) -> Result<Command, ApplyError> {
    Command::decode(&record.payload).map_err(|source| ApplyError::Payload { index: record.id.index, source })
}
