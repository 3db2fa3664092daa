use std::time::Duration;

use reqwest::Method;
use serde::de::IgnoredAny;
use weir_api::v1::{
    CatchupBatchBody, CatchupBatchResult, CatchupItem, CatchupQuery, ComparisonView, DeployBody,
    DeployResult, DiffQuery, DigestBody, DigestView, PartitionsPage, PartitionsQuery, PastPage,
    PastPageQuery, PastQuery, PastView, ProjectionDeadLetters, ProjectionDeadLettersQuery, ProjectionList,
    ProjectionStatus, ProjectionView, RebuildBody, RebuildJob, SqlBody, SqlResult, SwitchBody, ViewQuery,
    WaitForEventBody, WaitResult, paths,
};
use weir_types::limits;

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

    /// Folds a projection again beside what answers, on every node, all of it or one partition; or as a dry run, on
    /// the answering node.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`, `rebuild_conflict`, `invalid_request` for what cannot be exact.
    pub async fn rebuild_projection(
        &self,
        name: &str,
        body: &RebuildBody,
    ) -> Result<RebuildJob, ClientError> {
        let path = paths::fill(paths::PROJECTION_REBUILD, name);
        self.call(Call::new(Method::POST, &path, Repeat::OnlyIfNothingHappened).body(body)).await
    }

    /// How far a rebuild is, on the answering node.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`, `rebuild_conflict` when there was none.
    pub async fn rebuild_job(&self, name: &str) -> Result<RebuildJob, ClientError> {
        let path = paths::fill(paths::PROJECTION_REBUILD, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless)).await
    }

    /// Gives a rebuild up, or the answering node's dry run.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`, `rebuild_conflict` when none runs.
    pub async fn cancel_rebuild(&self, name: &str) -> Result<(), ClientError> {
        let path = paths::fill(paths::PROJECTION_CANCEL, name);
        let call = Call::new(Method::POST, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }

    /// Lets each of two names answer from what the other one did, in one step.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`.
    pub async fn switch_projections(&self, name: &str, with: &str) -> Result<ProjectionStatus, ClientError> {
        let (path, body) = (paths::fill(paths::PROJECTION_SWITCH, name), SwitchBody { with: with.into() });
        self.call(Call::new(Method::POST, &path, Repeat::OnlyIfNothingHappened).body(&body)).await
    }

    /// Compares two projections at one position, on the answering node.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`, `stale`.
    pub async fn diff_projections(
        &self,
        name: &str,
        query: &DiffQuery,
    ) -> Result<ComparisonView, ClientError> {
        let path = paths::fill(paths::PROJECTION_DIFF, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }

    /// Holds a projection on the answering node, or, with a position, tells its digest exactly there and lets it go.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`, `position_passed`, `stale`.
    pub async fn projection_digest(
        &self,
        name: &str,
        position: Option<u64>,
    ) -> Result<DigestView, ClientError> {
        let path = paths::fill(paths::PROJECTION_DIGEST, name);
        self.call(
            Call::new(Method::POST, &path, Repeat::OnlyIfNothingHappened).body(&DigestBody { position }),
        )
        .await
    }

    /// One partition as it was at a position or a time, on the answering node; while it is folded, how far that is.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`, `stale` for a position that is not applied, `projection_parked`,
    /// `overloaded`.
    pub async fn past_state(&self, name: &str, query: &PastQuery) -> Result<PastView, ClientError> {
        let path = paths::fill(paths::PROJECTION_PAST, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }

    /// A page of all partitions as they were at a position or a time.
    ///
    /// # Errors
    /// As [`Client::past_state`].
    pub async fn past_states(&self, name: &str, query: &PastPageQuery) -> Result<PastPage, ClientError> {
        let path = paths::fill(paths::PROJECTION_PAST_PARTITIONS, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
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

    /// Waits until a projection has folded a position, such as `last_position` of an append, on the node that answers.
    /// Not to have caught up `within` the time, 60 s at most, is no error.
    ///
    /// # Errors
    /// [`ClientError`]; `projection_not_found`, `projection_parked`, `overloaded`.
    pub async fn wait_for_projection(
        &self,
        name: &str,
        position: u64,
        within: Duration,
    ) -> Result<WaitResult, ClientError> {
        let path = paths::fill(paths::PROJECTION_CATCHUP, name);
        let query = CatchupQuery { min_seq: Some(position), timeout: Some(millis(within)), partition: None };
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(&query).wait(within)).await
    }

    /// As [`Client::wait_for_projection`] for up to 16 projections, each with its position, in one go.
    ///
    /// # Errors
    /// [`ClientError`]; `overloaded` when there is no room for all of them. What is wrong with one is its own.
    pub async fn wait_for_projections(
        &self,
        waits: &[(&str, u64)],
        within: Duration,
    ) -> Result<CatchupBatchResult, ClientError> {
        let item = |(name, position): &(&str, u64)| CatchupItem {
            name: (*name).to_owned(),
            min_seq: *position,
            partition: None,
        };
        let body =
            CatchupBatchBody { items: waits.iter().map(item).collect(), timeout_ms: Some(millis(within)) };
        let call = Call::new(Method::POST, paths::PROJECTIONS_CATCHUP, Repeat::Harmless).body(&body);
        self.call(call.wait(within)).await
    }

    /// Waits until a projection has folded an event, which may be one that the node does not know yet.
    ///
    /// # Errors
    /// As [`Client::wait_for_projection`], and `event_not_found`.
    pub async fn wait_for_event(
        &self,
        projection: &str,
        event_id: &str,
        within: Duration,
    ) -> Result<WaitResult, ClientError> {
        let body = WaitForEventBody {
            event_id: event_id.to_owned(),
            projection: projection.to_owned(),
            timeout_ms: Some(millis(within)),
            partition: None,
        };
        let call = Call::new(Method::POST, paths::PROJECTIONS_WAIT_FOR_EVENT, Repeat::Harmless).body(&body);
        self.call(call.wait(within)).await
    }

    /// Asks about the tables of projections on the answering node, in SQL.
    ///
    /// # Errors
    /// [`ClientError`]; `sql_invalid`, `projection_not_found`, `stale`, `overloaded`, `deadline_exceeded`.
    pub async fn sql(&self, body: &SqlBody) -> Result<SqlResult, ClientError> {
        // It may wait for the tables first, for about as long as a query may take.
        let within = Duration::from_millis(body.timeout_ms.unwrap_or(limits::SQL_QUERY_MS_MAX));
        let call = Call::new(Method::POST, paths::SQL, Repeat::Harmless).body(body);
        self.call(call.wait(within + Duration::from_millis(limits::SQL_QUERY_MS_MAX))).await
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

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
