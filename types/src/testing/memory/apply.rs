//! What apply does with an append, as deterministically as the real one.

use super::{Fate, Inner, Queued};
use crate::{
    AppendError, AppendOutcome, Condition, DecidedAppend, DecidedEvent, DecidedTransaction, DecidedWrite,
    ExpectedVersion, KvError, KvOutcome, Position, RecordedEvent, StreamGuard, StreamVersion,
    TransactionOutcome, Violation, WriteOutcome, ports::RememberedAppend,
};

impl Inner {
    pub(super) fn drain(&mut self) {
        while !self.queue.is_empty() {
            self.apply_next();
        }
    }

    pub(super) fn apply_next(&mut self) {
        match self.queue.pop_front() {
            None => {}
            Some(Queued::Write(write, done)) => {
                let outcome = self.apply_write(*write);
                // A caller that went away does not withdraw its append.
                done(Ok(outcome));
            }
            Some(Queued::Barrier(answer)) => {
                let _gone = answer.send(Ok(()));
            }
        }
    }

    pub(super) fn abandon_queue(&mut self, fate: Fate) {
        while let Some(queued) = self.queue.pop_front() {
            self.abandon(queued, fate);
        }
    }

    pub(super) fn lose(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(queued) = self.queue.pop_front() {
                self.abandon(queued, Fate::Lost);
            }
        }
    }

    fn abandon(&mut self, queued: Queued, fate: Fate) {
        let unknown = || AppendError::OutcomeUnknown { reason: "leadership was lost".into() };
        match queued {
            Queued::Write(write, done) => {
                if fate == Fate::Committed {
                    self.apply_write(*write);
                }
                done(Err(unknown()));
            }
            Queued::Barrier(answer) => {
                let _gone = answer.send(Err(unknown()));
            }
        }
    }

    fn apply_write(&mut self, write: DecidedWrite) -> WriteOutcome {
        match write {
            DecidedWrite::Append(append) => WriteOutcome::Append(self.apply(append)),
            DecidedWrite::Transaction(transaction) => WriteOutcome::Transaction(self.transact(transaction)),
            DecidedWrite::Kv(_) => {
                let reason = "buckets are not kept in memory".to_owned();
                WriteOutcome::Kv(KvOutcome::Refused(KvError::Invalid { reason }))
            }
        }
    }

    fn transact(&mut self, transaction: DecidedTransaction) -> TransactionOutcome {
        let scope = transaction.appends[0].entity_id.clone();
        if let Some(wanted) = &transaction.idempotency
            && let Some(known) = self.keys.get(&(scope.clone(), wanted.key.clone()))
        {
            return match known.outcome {
                AppendOutcome::Repeated { first_position, .. } if known.idempotency == *wanted => {
                    TransactionOutcome::Repeated { first_position }
                }
                _ => TransactionOutcome::IdempotencyConflict,
            };
        }
        let written = transaction.appends.iter().map(|append| {
            let base = ExpectedVersion::Exact(append.base);
            StreamGuard::of_written(&append.entity_id, &append.entity_type, base)
        });
        let guards: Vec<_> = written.chain(transaction.checks.iter().map(StreamGuard::from)).collect();
        let mut violations = self.violated(&guards, &transaction.conditions);
        let unjudged = transaction.appends.iter().filter(|append| !self.judged_here(append));
        violations
            .extend(unjudged.map(|append| Violation::JudgedOnOther { entity_id: append.entity_id.clone() }));
        if !violations.is_empty() {
            return TransactionOutcome::Violated(violations);
        }
        let first_position = self.applied().next();
        let mut idempotency = transaction.idempotency;
        for append in transaction.appends {
            self.write(DecidedAppend { idempotency: idempotency.take(), ..append });
        }
        TransactionOutcome::Committed { first_position }
    }

    pub(super) fn violated(&self, guards: &[StreamGuard], conditions: &[Condition]) -> Vec<Violation> {
        let of_stream = guards.iter().filter_map(|guard| self.stream_violation(guard));
        let of_log = (0..).zip(conditions).filter_map(|(number, condition)| {
            let found = self.events.iter().find(|event| condition.matches(event))?;
            Some(Violation::Condition { number, position: found.position })
        });
        of_stream.chain(of_log).collect()
    }

    fn stream_violation(&self, guard: &StreamGuard) -> Option<Violation> {
        let entity_id = guard.entity_id.clone();
        let positions = self.streams.get(&entity_id).map_or(&[][..], Vec::as_slice);
        let first = positions.first().map(|first| &self.events[first.0 as usize - 1]);
        if let (Some(wanted), Some(first)) = (&guard.entity_type, first)
            && first.entity_type != *wanted
        {
            return Some(Violation::Type { entity_id, actual: first.entity_type.clone() });
        }
        let actual = StreamVersion(positions.len() as u64);
        let met = guard.expected.met_by(actual);
        (!met).then_some(Violation::Version { entity_id, expected: guard.expected, actual })
    }

    pub(super) fn apply(&mut self, append: DecidedAppend) -> AppendOutcome {
        self.entries += 1;
        if let Some(known) = self.known_key(&append) {
            return known;
        }
        let stream = self.streams.get(&append.entity_id);
        let actual = StreamVersion(stream.map_or(0, |positions| positions.len() as u64));
        if let Some(first) = stream.and_then(|positions| positions.first()) {
            let entity_type = &self.events[first.0 as usize - 1].entity_type;
            if *entity_type != append.entity_type {
                return AppendOutcome::TypeConflict { actual: entity_type.clone() };
            }
        }
        if append.base != actual {
            return AppendOutcome::VersionConflict { actual };
        }
        if !self.judged_here(&append) {
            return AppendOutcome::JudgedOnOther;
        }
        self.write(append)
    }

    fn known_key(&self, append: &DecidedAppend) -> Option<AppendOutcome> {
        let wanted = append.idempotency.as_ref()?;
        let known = self.keys.get(&(append.entity_id.clone(), wanted.key.clone()))?;
        Some(match known.idempotency == *wanted {
            true => known.outcome.clone(),
            false => AppendOutcome::IdempotencyConflict,
        })
    }

    fn write(&mut self, append: DecidedAppend) -> AppendOutcome {
        let first_position = self.applied().next();
        let first_version = append.base.next();
        let last_version = append.base.plus(append.events.len() as u64);
        let stream = self.streams.entry(append.entity_id.clone()).or_default();
        if stream.is_empty() {
            self.created.push(append.entity_id.clone());
        }
        for (offset, event) in append.events.iter().enumerate() {
            let position = Position(self.events.len() as u64 + 1);
            stream.push(position);
            let version = first_version.plus(offset as u64);
            self.events.push(recorded(&append, event, version, position));
        }
        if let Some(idempotency) = append.idempotency {
            let outcome = AppendOutcome::Repeated { first_version, last_version, first_position };
            let key = (append.entity_id, idempotency.key.clone());
            self.keys.insert(key, RememberedAppend { idempotency, outcome });
        }
        let applied = self.applied();
        self.applied_watchers.retain(|watcher| watcher.unbounded_send(applied).is_ok());
        AppendOutcome::Appended { first_version, last_version, first_position }
    }
}

fn recorded(
    append: &DecidedAppend,
    event: &DecidedEvent,
    version: StreamVersion,
    position: Position,
) -> RecordedEvent {
    RecordedEvent {
        id: event.id,
        entity_id: append.entity_id.clone(),
        entity_type: append.entity_type.clone(),
        name: event.name.clone(),
        version,
        position,
        schema_version: event.schema_version,
        content_type: event.content_type.clone(),
        data: event.data.clone(),
        metadata: event.metadata.clone(),
        recorded_at: append.recorded_at,
        occurred_at: event.occurred_at,
        source: event.source,
        tags: event.tags.clone(),
    }
}
