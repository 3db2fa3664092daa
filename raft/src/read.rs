//! Reads of what is applied here, and the barriers that make them fresh.
//!
//! A linearizable read asks the leader, by Raft's read index, up to where it must
//! have applied, and waits for that. Reads that begin while a round is under way
//! share the next one.

mod rounds;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinError,
};
use tokio_stream::{StreamExt, wrappers::WatchStream};
use weir_storage::group_store::GroupStore;
use weir_types::{
    Condition, Consistency, EntityId, EntityType, GroupId, IdempotencyKey, LogRead, LogSlice, Planted,
    Position, ReadError, RecordedEvent, StreamGuard, StreamHead, StreamPage, StreamRead, Violation, limits,
    planted,
    ports::{EventReader, RememberedAppend},
};

pub(crate) use self::rounds::ReadRounds;
use crate::{
    applied::{Applied, wait_for},
    apply::violations,
    off_runtime,
    timing::RaftTiming,
};

/// Reads one group on one node.
pub(crate) struct GroupReader {
    store: GroupStore,
    applied: watch::Receiver<Applied>,
    rounds: ReadRounds,
    timing: RaftTiming,
}

impl GroupReader {
    pub(crate) fn new(
        store: GroupStore,
        applied: watch::Receiver<Applied>,
        rounds: ReadRounds,
        timing: RaftTiming,
    ) -> Arc<Self> {
        Arc::new(Self { store, applied, rounds, timing })
    }

    fn check(&self, group: GroupId) -> Result<(), ReadError> {
        hosted(&self.store, group)
    }

    async fn linearizable(&self) -> Result<Position, ReadError> {
        let index = self.rounds.confirm().await?;
        let reached = wait_for(&self.applied, self.timing.read_wait_max, |now| now.index() >= index).await;
        reached.map(|now| now.position).map_err(|now| ReadError::Unavailable {
            reason: format!("log entry {index} is not applied here in time, only {}", now.index()),
        })
    }

    async fn at_least(&self, wanted: Position) -> Result<Position, ReadError> {
        let reached = wait_for(&self.applied, self.timing.read_wait_max, |now| now.position >= wanted).await;
        reached.map(|now| now.position).map_err(|now| ReadError::Stale { wanted, applied: now.position })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&GroupStore) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        off_runtime(self.store.clone(), read).await
    }
}

/// The turns of reads on the threads that may block, which are the process's and not a node's.
static TURNS: Semaphore = Semaphore::const_new(limits::READS_AT_ONCE_MAX);

/// Runs a read of the stores where it may block.
pub(crate) async fn off_runtime<T: Send + 'static>(
    store: GroupStore,
    read: impl FnOnce(&GroupStore) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let read = in_turn(store.is_simulated(), move || read(&store)).await;
    read.unwrap_or_else(|panic| Err(ReadError::Storage { reason: format!("read has panicked: {panic}") }))
}

/// Waits for a turn; dropped before, it does nothing.
async fn in_turn<T: Send + 'static>(
    simulated: bool,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let turn = TURNS.acquire().await.expect("the semaphore is never closed");
    let read = off_runtime::off_runtime(simulated, move || {
        // Kept until the read is done, also when nobody waits for it any more.
        let _turn = turn;
        read()
    });
    read.await
}

/// Refuses a group that is not kept here.
pub(crate) fn hosted(store: &GroupStore, group: GroupId) -> Result<(), ReadError> {
    if group == store.group() {
        Ok(())
    } else {
        Err(ReadError::Unavailable { reason: format!("group {group} is not hosted here") })
    }
}

#[async_trait]
impl EventReader for GroupReader {
    async fn ready(&self, group: GroupId, consistency: Consistency) -> Result<Position, ReadError> {
        self.check(group)?;
        match consistency {
            Consistency::AtLeast(_) if planted(Planted::MinPositionIgnored) => {
                Ok(self.applied.borrow().position)
            }
            Consistency::Linearizable if planted(Planted::StaleRead) => Ok(self.applied.borrow().position),
            Consistency::Local => Ok(self.applied.borrow().position),
            Consistency::AtLeast(position) => self.at_least(position).await,
            Consistency::Linearizable => self.linearizable().await,
        }
    }

    async fn head(&self, group: GroupId, entity: &EntityId) -> Result<Option<StreamHead>, ReadError> {
        self.check(group)?;
        self.store.head(entity)
    }

    async fn read_stream(&self, read: StreamRead) -> Result<StreamPage, ReadError> {
        self.check(read.group)?;
        self.blocking(move |store| store.read_stream(&read)).await
    }

    async fn read_log(
        &self,
        group: GroupId,
        from: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        self.check(group)?;
        self.blocking(move |store| store.read_log(from, limit)).await
    }

    async fn search_log(&self, read: LogRead) -> Result<LogSlice, ReadError> {
        self.check(read.group)?;
        self.blocking(move |store| store.search_log(&read)).await
    }

    async fn list_streams(
        &self,
        group: GroupId,
        entity_type: Option<&EntityType>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<StreamHead>, u64), ReadError> {
        self.check(group)?;
        let entity_type = entity_type.cloned();
        self.blocking(move |store| store.list(entity_type.as_ref(), offset, limit)).await
    }

    async fn remembered(
        &self,
        group: GroupId,
        entity: &EntityId,
        key: &IdempotencyKey,
    ) -> Result<Option<RememberedAppend>, ReadError> {
        self.check(group)?;
        self.store.remembered(entity, key)
    }

    async fn violations(
        &self,
        group: GroupId,
        guards: Vec<StreamGuard>,
        conditions: Vec<Condition>,
    ) -> Result<Vec<Violation>, ReadError> {
        self.check(group)?;
        self.blocking(move |store| {
            let last = store.index.applied_position();
            Ok(violations(&store.index, last, &guards, &conditions)?)
        })
        .await
    }

    fn applied(&self, group: GroupId) -> Position {
        if group == self.store.group() { self.applied.borrow().position } else { Position::ZERO }
    }

    fn applied_changes(&self, _group: GroupId) -> BoxStream<'static, Position> {
        Box::pin(WatchStream::new(self.applied.clone()).map(|applied| applied.position))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Condvar, Mutex},
        time::Duration,
    };

    use tokio::{task::spawn_blocking, time::timeout};

    use super::*;

    #[test]
    fn reads_leave_threads_for_what_is_no_read() {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .max_blocking_threads(limits::BLOCKING_THREADS_MAX)
            .enable_all()
            .build()
            .unwrap();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        threads.block_on(async {
            let read = |gate: Arc<(Mutex<bool>, Condvar)>| {
                let wait = move || drop(gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap());
                tokio::spawn(in_turn(false, wait))
            };
            let reads: Vec<_> = (0..100).map(|_| read(gate.clone())).collect();
            while TURNS.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            let other = timeout(Duration::from_secs(30), spawn_blocking(|| "done")).await;
            *gate.0.lock().unwrap() = true;
            gate.1.notify_all();
            assert_eq!(other.expect("it found a thread").unwrap(), "done");
            for read in reads {
                read.await.unwrap().unwrap();
            }
        });
    }
}
