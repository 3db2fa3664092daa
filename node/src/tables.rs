//! The tables of SQL projections: in files of this node, off the runtime, or in sinks.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use weir_actors::off_runtime;
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
    files: Tables,
    sinks: Arc<Sinks>,
}

/// The tables in a data folder, and those in sinks. `stop` ends what goes on behind.
pub(crate) fn of(
    folder: &DataFolder,
    sinks: &BTreeMap<SinkName, tokio_postgres::Config>,
    stop: CancellationToken,
) -> Arc<dyn TableStore> {
    let marks = SinkMarks::in_folder(folder.tables_dir());
    let sinks = Sinks::new(sinks, folder.identity().cluster, marks, stop);
    Arc::new(Everywhere { files: Tables::in_folder(folder.tables_dir()), sinks })
}

/// Works on files, which may take long.
pub(crate) async fn on_files<T: Send + 'static, E: From<ReadError> + Send + 'static>(
    task: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let panicked =
        |panic| ReadError::Storage { reason: format!("work on files of tables has panicked: {panic}") };
    off_runtime(task).await.unwrap_or_else(|panic| Err(panicked(panic).into()))
}

#[async_trait]
impl TableStore for Everywhere {
    async fn check(&self, projection: &ProjectionName, tables: TablesDefinition) -> Result<(), SqlError> {
        if let Some(sink) = &tables.sink {
            return self.sinks.check(projection, sink, &tables.sql).await;
        }
        on_files(move || Tables::check(&tables.sql).map_err(SqlError::Refused)).await
    }

    async fn open(
        &self,
        projection: &ProjectionId,
        tables: &TablesDefinition,
    ) -> Result<Checkpoint, ReadError> {
        if let Some(sink) = &tables.sink {
            return self.sinks.open(projection, sink, tables).await;
        }
        let (files, projection, sql) = (self.files.clone(), projection.clone(), tables.sql.clone());
        on_files(move || files.open(&projection, &sql)).await
    }

    async fn commit(
        &self,
        projection: &ProjectionId,
        change: TableChange,
    ) -> Result<Option<SqlFault>, ReadError> {
        if let Some(sink) = self.sinks.opened(projection) {
            return self.sinks.commit(projection, &sink, &change).await;
        }
        let (files, projection) = (self.files.clone(), projection.clone());
        let TableChange { checkpoint, steps, .. } = change;
        on_files(move || files.commit(&projection, &checkpoint, &steps)).await
    }

    async fn forget(&self, projection: &ProjectionId) -> Result<(), ReadError> {
        if self.sinks.forget(projection).await? {
            return Ok(());
        }
        let (files, projection) = (self.files.clone(), projection.clone());
        on_files(move || files.forget(&projection)).await
    }

    async fn kept(&self) -> Result<Vec<ProjectionId>, ReadError> {
        let files = self.files.clone();
        let mut kept = on_files(move || files.kept()).await?;
        kept.extend(self.sinks.kept().await?);
        Ok(kept)
    }

    async fn query(&self, query: SqlQuery) -> Result<SqlRows, SqlError> {
        let files = self.files.clone();
        on_files(move || files.query(&query)).await
    }
}
