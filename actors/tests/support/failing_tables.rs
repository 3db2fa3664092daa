//! Tables that can never be opened, as on a disk that is full.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use weir_types::{
    ProjectionId, ProjectionName, ReadError, SqlError, SqlFault, SqlQuery, SqlRows, TableChange,
    TablesDefinition,
    ports::{Checkpoint, TableStore},
};

/// How often they were to be opened.
#[derive(Default)]
pub struct FailingTables(pub AtomicU64);

fn full() -> ReadError {
    ReadError::Unavailable { reason: "disk is full".to_owned() }
}

#[async_trait]
impl TableStore for FailingTables {
    async fn check(&self, _: &ProjectionName, _: TablesDefinition) -> Result<(), SqlError> {
        Ok(())
    }

    async fn open(&self, _: &ProjectionId, _: &TablesDefinition) -> Result<Checkpoint, ReadError> {
        self.0.fetch_add(1, Relaxed);
        Err(full())
    }

    async fn commit(&self, _: &ProjectionId, _: TableChange) -> Result<Option<SqlFault>, ReadError> {
        Err(full())
    }

    async fn forget(&self, _: &ProjectionId) -> Result<(), ReadError> {
        Ok(())
    }

    async fn kept(&self) -> Result<Vec<ProjectionId>, ReadError> {
        Ok(Vec::new())
    }

    async fn query(&self, _: SqlQuery) -> Result<SqlRows, SqlError> {
        Err(full().into())
    }
}
