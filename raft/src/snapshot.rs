//! Snapshots, which hardly exist here: the log is never purged, so a follower
//! is always caught up by entries, and openraft is told never to make one.
//!
//! What a snapshot carries is the mark of what was applied, and no events. So it
//! may be installed only where there are no events to bring: on a state machine
//! at the same position, over the same log. Anywhere else it is refused, because
//! taking it would skip events, or name a log that this node does not have.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use openraft::{
    RaftSnapshotBuilder,
    type_config::alias::{SnapshotMetaOf, SnapshotOf},
};
use weir_storage::{
    index::{AppliedMark, Index},
    log::Log,
};
use weir_types::LogId;

use crate::{
    applied::Applied,
    membership_record,
    types::{self, TypeConfig},
};

/// What a snapshot carries; nothing when nothing was applied.
#[derive(Debug, Clone, Default)]
pub struct SnapshotBody {
    pub(crate) mark: Option<AppliedMark>,
}

type Snapshot = SnapshotOf<TypeConfig, SnapshotBody>;

/// The newest snapshot, in memory. It need not survive a restart, because nothing rests on it.
#[derive(Clone, Default)]
pub(crate) struct CurrentSnapshot(Arc<Mutex<Option<Snapshot>>>);

impl CurrentSnapshot {
    fn lock(&self) -> MutexGuard<'_, Option<Snapshot>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }

    pub(crate) fn get(&self) -> Option<Snapshot> {
        self.lock().clone()
    }

    pub(crate) fn set(&self, snapshot: Snapshot) {
        *self.lock() = Some(snapshot);
    }
}

/// Makes a snapshot of what was applied when it was asked for.
pub struct SnapshotBuilder {
    pub(crate) index: Index,
    pub(crate) current: CurrentSnapshot,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotBody;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let mark = self.index.applied().map_err(io::Error::other)?;
        let snapshot = Snapshot { meta: meta_of(mark.as_ref())?, snapshot: SnapshotBody { mark } };
        self.current.set(snapshot.clone());
        Ok(snapshot)
    }
}

/// What openraft calls a snapshot's meta, of a mark.
pub(crate) fn meta_of(mark: Option<&AppliedMark>) -> io::Result<SnapshotMetaOf<TypeConfig>> {
    let Some(mark) = mark else {
        return Ok(SnapshotMetaOf::<TypeConfig>::default());
    };
    let membership = membership_record::decode(mark.membership.clone());
    Ok(SnapshotMetaOf::<TypeConfig> {
        last_log_id: Some(types::raft_log_id(&mark.log_id)),
        last_membership: membership.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
    })
}

/// Refuses a mark that is not of this node's log. One position alone does not
/// tell: entries that hold no event leave it as it is.
///
/// # Errors
/// When it is of another log, of an entry that this node lacks, or older than what is applied.
pub(crate) fn stands_for_same_log(mark: &AppliedMark, here: &Applied, log: &Log) -> io::Result<()> {
    let index = mark.log_id.index;
    let held = log.read(index, index.next(), 1).map_err(io::Error::other)?;
    match judge(mark, here, held.first().map(|record| record.id)) {
        None => Ok(()),
        Some(why) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("snapshot {why}"))),
    }
}

