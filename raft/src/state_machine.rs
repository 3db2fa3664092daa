//! openraft's state machine: an adapter and nothing else. What an entry does is
//! decided by `apply`; here runs of committed entries are collected, waited for
//! until the local log has them durably, applied off the runtime in one batch,
//! published and answered, in that order.

use std::io;

use futures::{FutureExt, Stream, StreamExt};
use openraft::{
    OptionalSend,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
    type_config::alias::{SnapshotMetaOf, SnapshotOf},
};
use tokio::sync::watch;
use weir_storage::{group_store::GroupStore, log::LogRecord};
use weir_types::{LogIndex, Planted, planted};

use crate::{
    applied::Applied,
    apply::{Applier, CommandOutcome},
    entry,
    log_store::LogStore,
    off_runtime::off_runtime,
    snapshot::{self, CurrentSnapshot, SnapshotBody, SnapshotBuilder, meta_of},
    types::{RaftLogId, RaftStoredMembership, TypeConfig},
};

/// Entries that are applied in one batch.
const RUN_ENTRIES_MAX: usize = 256;
/// Bytes of entries that are applied in one batch, unless one alone is larger.
const RUN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Up to so many bytes are applied on the runtime: they take less time than another thread takes to wake.
const APPLY_HERE_BYTES_MAX: usize = 256 * 1024;

/// The state machine of one group.
pub struct StateMachine {
    store: GroupStore,
    log: LogStore,
    /// `None` only while a batch is being applied, and after one has failed.
    applier: Option<Applier>,
    applied: watch::Sender<Applied>,
    snapshot: CurrentSnapshot,
}

/// Committed entries that are applied together.
#[derive(Default)]
struct Run {
    records: Vec<LogRecord>,
    responders: Vec<Option<ApplyResponder<TypeConfig>>>,
    bytes: usize,
}

impl Run {
    fn push(&mut self, (entry, responder): EntryResponder<TypeConfig>) {
        let record = entry::record_of(&entry);
        self.bytes += record.payload.len();
        self.records.push(record);
        self.responders.push(responder);
    }

    fn has_room(&self) -> bool {
        self.records.len() < RUN_ENTRIES_MAX && self.bytes < RUN_BYTES_MAX
    }
}

impl StateMachine {
    /// Takes the stores of a group; `log` must be over the same log.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn new(store: GroupStore, log: LogStore) -> io::Result<Self> {
        let mark = store.index.applied().map_err(io::Error::other)?;
        let applier = Applier::new(&store).map_err(io::Error::other)?;
        let applied = watch::Sender::new(Applied::of(mark.as_ref()));
        Ok(Self { store, log, applier: Some(applier), applied, snapshot: CurrentSnapshot::default() })
    }

    /// What is applied, now and from now on.
    pub(crate) fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// Waits until the local log holds `index` durably. openraft applies only
    /// what the local log has flushed; this makes sure of it, because the index
    /// must never be ahead of the log.
    async fn wait_flushed(&self, index: LogIndex) {
        let log = self.log.log();
        let mut flushes = self.log.flushes();
        while log.last().is_some_and(|last| last.index >= index) && log.flushed() < index {
            if flushes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Applies records that follow what is applied, and publishes what they led to.
    pub(crate) async fn apply_records(&mut self, records: Vec<LogRecord>) -> io::Result<Vec<CommandOutcome>> {
        let Some(last) = records.last() else {
            return Ok(Vec::new());
        };
        self.wait_flushed(last.id.index).await;
        let mut applier =
            self.applier.take().ok_or_else(|| io::Error::other("an earlier apply has failed"))?;
        let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        let (applier, outcomes) = if bytes <= APPLY_HERE_BYTES_MAX {
            let outcomes = applier.apply(&records);
            (applier, outcomes)
        } else {
            let applied = off_runtime(self.store.is_simulated(), move || {
                let outcomes = applier.apply(&records);
                (applier, outcomes)
            });
            applied.await.map_err(|panic| io::Error::other(format!("apply has panicked: {panic}")))?
        };
        let outcomes = outcomes.map_err(io::Error::other)?;
        self.applied.send_replace(Applied::of(applier.mark()));
        self.applier = Some(applier);
        Ok(outcomes)
    }

    async fn apply_run(&mut self, run: Run) -> io::Result<()> {
        let outcomes = self.apply_records(run.records).await?;
        assert_eq!(outcomes.len(), run.responders.len(), "one outcome per applied entry");
        for (responder, outcome) in run.responders.into_iter().zip(outcomes) {
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotBody;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, RaftStoredMembership), io::Error> {
        let mark = self.store.index.applied().map_err(io::Error::other)?;
        let meta = meta_of(mark.as_ref())?;
        if planted(Planted::MembershipForgotten) {
            return Ok((meta.last_log_id, RaftStoredMembership::default()));
        }
        Ok((meta.last_log_id, meta.last_membership))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        // A run may meet the end, and the loop asks once more; not every stream bears that.
        let mut entries = entries.fuse();
        while let Some(entry) = entries.next().await {
            let mut run = Run::default();
            run.push(entry?);
            while run.has_room() {
                match entries.next().now_or_never() {
                    Some(Some(entry)) => run.push(entry?),
                    Some(None) | None => break,
                }
            }
            self.apply_run(run).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { index: self.store.index.clone(), current: self.snapshot.clone() }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotBody,
    ) -> Result<(), io::Error> {
        let here = self.applied.borrow().position;
        let there = Applied::of(snapshot.mark.as_ref()).position;
        if here != there {
            return Err(io::Error::other(format!(
                "snapshot stands for position {there} and brings no events, this node is at {here}"
            )));
        }
        if let Some(mark) = &snapshot.mark {
            snapshot::stands_for_same_log(mark, &self.applied.borrow(), self.log.log())?;
        }
        let applied = self.applied.borrow().log_id;
        if let Some(mark) = snapshot.mark.as_ref().filter(|mark| applied != Some(mark.log_id)) {
            let mut batch = self.store.index.batch();
            batch.set_mark(mark.clone());
            self.store.index.commit(batch).map_err(io::Error::other)?;
            self.applier = Some(Applier::new(&self.store).map_err(io::Error::other)?);
            self.applied.send_replace(Applied::of(Some(mark)));
        }
        self.snapshot.set(SnapshotOf::<TypeConfig, SnapshotBody> { meta: meta.clone(), snapshot });
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, SnapshotBody>>, io::Error> {
        Ok(self.snapshot.get())
    }
}
