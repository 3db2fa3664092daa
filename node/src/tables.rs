//! The tables of SQL projections: in files of this node, off the runtime, or in sinks.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use weir_storage::{
    folder::DataFolder,
    tables::{SinkMarks, Tables},
};
use weir_types::{
    ProjectionId, ProjectionName, ReadError, SinkName, SqlError, SqlFault, SqlQuery, SqlRows, TableChange,
    TablesDefinition,
    ports::{Checkpoint, TableStore},
};

use crate::sinks::Sinks;

/// Where tables are: here, unless their author says otherwise.
struct Everywhere {
    files: OffRuntime,
    sinks: Arc<Sinks>,
}

struct OffRuntime(Tables);

/// The tables in a data folder, and those in sinks; none on a disk that is not the system's, which SQLite cannot write
/// to. `stop` ends what goes on behind.
pub(crate) fn of(
    folder: &DataFolder,
    sinks: &BTreeMap<SinkName, tokio_postgres::Config>,
    stop: CancellationToken,
) -> Option<Arc<dyn TableStore>> {
    if folder.disk().is_simulated() {
        return None;
    }
    let marks = SinkMarks::in_folder(folder.tables_dir());
    let sinks = Sinks::new(sinks, folder.identity().cluster, marks, stop);
    let files = OffRuntime(Tables::in_folder(folder.tables_dir()));
    Some(Arc::new(Everywhere { files, sinks }))
}

impl OffRuntime {
    async fn blocking<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Tables) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let tables = self.0.clone();
        let done = tokio::task::spawn_blocking(move || task(&tables)).await;
        done.unwrap_or_else(|panic| Err(panicked(&panic)))
    }
}

fn panicked(panic: &tokio::task::JoinError) -> ReadError {
    ReadError::Storage { reason: format!("work on tables has panicked: {panic}") }
}

#[async_trait]
impl TableStore for Everywhere {
    async fn check(&self, projection: &ProjectionName, tables: TablesDefinition) -> Result<(), SqlError> {
        if let Some(sink) = &tables.sink {
            return self.sinks.check(projection, sink, &tables.sql).await;
        }
        let checked = tokio::task::spawn_blocking(move || Tables::check(&tables.sql)).await;
        let checked = checked.map_err(|panic| SqlError::Read(panicked(&panic)))?;
        checked.map_err(SqlError::Refused)
    }

    async fn open(
        &self,
        projection: &ProjectionId,
        tables: &TablesDefinition,
    ) -> Result<Checkpoint, ReadError> {
        if let Some(sink) = &tables.sink {
            return self.sinks.open(projection, sink, tables).await;
        }
        let (projection, sql) = (projection.clone(), tables.sql.clone());
        self.files.blocking(move |tables| tables.open(&projection, &sql)).await
    }

    async fn commit(
        &self,
        projection: &ProjectionId,
        change: TableChange,
    ) -> Result<Option<SqlFault>, ReadError> {
        if let Some(sink) = self.sinks.opened(projection) {
            return self.sinks.commit(projection, &sink, &change).await;
        }
        let projection = projection.clone();
        let TableChange { checkpoint, steps, .. } = change;
        self.files.blocking(move |tables| tables.commit(&projection, &checkpoint, &steps)).await
    }

    async fn forget(&self, projection: &ProjectionId) -> Result<(), ReadError> {
        if self.sinks.forget(projection).await? {
            return Ok(());
        }
        let projection = projection.clone();
        self.files.blocking(move |tables| tables.forget(&projection)).await
    }

    async fn kept(&self) -> Result<Vec<ProjectionId>, ReadError> {
        let mut kept = self.files.blocking(Tables::kept).await?;
        kept.extend(self.sinks.kept().await?);
        Ok(kept)
    }

    async fn query(&self, query: SqlQuery) -> Result<SqlRows, SqlError> {
        let tables = self.files.0.clone();
        let answered = tokio::task::spawn_blocking(move || tables.query(&query)).await;
        answered.unwrap_or_else(|panic| Err(panicked(&panic).into()))
    }
}
