//! From a decoded batch of appends to changes and outcomes.

use bytes::Bytes;
use weir_storage::{
    codec::{
        CodecError,
        command::{AppendMeta, CommandAppend, CommandTransaction, CommandWrite},
        event,
    },
    index::{Expiring, Frame, Index, IndexError, IndexHead, Remembered},
    log::Place,
    schema::StreamNo,
};
use weir_types::{
    AppendOutcome, Direction, EntityId, EventId, Facet, FacetKind, Idempotency, IdempotencyKey, KvOutcome,
    LogIndex, Planted, Position, StreamHead, StreamVersion, TransactionOutcome, WriteOutcome, planted,
};

use super::{Changes, Standing, condition::Seen, judge_append, transaction::judge_transaction};

/// What apply may know beside the record: what was applied before.
pub trait ApplyContext {
    /// A stream's head, or `None` when it has no events.
    ///
    /// # Errors
    /// The store's.
    fn head(&self, entity: &EntityId) -> Result<Option<IndexHead>, IndexError>;

    /// What an idempotency key led to, in or out of the window.
    ///
    /// # Errors
    /// The store's.
    fn remembered(&self, entity: &EntityId, key: &IdempotencyKey) -> Result<Option<Remembered>, IndexError>;

    /// Positions of events with a facet, from `from` on, rising, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    fn facet_positions(
        &self,
        facet: Facet<'_>,
        from: Position,
        limit: usize,
    ) -> Result<Vec<Position>, IndexError>;

    /// Whether the event at `position` has a facet.
    ///
    /// # Errors
    /// The store's.
    fn has_facet(&self, facet: Facet<'_>, position: Position) -> Result<bool, IndexError>;
}

impl ApplyContext for Index {
    fn head(&self, entity: &EntityId) -> Result<Option<IndexHead>, IndexError> {
        Self::head(self, entity)
    }

    fn remembered(&self, entity: &EntityId, key: &IdempotencyKey) -> Result<Option<Remembered>, IndexError> {
        Self::remembered(self, entity, key)
    }

    fn facet_positions(
        &self,
        facet: Facet<'_>,
        from: Position,
        limit: usize,
    ) -> Result<Vec<Position>, IndexError> {
        Self::facet_positions(self, facet, from, Direction::Forward, limit)
    }

    fn has_facet(&self, facet: Facet<'_>, position: Position) -> Result<bool, IndexError> {
        Self::has_facet(self, facet, position)
    }
}

/// Where the entry's events are, and what they say.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Where it lies.
    pub place: Place,
    /// Its bytes.
    pub bytes: &'a Bytes,
}

/// What all appends of an entry are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long idempotency keys count, in positions.
    pub window: u64,
    /// The log index of the last change of rules.
    pub rules: LogIndex,
}

/// Why an entry could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A look-up failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An event's body is not one.
    #[error(transparent)]
    Event(#[from] CodecError),
}

/// Applies one entry's writes in order: later ones see what earlier ones did.
/// `last` is the last position assigned so far and is moved on. Key-value commands are left to the applier.
///
/// # Errors
/// [`CommandError`]. The changes are then half made and must be dropped.
pub fn apply_command(
    context: &impl ApplyContext,
    writes: &[CommandWrite],
    payload: Payload<'_>,
    terms: Terms,
    last: &mut Position,
    changes: &mut Changes,
) -> Result<Vec<WriteOutcome>, CommandError> {
    changes.begin_entry();
    let mut entry = Entry { context, payload, terms, begins: last.next(), last: *last, placed: Vec::new() };
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        outcomes.push(match write {
            CommandWrite::Append(append) => WriteOutcome::Append(entry.append(append, changes)?),
            CommandWrite::Transaction(transaction) => {
                WriteOutcome::Transaction(entry.transaction(transaction, changes)?)
            }
            // They touch nothing that the others see; the applier judges them.
            CommandWrite::Kv(_) => WriteOutcome::Kv(KvOutcome::AppliedBefore),
        });
    }
    *last = entry.last;
    changes.put_log_runs(entry.begins, payload.place, &entry.placed);
    Ok(outcomes)
}

/// One entry, as far as it is applied.
struct Entry<'a, C> {
    context: &'a C,
    payload: Payload<'a>,
    terms: Terms,
    begins: Position,
    last: Position,
    placed: Vec<Frame>,
}

