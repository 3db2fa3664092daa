//! openraft's own suite, run on the real stores in temporary folders.
//!
//! The suite applies entries with holes between them, which openraft never
//! does and which apply refuses. So here a state machine stands in front that
//! fills each hole with blank entries, and passes everything else on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io;

use futures::{Stream, StreamExt};
use openraft::{
    EntryPayload, LogId, OptionalSend, StorageError,
    entry::RaftEntry,
    storage::{EntryResponder, RaftStateMachine},
    testing::log::{StoreBuilder, Suite},
    type_config::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf},
};
use tempfile::TempDir;
use uuid::Uuid;
use weir_raft::{LogStore, SnapshotBody, SnapshotBuilder, StateMachine, TypeConfig};
use weir_storage::{
    folder::{DataFolder, Identity},
    group_store::GroupStore,
    log::{LogConfig, LogThread},
};
use weir_types::{ClusterId, GroupId, NodeId};

struct Builder;

/// What must outlive the stores.
struct Guard {
    _dir: TempDir,
    _thread: LogThread,
}

impl StoreBuilder<TypeConfig, LogStore, HoleFiller, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStore, HoleFiller), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { cluster: ClusterId(Uuid::from_u128(1)), node: NodeId(1) };
        let folder = DataFolder::open(dir.path().join("data"), identity).unwrap();
        let thread = LogThread::start(Box::new(|error| panic!("log failed: {error}"))).unwrap();
        let opened = GroupStore::open(&folder, GroupId::DEFAULT, LogConfig::default(), &thread).unwrap();
        let log = LogStore::new(opened.store.log.clone(), GroupId::DEFAULT);
        let machine = StateMachine::new(opened.store, log.clone()).unwrap();
        Ok((Guard { _dir: dir, _thread: thread }, log, HoleFiller(machine)))
    }
}

struct HoleFiller(StateMachine);

impl HoleFiller {
    async fn fill(&mut self, until: &LogIdOf<TypeConfig>) -> io::Result<()> {
        let next = self.0.applied_state().await?.0.map_or(0, |applied| applied.index() + 1);
        let blank = |index| EntryOf::<TypeConfig> {
            log_id: LogId::new(*until.committed_leader_id(), index),
            payload: EntryPayload::Blank,
        };
        let blanks: Vec<_> = (next..until.index()).map(|index| Ok((blank(index), None))).collect();
        self.0.apply(futures::stream::iter(blanks)).await
    }
}

impl RaftStateMachine<TypeConfig> for HoleFiller {
    type SnapshotData = SnapshotBody;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogIdOf<TypeConfig>>, StoredMembershipOf<TypeConfig>), io::Error> {
        self.0.applied_state().await
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            self.fill(&entry.0.log_id()).await?;
            self.0.apply(futures::stream::iter([Ok(entry)])).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.0.get_snapshot_builder().await
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotBody,
    ) -> Result<(), io::Error> {
        self.0.install_snapshot(meta, snapshot).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, SnapshotBody>>, io::Error> {
        self.0.get_current_snapshot().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_pass_openrafts_suite() {
    Suite::test_all(Builder).await.unwrap();
}
