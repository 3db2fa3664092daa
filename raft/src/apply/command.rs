//! From a decoded batch of appends to changes and outcomes.

use weir_storage::{
    codec::command::{AppendMeta, CommandAppend},
    index::{Expiring, Frame, Index, IndexError, IndexHead, Remembered},
    log::Place,
    schema::StreamNo,
};
use weir_types::{
    AppendOutcome, EntityId, Idempotency, IdempotencyKey, Planted, Position, StreamHead, StreamVersion,
    planted,
};

use super::{Changes, Standing, judge_append};

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
}

impl ApplyContext for Index {
    fn head(&self, entity: &EntityId) -> Result<Option<IndexHead>, IndexError> {
        Self::head(self, entity)
    }

    fn remembered(&self, entity: &EntityId, key: &IdempotencyKey) -> Result<Option<Remembered>, IndexError> {
        Self::remembered(self, entity, key)
    }
}

/// Applies one entry's appends in order: later ones see what earlier ones did.
/// `last` is the last position assigned so far and is moved on; `payload` is
/// where the entry's payload lies; `window` is how long idempotency keys count.
///
/// # Errors
/// The look-ups'. The changes are then half made and must be dropped.
pub fn apply_command(
    context: &impl ApplyContext,
    appends: &[CommandAppend],
    payload: Place,
    window: u64,
    last: &mut Position,
    changes: &mut Changes,
) -> Result<Vec<AppendOutcome>, IndexError> {
    let begins = last.next();
    let mut outcomes = Vec::with_capacity(appends.len());
    let mut placed = Vec::with_capacity(appends.len());
    for append in appends {
        let meta = &append.meta;
        let head = look_up_head(context, changes, &meta.entity_id)?;
        let remembered = look_up_key(context, changes, meta)?;
        let standing = Standing {
            head: head.as_ref().map(|found| &found.head),
            remembered: remembered.as_ref(),
            next: last.next(),
            window,
        };
        let mut events = append.frames.len();
        if planted(Planted::AppendAppliedInPart) {
            events = events.div_ceil(2);
        }
        let outcome = judge_append(standing, meta, events as u64);
        if let AppendOutcome::Appended { first_version, last_version, first_position } = outcome {
            let frames: Vec<Frame> = append.frames[..events]
                .iter()
                .map(|frame| Frame { offset: frame.offset, len: frame.len })
                .collect();
            let accepted = Accepted { first_version, last_version, first_position };
            let stream = accepted.put(head, meta, begins, changes);
            changes.put_stream_runs(stream, first_version, first_position, payload, &frames);
            placed.extend(frames);
            *last = accepted.last_position();
        }
        outcomes.push(outcome);
    }
    changes.put_log_runs(begins, payload, &placed);
    Ok(outcomes)
}

fn look_up_head(
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
    fn last_position(&self) -> Position {
        self.first_position.plus(self.last_version.0 - self.first_version.0)
    }

    /// Puts its head and its idempotency key, and gives its stream's number.
    fn put(
        &self,
        before: Option<IndexHead>,
        meta: &AppendMeta,
        entry_begins: Position,
        changes: &mut Changes,
    ) -> StreamNo {
        let created = before.is_none();
        let mut head = before.unwrap_or_else(|| self.new_head(meta));
        head.head.version = self.last_version;
        head.head.last_position = self.last_position();
        // The decider promises that it never falls; a stream's time must not even if that breaks.
        head.head.updated_at = head.head.updated_at.max(meta.recorded_at);
        if created {
            changes.put_created(&head);
        }
        let stream = head.stream_no;
        changes.put_head(head);
        if let Some(Idempotency { key, digest }) = &meta.idempotency
            && !planted(Planted::KeyForgotten)
        {
            let remembered = Remembered {
                digest: *digest,
                first_version: self.first_version,
                last_version: self.last_version,
                first_position: self.first_position,
            };
            let entity_id = meta.entity_id.clone();
            changes.put_remembered(entity_id.clone(), key.clone(), remembered);
            let expiring = Expiring { position: self.first_position, entity_id, key: key.clone() };
            changes.put_expiring(entry_begins, expiring);
        }
        stream
    }

    fn new_head(&self, meta: &AppendMeta) -> IndexHead {
        IndexHead {
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
