//! The state: the registry of projections, their views and checkpoints, and key-value buckets.
//!
//! A materialization of the log in sled, in one tree per group, so that a view
//! and its checkpoint are one atomic batch. Views are flushed every few
//! seconds and replayed from their checkpoints after a crash. The registry is
//! flushed at once: the index relies on it.

mod engine;
mod error;
mod kv;
mod registry;
mod rules;
mod views;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, RwLock},
};

pub use error::StateError;
pub use kv::{Bucket, BucketNo, KvBatch, KvDue, KvFeed, KvFeedItem, KvFeedPage, KvHead, KvMark, KvVersion};
pub use registry::RegistryChange;
#[cfg(test)]
pub(crate) use registry::{decode_deployment, encode_deployment};
use weir_types::{GroupId, LogIndex};

use crate::{
    codec::{decode, encode},
    condemned,
    index::panic_text,
    schema::StateKey,
};

/// The state of one group. Clones share it.
#[derive(Clone)]
pub struct State {
    dir: PathBuf,
    group: GroupId,
    failure: Arc<OnceLock<String>>,
    /// Held by apply while it writes buckets, and by who reads several keys of them.
    kv_gate: Arc<RwLock<()>>,
    kv_feed: KvFeed,
    tree: sled::Tree,
    // After the tree, which belongs to it.
    db: sled::Db,
}

impl State {
    /// Opens the state in `dir`, creating it if there is none.
    ///
    /// # Errors
    /// [`StateError::Open`] when the engine refuses or panics, and
    /// [`StateError::Damaged`] when what it holds cannot be trusted. The caller
    /// moves the folder aside and opens an empty one.
    pub fn open(dir: &Path, group: GroupId) -> Result<Self, StateError> {
        if condemned::is_condemned(dir) {
            let reason = "damage was found when it was last used".to_owned();
            return Err(StateError::Damaged { dir: dir.to_owned(), what: "state", reason });
        }
        let is_new = !dir.read_dir().is_ok_and(|mut files| files.next().is_some());
        // The engine is known to panic on damaged files; whatever is half open is dropped here.
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let state = Self::open_engine(dir, group)?;
            state.check_self(is_new)?;
            state.registry()?;
            state.rules()?;
            state.checkpoints()?;
            state.kv_mark()?;
            state.kv_buckets()?;
            state.kv_gone()?;
            Ok(state)
        }));
        checked.unwrap_or_else(|panic| {
            Err(StateError::Open { dir: dir.to_owned(), reason: panic_text(panic.as_ref()) })
        })
    }

    fn open_engine(dir: &Path, group: GroupId) -> Result<Self, StateError> {
        let refused =
            |error: sled::Error| StateError::Open { dir: dir.to_owned(), reason: error.to_string() };
        let db = engine::open(dir).map_err(refused)?;
        let tree = db.open_tree(format!("group-{group}")).map_err(refused)?;
        Ok(Self {
            dir: dir.to_owned(),
            group,
            failure: Arc::default(),
            kv_gate: Arc::default(),
            kv_feed: KvFeed::default(),
            tree,
            db,
        })
    }

    /// A new state gets its self-check record; any other must have it. (The
    /// engine makes what is missing anew, and would pass for empty.)
    fn check_self(&self, is_new: bool) -> Result<(), StateError> {
        let Some(bytes) = self.get(StateKey::SelfCheck)? else {
            if !is_new {
                return Err(self.damaged("self-check", "its record is missing"));
            }
            self.tree
                .insert(StateKey::SelfCheck.encode(self.group), encode(&self.group.0))
                .map_err(|error| self.failed("self-check", error))?;
            return self.flush();
        };
        let group: u64 = decode("self-check", &bytes).map_err(|e| self.damaged("self-check", e))?;
        if group != self.group.0 {
            return Err(self.damaged("self-check", format!("it is of group {group}")));
        }
        Ok(())
    }

    /// Makes all that was committed durable.
    ///
    /// # Errors
    /// [`StateError`] when the disk refuses.
    pub fn flush(&self) -> Result<(), StateError> {
        self.db.flush().map(|_| ()).map_err(|error| self.failed("flush", error))
    }

    /// The first read or write that the disk refused, if it refused one. The
    /// engine keeps that error and gives it to every write from then on, also
    /// when the disk is well again: only the next open writes anything.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// The last log index whose registry command is in the state; 0 when there is none.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn registry_applied(&self) -> Result<LogIndex, StateError> {
        let Some(bytes) = self.get(StateKey::RegistryApplied)? else { return Ok(LogIndex::ZERO) };
        decode("registry mark", &bytes).map(LogIndex).map_err(|e| self.damaged("registry mark", e))
    }

    fn get(&self, key: StateKey<'_>) -> Result<Option<sled::IVec>, StateError> {
        self.tree.get(key.encode(self.group)).map_err(|error| self.failed("key", error))
    }
}