/// Why a mark is refused where `held` is the local log's entry at its index.
fn judge(mark: &AppliedMark, here: &Applied, held: Option<LogId>) -> Option<String> {
    let Some(applied) = here.log_id else {
        // Nothing is applied that it could contradict, unless the log does.
        let other = held.filter(|held| *held != mark.log_id)?;
        return Some(format!("stands for {:?}, and the log has {other:?} there", mark.log_id));
    };
    if mark.log_id == applied {
        let same = (mark.digest, mark.registry) == (here.digest, here.registry);
        return (!same).then(|| format!("stands for {applied:?} with another digest"));
    }
    if mark.log_id.index <= applied.index {
        return Some(format!("stands for {:?}, and {applied:?} is applied", mark.log_id));
    }
    (held != Some(mark.log_id))
        .then(|| format!("stands for {:?}, and the log has {held:?} there", mark.log_id))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;
    use openraft::storage::RaftStateMachine as _;
    use tempfile::TempDir;
    use uuid::Uuid;
    use weir_storage::{
        folder::{DataFolder, Identity},
        group_store::GroupStore,
        log::{LogConfig, LogRecord, LogThread, RecordKind},
    };
    use weir_types::{ClusterId, GroupId, LogIndex, NodeId, Term};

    use super::*;
    use crate::{LogStore, StateMachine};

    struct Node {
        machine: StateMachine,
        store: GroupStore,
        _thread: LogThread,
        _dir: TempDir,
    }

    impl Node {
        /// A node whose log is of these terms, of which the first `applied` entries are applied.
        async fn new(terms: &[u64], applied: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let identity = Identity { cluster: ClusterId(Uuid::from_u128(1)), node: NodeId(1) };
            let folder = DataFolder::open(dir.path().join("data"), identity).unwrap();
            let thread = LogThread::start(Box::new(|error| panic!("log failed: {error}"))).unwrap();
            let store =
                GroupStore::open(&folder, GroupId::DEFAULT, LogConfig::default(), &thread).unwrap().store;
            let log = LogStore::new(store.log.clone(), GroupId::DEFAULT);
            let mut machine = StateMachine::new(store.clone(), log).unwrap();
            let records: Vec<_> = (1..).zip(terms).map(|(index, term)| blank(*term, index)).collect();
            if !records.is_empty() {
                let (done, told) = mpsc::channel();
                store
                    .log
                    .append(records.clone(), Box::new(move |result| done.send(result).unwrap()))
                    .unwrap();
                told.recv().unwrap().unwrap();
            }
            machine.apply_records(records[..applied].to_vec()).await.unwrap();
            Self { machine, store, _thread: thread, _dir: dir }
        }

        async fn snapshot(&mut self) -> Snapshot {
            self.machine.get_snapshot_builder().await.build_snapshot().await.unwrap()
        }

        /// Whether it takes a snapshot; when not, its mark is as it was.
        async fn takes(&mut self, offered: &Snapshot) -> bool {
            let before = self.store.index.applied().unwrap();
            let taken = self.machine.install_snapshot(&offered.meta, offered.snapshot.clone()).await;
            let after = self.store.index.applied().unwrap();
            match &taken {
                Ok(()) => assert_eq!(after, offered.snapshot.mark),
                Err(_) => assert_eq!(after, before),
            }
            taken.is_ok()
        }
    }

    fn blank(term: u64, index: u64) -> LogRecord {
        let id = LogId { term: Term(term), leader: NodeId(1), index: LogIndex(index) };
        LogRecord { id, kind: RecordKind::Blank, payload: Bytes::new() }
    }

    #[tokio::test]
    async fn a_snapshot_of_another_log_is_refused_at_an_equal_position() {
        let offered = Node::new(&[1, 1, 1], 3).await.snapshot().await;
        for (case, terms, applied, taken) in [
            ("nothing is here", &[][..], 0, true),
            ("the same is applied", &[1, 1, 1], 3, true),
            ("it is of an entry that the log holds", &[1, 1, 1, 2], 2, true),
            ("its entry is missing", &[1, 1], 2, false),
            ("another entry is there", &[1, 1, 2], 2, false),
            ("another entry is there and applied", &[1, 1, 2], 3, false),
            ("another entry is there and nothing is applied", &[1, 1, 2], 0, false),
            ("more is applied", &[1, 1, 1, 1], 4, false),
        ] {
            assert_eq!(Node::new(terms, applied).await.takes(&offered).await, taken, "{case}");
        }
        let mut other = Node::new(&[1, 1, 1], 3).await;
        let mut lie = offered;
        lie.snapshot.mark.as_mut().unwrap().digest ^= 1;
        assert!(!other.takes(&lie).await, "the digest differs");
    }
}
