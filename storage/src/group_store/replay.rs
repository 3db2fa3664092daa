//! Catching the index and the state up with the log, before raft starts.

use weir_types::{LogIndex, Planted, planted};

use super::{GroupStore, open::WALK_BYTES};
use crate::{
    index::IndexError,
    log::{LogError, LogRecord, Place},
    state::StateError,
};

impl GroupStore {
    /// The first log index that has to be applied again: the record after the
    /// index's mark, or earlier if the state has lost registry or key-value
    /// commands that the index reflects.
    ///
    /// # Errors
    /// [`IndexError`] or [`StateError`], as the caller's error.
    pub fn replay_from<E: From<IndexError> + From<StateError>>(&self) -> Result<LogIndex, E> {
        let Some(mark) = self.index.applied()? else { return Ok(LogIndex(1)) };
        let mut next = mark.log_id.index.next();
        let registry = self.state.registry_applied()?;
        if registry < mark.registry {
            next = next.min(registry.next());
        }
        let kv = self.state.kv_mark()?.applied;
        if kv < mark.kv {
            next = next.min(kv.next());
        }
        Ok(next)
    }

    /// Applies what is known to be committed, by the log or by what the index
    /// reflects, and the index or the state lack, in large batches, oldest first. `apply` gets consecutive records;
    /// those at or below the index's mark only matter for the state. What
    /// was committed after the mark was last saved comes through raft.
    ///
    /// `progress` is told the last index applied and the one to reach.
    /// Returns the number of records.
    ///
    /// # Errors
    /// What `apply` refuses, and the stores' own errors.
    pub fn replay_committed<E>(
        &self,
        mut apply: impl FnMut(&[(LogRecord, Place)]) -> Result<(), E>,
        mut progress: impl FnMut(LogIndex, LogIndex),
    ) -> Result<u64, E>
    where
        E: From<LogError> + From<IndexError> + From<StateError>,
    {
        let committed = self.log.committed().map_or(LogIndex::ZERO, |id| id.index);
        let last = self.log.last().map_or(LogIndex::ZERO, |id| id.index);
        // The log's mark is saved now and then, and the index may have been spilled since: what it reflects was
        // committed, and the state may lack it.
        let reflected = self.index.applied()?.map_or(LogIndex::ZERO, |mark| mark.log_id.index);
        let until = committed.max(reflected).min(last);
        let mut next = self.replay_from::<E>()?;
        if planted(Planted::ReplaySkipsOne) {
            next = next.next();
        }
        let mut replayed = 0;
        while next <= until {
            let records = self.log.read_placed(next, until.next(), WALK_BYTES)?;
            let Some((newest, _)) = records.last() else { break };
            next = newest.id.index.next();
            replayed += records.len() as u64;
            apply(&records)?;
            progress(LogIndex(next.0 - 1), until);
        }
        Ok(replayed)
    }
}
