//! Opening all three stores, and moving aside what cannot be trusted.
//!
//! The log is the truth and is never moved. The index and the state may be
//! missing, behind, broken or ahead of the log; behind is caught up by replay,
//! missing is begun again, broken and ahead are moved aside and begun again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tracing::warn;
use weir_types::{GroupId, LogIndex, Position};

use super::GroupStore;
use crate::{
    codec::command,
    folder::DataFolder,
    index::{AppliedMark, Index, IndexError},
    log::{Log, LogConfig, LogError, LogThread, RecordKind},
    state::{State, StateError},
};

/// Bytes that one step of a walk over the log reads.
pub(super) const WALK_BYTES: usize = 4 * 1024 * 1024;
/// Broken stores of one kind that are kept for inspection.
const BROKEN_MAX: u32 = 1_000;

/// Why a group's stores did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log does not open; it is the truth, so nothing stands in for it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Even an empty index does not open.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Even an empty state does not open.
    #[error(transparent)]
    State(#[from] StateError),
    /// A broken store could not be moved aside.
    #[error("could not move {} aside: {reason}", dir.display())]
    MoveAside {
        /// The store's folder.
        dir: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// A store that was begun again although the log holds records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// `index` or `state`.
    pub store: &'static str,
    /// Its folder.
    pub dir: PathBuf,
    /// Why it was not trusted, or that it was missing.
    pub reason: String,
    /// Where the broken one lies now; nothing when there was none.
    pub moved_to: Option<PathBuf>,
}

/// A group's stores, open.
pub struct Opened {
    /// The stores.
    pub store: GroupStore,
    /// What was missing or moved aside; empty in a healthy start. The log says the same.
    pub rebuilt: Vec<Rebuilt>,
}

impl GroupStore {
    /// Opens the log, the index and the state of a group. Call
    /// [`GroupStore::replay_committed`] next: after a crash, or when a store was
    /// moved aside, the log is ahead of them.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        folder: &DataFolder,
        group: GroupId,
        config: LogConfig,
        thread: &LogThread,
    ) -> Result<Opened, OpenError> {
        let log = Log::open(folder, group, config, thread)?;
        let mut rebuilt = Vec::new();
        let index = open_index(&folder.index_dir(), group, &log, &mut rebuilt)?;
        let state = open_state(&folder.state_dir(), group, &log, &index, &mut rebuilt)?;
        let store = Self { log, index, state, group, log_dir: folder.log_dir(group) };
        store.check_kv()?;
        Ok(Opened { store, rebuilt })
    }

    /// Drops the buckets where they are ahead of the index and the digests are
    /// gone that the index lacks: they are then rebuilt from the log. Only an
    /// index that was lost and begun again is so far behind.
    ///
    /// # Errors
    /// [`OpenError`].
    fn check_kv(&self) -> Result<(), OpenError> {
        let applied = self.index.applied()?.map_or(LogIndex::ZERO, |mark| mark.log_id.index);
        let mark = self.state.kv_mark()?;
        if mark.applied > applied && mark.pruned > applied {
            warn!(index = applied.0, state = mark.applied.0, "buckets are rebuilt from the log");
            self.state.clear_kv()?;
        }
        Ok(())
    }
}

fn open_index(dir: &Path, group: GroupId, log: &Log, rebuilt: &mut Vec<Rebuilt>) -> Result<Index, OpenError> {
    rebuilt.extend(missing("index", dir, log));
    let reason = match Index::open(dir, group) {
        Err(error) => error.to_string(),
        Ok(index) => match index.applied()?.map(|mark| fits_log(&mark, log)).transpose()?.flatten() {
            None => return Ok(index),
            // The index is dropped here, which closes its files.
            Some(reason) => reason,
        },
    };
    rebuilt.push(move_aside("index", dir, reason)?);
    Ok(Index::open(dir, group)?)
}

/// Why a mark cannot come from this log, if it cannot.
fn fits_log(mark: &AppliedMark, log: &Log) -> Result<Option<String>, LogError> {
    let applied = mark.log_id;
    let Some(last) = log.last().filter(|last| last.index >= applied.index) else {
        let last = log.last().map_or(0, |last| last.index.0);
        return Ok(Some(format!("it has applied log index {}, and the log ends at {last}", applied.index)));
    };
    let found = if last.index == applied.index {
        Some(last)
    } else {
        log.read(applied.index, applied.index.next(), 1)?.first().map(|record| record.id)
    };
    Ok((found != Some(applied))
        .then(|| format!("it has applied {applied:?}, and the log has {found:?} there")))
}