impl<C: ApplyContext> Entry<'_, C> {
    fn append(
        &mut self,
        append: &CommandAppend,
        changes: &mut Changes,
    ) -> Result<AppendOutcome, CommandError> {
        let meta = &append.meta;
        let head = look_up_head(self.context, changes, &meta.entity_id)?;
        let remembered = look_up_key(self.context, changes, meta)?;
        let standing = Standing {
            head: head.as_ref(),
            remembered: remembered.as_ref(),
            next: self.last.next(),
            window: self.terms.window,
            rules: self.terms.rules,
        };
        let mut events = append.frames.len();
        if planted(Planted::AppendAppliedInPart) {
            events = events.div_ceil(2);
        }
        let outcome = judge_append(standing, meta, events as u64);
        if let AppendOutcome::Appended { first_version, last_version, first_position } = outcome {
            let accepted = Accepted { first_version, last_version, first_position };
            self.accept(&accepted, head, append, changes)?;
            if let Some(idempotency) = &meta.idempotency {
                accepted.remember(&meta.entity_id, idempotency, self.begins, changes);
            }
        }
        Ok(outcome)
    }

    fn transaction(
        &mut self,
        transaction: &CommandTransaction,
        changes: &mut Changes,
    ) -> Result<TransactionOutcome, CommandError> {
        let seen = Seen { context: self.context, changes, last: self.last };
        let outcome = judge_transaction(&seen, transaction, self.terms)?;
        if !matches!(outcome, TransactionOutcome::Committed { .. }) {
            return Ok(outcome);
        }
        let applied = match planted(Planted::TransactionAppliedInPart) {
            true => &transaction.appends[..transaction.appends.len().div_ceil(2)],
            false => &transaction.appends[..],
        };
        for (number, append) in (0..).zip(applied) {
            let head = look_up_head(self.context, changes, &append.meta.entity_id)?;
            let accepted = Accepted::after(append.meta.base, append.frames.len(), self.last);
            self.accept(&accepted, head, append, changes)?;
            if let (0, Some(idempotency)) = (number, &transaction.meta.idempotency) {
                accepted.remember(&append.meta.entity_id, idempotency, self.begins, changes);
            }
        }
        Ok(outcome)
    }

    /// Takes an append that the judge let in.
    fn accept(
        &mut self,
        accepted: &Accepted,
        head: Option<IndexHead>,
        append: &CommandAppend,
        changes: &mut Changes,
    ) -> Result<(), CommandError> {
        let there = usize::try_from(accepted.events()).expect("an append's events are few");
        let frames = &append.frames[..there];
        changes.put_facets((&append.meta.entity_type).into(), accepted.first_position, accepted.events());
        for (number, frame) in (0..).zip(frames) {
            let position = accepted.first_position.plus(number);
            let body = frame.body(self.payload.bytes);
            let (name, tags) = event::facets(&body)?;
            changes.put_facets(Facet { kind: FacetKind::Name, text: name }, position, 1);
            for text in tags {
                changes.put_facets(Facet { kind: FacetKind::Tag, text }, position, 1);
            }
        }
        let placed = frames.iter().map(|frame| Frame { offset: frame.offset, len: frame.len });
        let placed: Vec<Frame> = placed.collect();
        let newest = frames.last().expect("an append holds at least one event");
        let last_event = event::id_of(&newest.body(self.payload.bytes))?;
        let stream = accepted.put(head, &append.meta, last_event, changes);
        changes.put_stream_runs(
            stream,
            accepted.first_version,
            accepted.first_position,
            self.payload.place,
            &placed,
        );
        self.placed.extend(placed);
        self.last = accepted.last_position();
        Ok(())
    }
}

pub(super) fn look_up_head(
    context: &impl ApplyContext,
    changes: &Changes,
    entity: &EntityId,
) -> Result<Option<IndexHead>, IndexError> {
    match changes.head(entity) {
        Some(head) => Ok(Some(head.clone())),
        None => context.head(entity),
    }
}

fn look_up_key(
    context: &impl ApplyContext,
    changes: &Changes,
    meta: &AppendMeta,
) -> Result<Option<Remembered>, IndexError> {
    let Some(Idempotency { key, .. }) = &meta.idempotency else { return Ok(None) };
    match changes.remembered(&meta.entity_id, key) {
        Some(remembered) => Ok(Some(remembered.clone())),
        None => context.remembered(&meta.entity_id, key),
    }
}

/// An append that the judge let in.
struct Accepted {
    first_version: StreamVersion,
    last_version: StreamVersion,
    first_position: Position,
}

impl Accepted {
    fn after(base: StreamVersion, events: usize, last: Position) -> Self {
        let last_version = base.plus(events as u64);
        Self { first_version: base.next(), last_version, first_position: last.next() }
    }

    fn events(&self) -> u64 {
        self.last_version.0 - self.first_version.0 + 1
    }

    fn last_position(&self) -> Position {
        self.first_position.plus(self.last_version.0 - self.first_version.0)
    }

    /// Puts its head, and gives its stream's number.
    fn put(
        &self,
        before: Option<IndexHead>,
        meta: &AppendMeta,
        last_event: EventId,
        changes: &mut Changes,
    ) -> StreamNo {
        let created = before.is_none();
        let mut head = before.unwrap_or_else(|| self.new_head(meta, last_event));
        head.last_event = last_event;
        head.head.version = self.last_version;
        head.head.last_position = self.last_position();
        // The decider promises that it never falls; a stream's time must not even if that breaks.
        head.head.updated_at = head.head.updated_at.max(meta.recorded_at);
        if created {
            changes.put_created(&head);
        }
        let stream = head.stream_no;
        changes.put_head(head);
        stream
    }

    /// Puts what an idempotency key led to, in the scope of a stream.
    fn remember(
        &self,
        scope: &EntityId,
        idempotency: &Idempotency,
        entry_begins: Position,
        changes: &mut Changes,
    ) {
        if planted(Planted::KeyForgotten) {
            return;
        }
        let Idempotency { key, digest } = idempotency;
        let remembered = Remembered {
            digest: *digest,
            first_version: self.first_version,
            last_version: self.last_version,
            first_position: self.first_position,
        };
        changes.put_remembered(scope.clone(), key.clone(), remembered);
        let expiring = Expiring { position: self.first_position, entity_id: scope.clone(), key: key.clone() };
        changes.put_expiring(entry_begins, expiring);
    }

    fn new_head(&self, meta: &AppendMeta, last_event: EventId) -> IndexHead {
        IndexHead {
            last_event,
            stream_no: StreamNo(self.first_position.0),
            head: StreamHead {
                entity_id: meta.entity_id.clone(),
                entity_type: meta.entity_type.clone(),
                version: self.last_version,
                first_position: self.first_position,
                last_position: self.last_position(),
                created_at: meta.recorded_at,
                updated_at: meta.recorded_at,
            },
        }
    }
}
