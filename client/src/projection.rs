use reqwest::Method;
use serde::de::IgnoredAny;
use weir_api::v1::{
    DeployBody, DeployResult, PartitionsPage, PartitionsQuery, ProjectionDeadLetters,
    ProjectionDeadLettersQuery, ProjectionList, ProjectionStatus, ProjectionView, ViewQuery, paths,
};

use crate::{Client, ClientError, client::Call, retry::Repeat};

impl Client {
    /// Deploys a projection from its JavaScript source. The same source again is no change.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_invalid` says what is wrong with the source.
    pub async fn deploy_projection(&self, source: &str) -> Result<DeployResult, ClientError> {
        let body = DeployBody { source: source.into() };
        self.call(Call::new(Method::POST, paths::PROJECTIONS, Repeat::Harmless).body(&body)).await
    }

    /// All projections, with their status on the answering node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn projections(&self) -> Result<ProjectionList, ClientError> {
        self.call(Call::new(Method::GET, paths::PROJECTIONS, Repeat::Harmless)).await
    }

    /// One partition's state.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn projection(&self, name: &str, query: &ViewQuery) -> Result<ProjectionView, ClientError> {
        let path = paths::fill(paths::PROJECTION, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }

    /// How far a projection is, on the answering node.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn projection_status(&self, name: &str) -> Result<ProjectionStatus, ClientError> {
        let path = paths::fill(paths::PROJECTION_STATUS, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless)).await
    }

    /// The keys of a projection's partitions, in byte order.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn partitions(
        &self,
        name: &str,
        query: &PartitionsQuery,
    ) -> Result<PartitionsPage, ClientError> {
        let path = paths::fill(paths::PROJECTION_PARTITIONS, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }

    /// Tells a projection to fold nothing until it is resumed, on every node.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn pause_projection(&self, name: &str) -> Result<ProjectionStatus, ClientError> {
        let path = paths::fill(paths::PROJECTION_PAUSE, name);
        self.call(Call::new(Method::POST, &path, Repeat::Harmless)).await
    }

    /// Tells a projection to go on after a pause, and to try again where it is parked.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn resume_projection(&self, name: &str) -> Result<ProjectionStatus, ClientError> {
        let path = paths::fill(paths::PROJECTION_RESUME, name);
        self.call(Call::new(Method::POST, &path, Repeat::Harmless)).await
    }

    /// What a projection passed without folding it, on the answering node.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn projection_dead_letters(
        &self,
        name: &str,
        query: &ProjectionDeadLettersQuery,
    ) -> Result<ProjectionDeadLetters, ClientError> {
        let path = paths::fill(paths::PROJECTION_DEAD_LETTERS, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }

    /// Removes a projection with its states.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn remove_projection(&self, name: &str) -> Result<(), ClientError> {
        let path = paths::fill(paths::PROJECTION, name);
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }
}