fn open_state(
    dir: &Path,
    group: GroupId,
    log: &Log,
    index: &Index,
    rebuilt: &mut Vec<Rebuilt>,
) -> Result<State, OpenError> {
    rebuilt.extend(missing("state", dir, log));
    let reason = match State::open(dir, group) {
        Err(error) => error.to_string(),
        Ok(state) => match ahead_of_log(&state, log, index)? {
            None => return Ok(state),
            Some(reason) => reason,
        },
    };
    rebuilt.push(move_aside("state", dir, reason)?);
    Ok(State::open(dir, group)?)
}

/// Why a state cannot come from this log, if it cannot.
fn ahead_of_log(state: &State, log: &Log, index: &Index) -> Result<Option<String>, OpenError> {
    let last = log.last().map_or(LogIndex::ZERO, |last| last.index);
    let registry = state.registry_applied()?;
    if registry > last {
        return Ok(Some(format!("its registry reflects log index {registry}, and the log ends at {last}")));
    }
    let kv = state.kv_mark()?.applied;
    if kv > last {
        return Ok(Some(format!("its buckets reflect log index {kv}, and the log ends at {last}")));
    }
    let checkpoint = state.highest_checkpoint()?;
    if !log_reaches(checkpoint, log, index)? {
        return Ok(Some(format!(
            "a projection has folded position {checkpoint}, and the log ends before it"
        )));
    }
    Ok(None)
}

/// Whether the log can hold `position`: what the index has applied, and at most
/// all events of the records after it. Only a crash lets a checkpoint be ahead
/// of the index, so the walk is short.
fn log_reaches(position: Position, log: &Log, index: &Index) -> Result<bool, OpenError> {
    let (mut reached, mut next) = match index.applied()? {
        Some(mark) => (mark.position, mark.log_id.index.next()),
        None => (Position::ZERO, LogIndex(1)),
    };
    let end = log.last().map_or(LogIndex::ZERO, |last| last.index).next();
    while reached < position && next < end {
        for record in log.read(next, end, WALK_BYTES)? {
            if record.kind == RecordKind::Command {
                reached = reached.plus(command::event_count(&record.payload));
            }
            next = record.id.index.next();
        }
    }
    Ok(reached >= position)
}

/// Tells of a store that is not there while the log holds records: every start
/// before the first record has made it, so somebody or something took it away.
fn missing(store: &'static str, dir: &Path, log: &Log) -> Option<Rebuilt> {
    log.last()?;
    let reason = match fs::read_dir(dir).map(|mut files| files.next().is_none()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => "its folder is not there",
        Ok(true) => "its folder is empty",
        // Opening the store says what is wrong, if anything is.
        Ok(false) | Err(_) => return None,
    };
    warn!(store, folder = %dir.display(), reason, "store is missing, it is rebuilt from the log");
    Some(Rebuilt { store, dir: dir.to_owned(), reason: reason.to_owned(), moved_to: None })
}

/// Renames a store's folder to `<name>.broken-<n>` beside it.
fn move_aside(store: &'static str, dir: &Path, reason: String) -> Result<Rebuilt, OpenError> {
    let refuse = |reason: String| OpenError::MoveAside { dir: dir.to_owned(), reason };
    let moved_to = (1..=BROKEN_MAX)
        .map(|number| dir.with_extension(format!("broken-{number}")))
        .find(|candidate| !candidate.exists())
        .ok_or_else(|| refuse(format!("{BROKEN_MAX} broken ones lie there already")))?;
    match fs::rename(dir, &moved_to) {
        Ok(()) => {}
        // It did not even exist: there is nothing to keep.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(refuse(error.to_string())),
    }
    let (folder, aside) = (dir.display(), moved_to.display());
    warn!(store, %folder, reason, moved_to = %aside, "store moved aside, it is rebuilt from the log");
    Ok(Rebuilt { store, dir: dir.to_owned(), reason, moved_to: Some(moved_to) })
}
