use reqwest::Method;
use serde::de::IgnoredAny;
use weir_api::v1::{
    SnapshotBody, SnapshotCreated, SnapshotList, SnapshotQuery, SnapshotRead, SnapshotView, paths,
};

use crate::{Client, ClientError, ReadOptions, client::Call, retry::Repeat};

impl Client {
    /// Keeps the state that a stream has folded to at a version, in the place of any other of that version.
    ///
    /// # Errors
    /// [`ClientError`]; `stream_not_found`, `version_conflict` beyond the stream's version.
    pub async fn create_snapshot(
        &self,
        entity_id: &str,
        snapshot: &SnapshotBody,
    ) -> Result<SnapshotCreated, ClientError> {
        let path = paths::fill(paths::STREAM_SNAPSHOTS, entity_id);
        self.call(Call::new(Method::POST, &path, Repeat::Harmless).body(snapshot)).await
    }

    /// The newest snapshot of a stream, or the newest that is not beyond a version.
    ///
    /// # Errors
    /// [`ClientError`]; `snapshot_not_found`.
    pub async fn snapshot(&self, entity_id: &str, before: Option<u64>) -> Result<SnapshotView, ClientError> {
        let path = paths::fill(paths::STREAM_SNAPSHOTS, entity_id);
        let query = SnapshotQuery { before_version: before, ..SnapshotQuery::default() };
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(&query)).await
    }

    /// The versions of which snapshots are kept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn snapshots(&self, entity_id: &str) -> Result<SnapshotList, ClientError> {
        let path = paths::fill(paths::STREAM_SNAPSHOT_VERSIONS, entity_id);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless)).await
    }

    /// Drops a snapshot.
    ///
    /// # Errors
    /// [`ClientError`]; `snapshot_not_found`.
    pub async fn delete_snapshot(&self, entity_id: &str, version: u64) -> Result<(), ClientError> {
        let path = paths::snapshot(entity_id, version);
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }

    /// The newest snapshot that is not beyond what is asked for, and a page of the events after it. The next page is
    /// an ordinary read from its `next_version` on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read_from_snapshot(
        &self,
        entity_id: &str,
        options: ReadOptions,
    ) -> Result<SnapshotRead, ClientError> {
        let (path, query) = (paths::fill(paths::STREAM_FROM_SNAPSHOT, entity_id), options.query());
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(&query)).await
    }
}
