//! The index: where every event lies, and what every stream is at.
//!
//! A materialization of the log in fjall, behind a buffer of what is newest. It
//! is not written per append: after a crash it may be behind the log, never ahead
//! of it, and is caught up by replay. Everything is in one keyspace, hence one
//! tree: were it several, a power loss could keep half of a batch.

mod batch;
mod buffer;
mod error;
mod facet;
mod mark;
mod merge;
mod open;
mod place;
mod read;
mod remembered;
mod scan;
mod spill;

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

pub use batch::IndexBatch;
pub use error::IndexError;
pub use mark::AppliedMark;
pub(crate) use open::panic_text;
pub use place::{Frame, IndexHead, Located, RUN_EVENTS_MAX, Run};
pub use remembered::{Expiring, Remembered};
use weir_types::{GroupId, LogIndex, Position};

use self::{buffer::Buffer, spill::Spiller};
use crate::{
    codec::{StoredMark, decode},
    schema::IndexKey,
};

/// What an index keeps. One of another number is set aside and made anew from the log. 2 added facets,
/// 3 the last event of a stream.
const CONTENTS_VERSION: u64 = 3;

/// The index of one group. Clones share it.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    group: GroupId,
    buffer: Arc<Buffer>,
    // Fields drop in order: the spiller writes to the keyspace, which belongs to the database.
    _spiller: Spiller,
    keys: fjall::Keyspace,
    _db: fjall::Database,
    mark: RwLock<Option<AppliedMark>>,
}

impl Index {
    /// What is applied; `None` when nothing is. From memory.
    ///
    /// # Errors
    /// None today; the mark is read and checked when the index is opened.
    pub fn applied(&self) -> Result<Option<AppliedMark>, IndexError> {
        Ok(self.inner.mark.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The last position that is applied; 0 when there is none. From memory.
    #[must_use]
    pub fn applied_position(&self) -> Position {
        let mark = self.inner.mark.read().unwrap_or_else(PoisonError::into_inner);
        mark.as_ref().map_or(Position::ZERO, |mark| mark.position)
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.inner.group
    }

    /// Begins a batch.
    #[must_use]
    pub fn batch(&self) -> IndexBatch {
        IndexBatch::new(self)
    }

    /// Takes a batch whole or not at all; it is on disk later, or after [`Index::persist`].
    ///
    /// # Errors
    /// [`IndexError`]; what is applied is then unknown until the index is opened again.
    ///
    /// # Panics
    /// Panics when the batch would take the mark back: that is never legal (invariant R1).
    pub fn commit(&self, batch: IndexBatch) -> Result<(), IndexError> {
        let (writes, mark) = batch.finish();
        if let (Some(new), Some(old)) = (&mark, self.applied()?) {
            assert!(new.log_id.index > old.log_id.index, "the applied mark must rise");
            assert!(new.position >= old.position, "positions must not fall");
        }
        self.inner.buffer.put(writes).map_err(|reason| self.unspilled(reason))?;
        if mark.is_some() {
            *self.inner.mark.write().unwrap_or_else(PoisonError::into_inner) = mark;
        }
        Ok(())
    }

    /// Makes all that was committed durable. For a clean shutdown: without it a
    /// start replays a little more of the log, and nothing else.
    ///
    /// # Errors
    /// [`IndexError`] when the disk refuses.
    pub fn persist(&self) -> Result<(), IndexError> {
        self.inner.buffer.drain().map_err(|reason| self.unspilled(reason))
    }

    fn load_mark(&self) -> Result<Option<AppliedMark>, IndexError> {
        let Some(bytes) = self.get(IndexKey::Mark)? else { return Ok(None) };
        let stored: StoredMark<'_> = decode("applied mark", &bytes).map_err(|e| self.damaged("mark", e))?;
        let (kv, rules) = (self.load_index(IndexKey::KvApplied)?, self.load_index(IndexKey::RulesApplied)?);
        Ok(Some(AppliedMark { kv, rules, ..stored.into() }))
    }

    /// A log index that is kept beside the mark; 0 when there is none.
    fn load_index(&self, key: IndexKey<'_>) -> Result<LogIndex, IndexError> {
        let Some(bytes) = self.get(key)? else { return Ok(LogIndex::ZERO) };
        decode("mark", &bytes).map(LogIndex).map_err(|e| self.damaged("mark", e))
    }

    /// The last log index that is applied and on disk; 0 when there is none. It
    /// is behind [`Index::applied`] by what a crash would lose.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn persisted(&self) -> Result<LogIndex, IndexError> {
        let key = IndexKey::Mark.encode(self.inner.group);
        let found = self.inner.keys.get(key).map_err(|error| self.failed("mark", error))?;
        let Some(bytes) = found else { return Ok(LogIndex::ZERO) };
        let stored: StoredMark<'_> = decode("applied mark", &bytes).map_err(|e| self.damaged("mark", e))?;
        Ok(AppliedMark::from(stored).log_id.index)
    }
}
