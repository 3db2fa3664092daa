//! Tables of projections that are in databases outside: one for all nodes.
//!
//! Every node folds, and every node commits; whoever is first carries an event out, and the others find that it is
//! (ADR 0034). What must not wait for a database does not: tables are dropped behind, until they are.

mod carry;
mod commit;
mod control;
mod fault;
mod postgres;
#[cfg(test)]
#[path = "../tests/support/postgres.rs"]
mod server;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::sleep;
use tokio_postgres::Config;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weir_storage::tables::SinkMarks;
use weir_types::{
    ClusterId, ProjectionId, ProjectionName, ReadError, SinkName, SqlError, SqlFault, TableChange,
    TablesDefinition, ports::Checkpoint,
};

use self::{
    fault::SinkError,
    postgres::{Postgres, Released},
};
use crate::tables::on_files;

/// After how long a drop is tried again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The sinks of one node.
pub(crate) struct Sinks {
    known: BTreeMap<SinkName, Postgres>,
    marks: SinkMarks,
    /// Where the tables are that were opened.
    open: Mutex<HashMap<ProjectionId, SinkName>>,
    dropping: Mutex<HashSet<ProjectionId>>,
    stop: CancellationToken,
}

impl Sinks {
    pub(crate) fn new(
        configs: &BTreeMap<SinkName, Config>,
        cluster: ClusterId,
        marks: SinkMarks,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let sink = |(name, config): (&SinkName, &Config)| {
            (name.clone(), Postgres::new(name.clone(), config.clone(), cluster))
        };
        let known = configs.iter().map(sink).collect();
        Arc::new(Self { known, marks, open: Mutex::default(), dropping: Mutex::default(), stop })
    }

    pub(crate) async fn check(
        &self,
        projection: &ProjectionName,
        sink: &SinkName,
        tables: &str,
    ) -> Result<(), SqlError> {
        let postgres = self.named(sink).map_err(SqlError::Refused)?;
        postgres.check(projection, tables).await.map_err(|error| match error {
            SinkError::Fault(reason) => SqlError::Refused(reason),
            SinkError::Failed(reason) => SqlError::Read(failed(sink, &reason)),
        })
    }

    pub(crate) async fn open(
        &self,
        id: &ProjectionId,
        sink: &SinkName,
        tables: &TablesDefinition,
    ) -> Result<Checkpoint, ReadError> {
        let postgres = self.named(sink).map_err(|reason| ReadError::Storage { reason })?;
        let (marks, marked, of) = (self.marks.clone(), id.clone(), sink.clone());
        // First of all: what is made there is to be dropped there.
        on_files(move || marks.put(&marked, &of)).await?;
        let checkpoint = postgres.open(id, &tables.sql).await.map_err(|error| failed(sink, &error))?;
        held(&self.open).insert(id.clone(), sink.clone());
        Ok(checkpoint)
    }

    /// The sink that a generation's tables were opened in.
    pub(crate) fn opened(&self, id: &ProjectionId) -> Option<SinkName> {
        held(&self.open).get(id).cloned()
    }

    pub(crate) async fn commit(
        &self,
        id: &ProjectionId,
        sink: &SinkName,
        change: &TableChange,
    ) -> Result<Option<SqlFault>, ReadError> {
        let postgres = self.named(sink).map_err(|reason| ReadError::Storage { reason })?;
        postgres.commit(id, change).await.map_err(|error| failed(sink, &error))
    }

    /// Drops a generation's tables behind, if it has some in a sink; whether it has.
    pub(crate) async fn forget(self: &Arc<Self>, id: &ProjectionId) -> Result<bool, ReadError> {
        let (marks, of) = (self.marks.clone(), id.clone());
        let Some(sink) = on_files(move || marks.of(&of)).await? else { return Ok(false) };
        held(&self.open).remove(id);
        if held(&self.dropping).insert(id.clone()) {
            let (sinks, id) = (self.clone(), id.clone());
            tokio::spawn(async move {
                let stop = sinks.stop.clone();
                let dropped = stop.run_until_cancelled(sinks.release(&id, &sink)).await;
                held(&sinks.dropping).remove(&id);
                if dropped.is_some() {
                    info!(projection = %id.name, deployed = %id.deployed, %sink, "tables in a sink are let go");
                }
            });
        }
        Ok(true)
    }

    pub(crate) async fn kept(&self) -> Result<Vec<ProjectionId>, ReadError> {
        let marks = self.marks.clone();
        on_files(move || marks.kept()).await
    }

    async fn release(&self, id: &ProjectionId, sink: &SinkName) {
        let (mut pause, mut told) = (RETRY_FIRST, false);
        loop {
            match self.try_release(id, sink).await {
                Ok(Released::Done) => return,
                Ok(Released::Waits) => {}
                Err(error) if told => drop(error),
                Err(error) => {
                    warn!(projection = %id.name, deployed = %id.deployed, %sink, %error, "tables are not let go yet");
                    told = true;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn try_release(&self, id: &ProjectionId, sink: &SinkName) -> Result<Released, ReadError> {
        let postgres = self.named(sink).map_err(|reason| ReadError::Storage { reason })?;
        let released = postgres.release(id).await.map_err(|error| failed(sink, &error))?;
        if released == Released::Done {
            let (marks, of) = (self.marks.clone(), id.clone());
            on_files(move || marks.remove(&of)).await?;
        }
        Ok(released)
    }

    fn named(&self, sink: &SinkName) -> Result<&Postgres, String> {
        self.known.get(sink).ok_or_else(|| {
            let known: Vec<_> = self.known.keys().map(|name| format!("`{name}`")).collect();
            match known.is_empty() {
                true => format!("this node has no sink `{sink}`, nor any other"),
                false => format!("this node has no sink `{sink}`; it has {}", known.join(", ")),
            }
        })
    }
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().expect("no holder of the lock panics")
}

fn failed(sink: &SinkName, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Storage { reason: format!("sink `{sink}` is not available: {error}") }
}
