//! Snapshots, which hardly exist here: the log is never purged, so a follower
//! is always caught up by entries, and openraft is told never to make one.
//!
//! What a snapshot carries is the mark of what was applied, and no events. So it
//! may be installed only where there are no events to bring: on a state machine
//! at the same position. Anywhere else it is refused, because taking it would
//! skip events.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use openraft::{
    RaftSnapshotBuilder,
    type_config::alias::{SnapshotMetaOf, SnapshotOf},
};
use weir_storage::index::{AppliedMark, Index};

use crate::{
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
