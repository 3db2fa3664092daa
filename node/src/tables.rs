//! The tables of SQL projections, off the runtime.

use std::sync::Arc;

use async_trait::async_trait;
use weir_storage::{folder::DataFolder, tables::Tables};
use weir_types::{
    ProjectionId, ReadError, SqlError, SqlFault, SqlQuery, SqlRows, SqlStep,
    ports::{Checkpoint, TableStore},
};

struct OffRuntime(Tables);

/// The tables in a data folder; none on a disk that is not the system's, which SQLite cannot write to.
pub(crate) fn of(folder: &DataFolder) -> Option<Arc<dyn TableStore>> {
    let real = !folder.disk().is_simulated();
    real.then(|| Arc::new(OffRuntime(Tables::in_folder(folder.tables_dir()))) as Arc<dyn TableStore>)
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
impl TableStore for OffRuntime {
    async fn check(&self, tables: String) -> Result<(), String> {
        let checked = tokio::task::spawn_blocking(move || Tables::check(&tables)).await;
        checked.unwrap_or_else(|panic| Err(panic.to_string()))
    }

    async fn open(&self, projection: &ProjectionId, tables: &str) -> Result<Checkpoint, ReadError> {
        let (projection, definition) = (projection.clone(), tables.to_owned());
        self.blocking(move |tables| tables.open(&projection, &definition)).await
    }

    async fn commit(
        &self,
        projection: &ProjectionId,
        checkpoint: &Checkpoint,
        steps: Vec<SqlStep>,
    ) -> Result<Option<SqlFault>, ReadError> {
        let (projection, checkpoint) = (projection.clone(), checkpoint.clone());
        self.blocking(move |tables| tables.commit(&projection, &checkpoint, &steps)).await
    }

    async fn forget(&self, projection: &ProjectionId) -> Result<(), ReadError> {
        let projection = projection.clone();
        self.blocking(move |tables| tables.forget(&projection)).await
    }

    async fn kept(&self) -> Result<Vec<ProjectionId>, ReadError> {
        self.blocking(Tables::kept).await
    }

    async fn query(&self, query: SqlQuery) -> Result<SqlRows, SqlError> {
        let tables = self.0.clone();
        let answered = tokio::task::spawn_blocking(move || tables.query(&query)).await;
        answered.unwrap_or_else(|panic| Err(panicked(&panic).into()))
    }
}
