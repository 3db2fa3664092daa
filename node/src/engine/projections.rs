//! Projections: deployed through the leader, read where they are folded, which is everywhere.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use weir_actors::{
    projection::ViewError,
    reducer::{inspect, inspect_tables},
};
use weir_api::{
    ApiError, ErrorCode,
    v1::{LastEvent, PartitionSearch, PartitionsPage, ProjectionStatus, ProjectionView, entity_tag},
};
use weir_types::{
    AppendError, BadEvent, Consistency, Deployment, PartitionKey, Planted, Position, ProjectionDefinition,
    ProjectionId, ProjectionKind, ProjectionName, ReadError, RegistryCommand, RegistryError, RegistryOutcome,
    SinkName, SqlError,
    limits::PARTITIONS_SCAN_MAX,
    planted,
    ports::{Checkpoint, Leadership, View},
};

use super::{Engine, inspected::inspected, read::Timer, rebuilds::runs};
use crate::workers::kind_conflict;

/// How long a read of a view waits for its position to be folded.
pub(super) const VIEW_PATIENCE: Duration = Duration::from_secs(5);
/// How often a status is read again because the registry changed under it.
const REGISTRIES_TRIED: usize = 8;
/// How long a deploy waits until this node folds it.
const DEPLOY_PATIENCE: Duration = Duration::from_secs(1);
/// Partitions that a search holds at once, each with its state.
const SEARCH_PAGE: usize = 32;
/// Schemas that SQLite has itself, beside which no projection's tables can be seen.
const OF_SQLITE: [&str; 2] = ["main", "temp"];

/// Where the partitions of a projection are.
enum Source<'a> {
    /// In the views of a generation.
    Deployed(ProjectionId),
    /// Where workers save them.
    Workers(&'a ProjectionName),
}

impl Engine {
    /// Checks a projection's source and deploys it on every node.
    ///
    /// # Errors
    /// `projection_invalid`, `projections_full`, or what an append may be refused with.
    pub async fn deploy(&self, source: &str) -> Result<(ProjectionId, ProjectionDefinition), ApiError> {
        let definition = declared(source.to_owned()).await?;
        self.check_tables(&definition).await?;
        self.must_not_be_worker_run(&definition.name).await?;
        match self.register(RegistryCommand::Deploy(definition.clone())).await? {
            RegistryOutcome::Deployed(id) => {
                // So that a read on this node after the answer is of this deployment. Where this node is
                // too far behind, it is deployed all the same.
                let deadline = Instant::now() + DEPLOY_PATIENCE;
                self.projections.reconciled(id.deployed, deadline).await;
                if definition.kind != ProjectionKind::Virtual {
                    self.projections.answers(&definition.name, &id, deadline).await;
                }
                Ok((id, definition))
            }
            RegistryOutcome::Refused(error) => Err(error.into()),
            RegistryOutcome::RulesRefused(error) => Err(error.into()),
            RegistryOutcome::Removed | RegistryOutcome::Changed | RegistryOutcome::RulesChanged(_) => {
                Err(ApiError::new(ErrorCode::Internal, "deploy was answered as another command"))
            }
        }
    }

    /// Refuses tables that could not be made.
    async fn check_tables(&self, definition: &ProjectionDefinition) -> Result<(), ApiError> {
        if definition.kind != ProjectionKind::Sql {
            return Ok(());
        }
        let invalid = |reason: String| ApiError::new(ErrorCode::ProjectionInvalid, reason);
        let name = definition.name.as_str();
        let is_taken = OF_SQLITE.iter().any(|taken| taken.eq_ignore_ascii_case(name));
        if is_taken && definition.sink.is_none() {
            return Err(invalid(format!(
                "a projection into tables cannot be called `{name}`, which SQL has itself"
            )));
        }
        let source = definition.source.clone();
        let inspect = move || inspect_tables(&source);
        let tables = inspected(ErrorCode::ProjectionInvalid, "tables", inspect).await?;
        let tables = tables.ok_or_else(|| invalid("`tables` is not exported".into()))?;
        match self.tables.check(&definition.name, tables).await {
            Ok(()) => Ok(()),
            Err(SqlError::Refused(reason)) if definition.sink.is_some() => Err(invalid(reason)),
            Err(SqlError::Refused(reason)) => {
                Err(invalid(format!("exported `tables` are not legal: {reason}")))
            }
            Err(other) => Err(ApiError::new(ErrorCode::Unavailable, other.to_string())),
        }
    }

    /// Removes a projection with its views.
    ///
    /// # Errors
    /// `projection_not_found`, or what an append may be refused with.
    pub async fn remove_projection(&self, name: ProjectionName) -> Result<(), ApiError> {
        match self.workers.is_registered(&name).await? {
            true => self.workers.unregister(&name).await,
            false => self.change_registry(RegistryCommand::Remove(name)).await,
        }
    }

    /// Tells a projection to fold nothing until it is resumed, on every node.
    ///
    /// # Errors
    /// `projection_not_found`, or what an append may be refused with.
    pub async fn pause_projection(&self, name: ProjectionName) -> Result<ProjectionStatus, ApiError> {
        if self.workers.is_registered(&name).await? {
            self.workers.pause(&name, true).await?;
            return self.projection(&name).await;
        }
        self.followed(&name).await?;
        self.change_registry(RegistryCommand::Pause(name.clone())).await?;
        self.status_where(&name, |one| one.paused).await
    }

    /// Tells a projection to go on, and to try again where it is parked, on every node.
    ///
    /// # Errors
    /// As [`Engine::pause_projection`].
    pub async fn resume_projection(&self, name: ProjectionName) -> Result<ProjectionStatus, ApiError> {
        if self.workers.is_registered(&name).await? {
            self.workers.pause(&name, false).await?;
            return self.projection(&name).await;
        }
        self.followed(&name).await?;
        self.change_registry(RegistryCommand::Resume(name.clone())).await?;
        self.status_where(&name, |one| !one.paused).await
    }

    /// The status once this node has applied what makes `holds` so. Where it is too far behind, it is as it is.
    pub(super) async fn status_where(
        &self,
        name: &ProjectionName,
        holds: impl Fn(&Deployment) -> bool,
    ) -> Result<ProjectionStatus, ApiError> {
        let deadline = Instant::now() + DEPLOY_PATIENCE;
        let mut changes = self.ports.views.registry_changes(self.group);
        while let Ok(Some(())) = timeout_at(deadline, changes.next()).await {
            if self.deployed(name).await.is_ok_and(|one| holds(&one)) {
                break;
            }
        }
        self.projections.reconciled(self.ports.views.registry_at(self.group), deadline).await;
        self.projection(name).await
    }

    /// Makes a change that has no answer of its own.
    pub(super) async fn change_registry(&self, command: RegistryCommand) -> Result<(), ApiError> {
        match self.register(command).await? {
            RegistryOutcome::Refused(error) => Err(error.into()),
            RegistryOutcome::RulesRefused(error) => Err(error.into()),
            RegistryOutcome::Removed
            | RegistryOutcome::Changed
            | RegistryOutcome::Deployed(_)
            | RegistryOutcome::RulesChanged(_) => Ok(()),
        }
    }

    /// Changes the registry through the leader; waits for one as an append does.
    pub(super) async fn register(&self, command: RegistryCommand) -> Result<RegistryOutcome, AppendError> {
        let deadline = Instant::now() + self.leader_wait;
        loop {
            let seen = self.ports.leadership.current();
            let refusal = match self.attempt_register(seen, command.clone()).await {
                Err(error @ (AppendError::NotLeader { .. } | AppendError::Unavailable { .. })) => error,
                result => return result,
            };
            if !self.leader_may_have_changed(seen, deadline).await {
                return Err(refusal);
            }
        }
    }

    async fn attempt_register(
        &self,
        seen: Leadership,
        command: RegistryCommand,
    ) -> Result<RegistryOutcome, AppendError> {
        match seen.leader {
            _ if seen.decides => self.ports.proposer.register(command).await,
            Some(leader) if leader != self.node => self.forward_register(leader, command).await,
            _ => Err(AppendError::Unavailable { reason: "none is known".to_owned() }),
        }
    }

    /// All projections, each with its status on this node.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn projections(&self) -> Result<Vec<ProjectionStatus>, ReadError> {
        self.statuses(None).await
    }

    /// The same, and all that workers fold.
    ///
    /// # Errors
    /// What either may meet.
    pub async fn all_projections(&self) -> Result<Vec<ProjectionStatus>, ApiError> {
        let mut all = self.projections().await?;
        all.extend(self.worker_statuses().await?);
        Ok(all)
    }

    /// One projection's status on this node.
    ///
    /// # Errors
    /// `projection_not_found`, or a [`ReadError`].
    pub async fn projection(&self, name: &ProjectionName) -> Result<ProjectionStatus, ApiError> {
        match self.statuses(Some(name)).await?.pop() {
            Some(status) => Ok(status),
            None => Ok(ProjectionStatus::of_worker(self.workers.progress(name).await?)),
        }
    }

    /// What is deployed and how far it is folded, together: what is replaced or
    /// removed in between has no checkpoint any more, and would look as if it began anew.
    async fn statuses(&self, wanted: Option<&ProjectionName>) -> Result<Vec<ProjectionStatus>, ReadError> {
        let mut all = Vec::new();
        for _ in 0..REGISTRIES_TRIED {
            let registry = self.ports.views.registry_at(self.group);
            let mut deployed = self.ports.views.deployments(self.group).await?;
            deployed.retain(|one| wanted.is_none_or(|name| one.name == *name));
            all.clear();
            for one in deployed {
                all.push(self.status_of(&one).await?);
            }
            if self.ports.views.registry_at(self.group) == registry || planted(Planted::StatusOfTwoMoments) {
                break;
            }
        }
        Ok(all)
    }

    /// One partition's state, once all that `consistency` asks for is folded here.
    ///
    /// # Errors
    /// `projection_not_found`, `stale`, or a [`ReadError`].
    pub async fn view(
        &self,
        name: &ProjectionName,
        partition: &PartitionKey,
        consistency: Consistency,
    ) -> Result<(ProjectionStatus, Option<View>), ApiError> {
        let _timer = Timer::start("view");
        let answer = self.projections.view(name, partition, consistency, VIEW_PATIENCE).await;
        if answer == Err(ViewError::Virtual) {
            return self.virtual_view(name, partition, consistency).await;
        }
        let answer = answer.map_err(refusal)?;
        let one = self.deployed(name).await?;
        must_have_states(&one, &answer.id)?;
        let applied = self.ports.reader.applied(self.group);
        // Of the generation that answered, whatever was deployed in between.
        let status = ProjectionStatus::of_generation(&one, &answer.id, &answer.checkpoint, applied);
        Ok((self.with_job(status, &one), answer.view))
    }

    /// One partition's state in its envelope, and the entity tag of that state.
    ///
    /// # Errors
    /// As [`Self::view`].
    pub async fn view_envelope(
        &self,
        name: &ProjectionName,
        partition: &PartitionKey,
        consistency: Consistency,
    ) -> Result<(String, ProjectionView), ApiError> {
        let (status, view) = match self.workers.is_registered(name).await? {
            true => self.worker_view(name, partition, consistency).await?,
            false => self.view(name, partition, consistency).await?,
        };
        let last = match &view {
            Some(view) => self.last_event(view.position).await?,
            None => None,
        };
        let tag = entity_tag(&status, view.as_ref());
        Ok((tag, ProjectionView::new(status, partition, view.as_ref().map(|view| (view, last)))))
    }

    async fn last_event(&self, position: Position) -> Result<Option<LastEvent>, ReadError> {
        let events = self.ports.reader.read_log(self.group, position, 1).await?;
        let event = events.first().filter(|event| event.position == position);
        Ok(event.map(|event| LastEvent { id: event.id, recorded_at: event.recorded_at }))
    }

    /// A page of a projection's partitions, in byte order of their keys. It looks at no more than
    /// [`PARTITIONS_SCAN_MAX`] of them, and is then cut where it is.
    ///
    /// # Errors
    /// `projection_not_found`, or a [`ReadError`].
    pub async fn partitions(
        &self,
        name: &ProjectionName,
        search: &PartitionSearch,
    ) -> Result<PartitionsPage, ApiError> {
        let source = match self.workers.is_registered(name).await? {
            true => Source::Workers(name),
            false => {
                let one = self.followed(name).await?;
                self.is_current(&one).await?;
                let id = self.answering(&one).await?;
                must_have_states(&one, &id)?;
                Source::Deployed(id)
            }
        };
        let (mut after, mut found, mut seen) = (search.after.clone(), Vec::new(), 0);
        if let Some(prefix) =
            search.prefix.as_ref().filter(|prefix| after.as_ref().is_none_or(|key| key < *prefix))
        {
            // What begins so follows the key that is the beginning itself.
            if search.takes(prefix)
                && let Some(view) = self.view_of(&source, prefix).await?
            {
                found.push((prefix.clone(), view.position, view.state.len()));
            }
            after = Some(prefix.clone());
        }
        while found.len() < search.limit && seen < PARTITIONS_SCAN_MAX {
            let page = self.views_of(&source, after.as_ref()).await?;
            let whole = page.len() < SEARCH_PAGE;
            for (key, view) in page {
                if search.ends_at(&key) {
                    return Ok(PartitionsPage::new(&found, None));
                }
                if found.len() == search.limit {
                    return Ok(PartitionsPage::new(&found, after.as_ref()));
                }
                if search.takes(&key) {
                    found.push((key.clone(), view.position, view.state.len()));
                }
                after = Some(key);
                seen += 1;
            }
            if whole {
                return Ok(PartitionsPage::new(&found, None));
            }
        }
        Ok(PartitionsPage::new(&found, after.as_ref()))
    }

    async fn view_of(&self, source: &Source<'_>, partition: &PartitionKey) -> Result<Option<View>, ApiError> {
        match source {
            Source::Deployed(id) => Ok(self.ports.views.view(self.group, id, partition).await?),
            Source::Workers(name) => self.workers.view(name, partition).await,
        }
    }

    /// Partitions after a key, [`SEARCH_PAGE`] at most.
    async fn views_of(
        &self,
        source: &Source<'_>,
        after: Option<&PartitionKey>,
    ) -> Result<Vec<(PartitionKey, View)>, ApiError> {
        let name = match source {
            Source::Deployed(id) => {
                return Ok(self.ports.views.views(self.group, id, after, SEARCH_PAGE).await?);
            }
            Source::Workers(name) => name,
        };
        let mut page = Vec::new();
        for key in self.workers.partitions(name, after, SEARCH_PAGE).await? {
            // Gone since: a rebuild has taken its place.
            let view = self.workers.view(name, &key).await?;
            page.push((key, view.unwrap_or(View { state: Bytes::new(), position: Position::ZERO })));
        }
        Ok(page)
    }

    /// What a projection passed without folding it, on this node, after a position; and how many there are in all.
    ///
    /// # Errors
    /// `projection_not_found`, or a [`ReadError`].
    pub async fn dead_letters(
        &self,
        name: &ProjectionName,
        after: Position,
        limit: usize,
    ) -> Result<(Vec<BadEvent>, u64), ApiError> {
        let id = self.answering(&self.followed(name).await?).await?;
        let total = self.ports.views.checkpoint(self.group, &id).await?.dead_letters;
        Ok((self.ports.views.dead_letters(self.group, &id, after, limit).await?, total))
    }

    /// Waits until what is read of a projection here is as new as its kind promises.
    async fn is_current(&self, one: &Deployment) -> Result<(), ApiError> {
        let promises = one.generations().any(|(_, definition)| definition.kind == ProjectionKind::Inline);
        match promises {
            true => self.projections.current(&one.name, VIEW_PATIENCE).await.map_err(refusal),
            false => Ok(()),
        }
    }

    pub(super) async fn deployed(&self, name: &ProjectionName) -> Result<Deployment, ApiError> {
        let all = self.ports.views.deployments(self.group).await?;
        match all.into_iter().find(|one| one.name == *name) {
            Some(found) => Ok(found),
            None if self.workers.is_registered(name).await? => Err(kind_conflict("workers")),
            None => Err(RegistryError::NotFound.into()),
        }
    }

    /// One that follows the log. What this node does not know, it may not have applied so far.
    pub(super) async fn followed(&self, name: &ProjectionName) -> Result<Deployment, ApiError> {
        let one = match self.deployed(name).await {
            Err(error) if error.code == ErrorCode::ProjectionNotFound => {
                self.ready(Consistency::Linearizable).await?;
                self.deployed(name).await?
            }
            known => known?,
        };
        match one.definition.kind {
            ProjectionKind::Virtual => Err(refusal(ViewError::Virtual)),
            ProjectionKind::Async | ProjectionKind::Inline | ProjectionKind::Sql => Ok(one),
        }
    }

    async fn status_of(&self, one: &Deployment) -> Result<ProjectionStatus, ReadError> {
        let applied = self.ports.reader.applied(self.group);
        if one.definition.kind == ProjectionKind::Virtual {
            return Ok(ProjectionStatus::of_virtual(one, applied));
        }
        let (id, checkpoint) = loop {
            let id = self.answering(one).await?;
            let checkpoint = self.folded(one, &id).await?;
            // One that another took over from in between has no checkpoint any more.
            if self.answering(one).await? == id || planted(Planted::StatusOfTwoMoments) {
                break (id, checkpoint);
            }
        };
        Ok(self.with_job(ProjectionStatus::of_generation(one, &id, &checkpoint, applied), one))
    }

    /// How far a generation is folded. What is stored of one that folds into tables is right once these were looked at,
    /// when its fold begins.
    async fn folded(&self, one: &Deployment, id: &ProjectionId) -> Result<Checkpoint, ReadError> {
        if kind_of(one, id) != ProjectionKind::Sql {
            return self.ports.views.checkpoint(self.group, id).await;
        }
        let folds = self.projections.status(&one.name).filter(|folds| folds.id == *id);
        Ok(folds.map(|folds| folds.checkpoint).unwrap_or_default())
    }

    /// The generation that answers for a name on this node, or will when the node has begun to fold.
    async fn answering(&self, one: &Deployment) -> Result<ProjectionId, ReadError> {
        if let Some(serving) = self.projections.serving(one) {
            return Ok(serving);
        }
        for (id, _) in one.generations() {
            if self.ports.views.checkpoint(self.group, id).await?.serves {
                return Ok(id.clone());
            }
        }
        Ok(one.id.clone())
    }

    /// The same, and how far the generation is that is to take its place.
    fn with_job(&self, status: ProjectionStatus, one: &Deployment) -> ProjectionStatus {
        let now = self.projections.status(&one.name);
        let failing = now.as_ref().and_then(|now| now.error.clone());
        let mut status = status.failing(failing);
        status.unkeyed_events = now.as_ref().map_or(0, |now| now.unkeyed);
        if let Some(next) = now.as_ref().and_then(|now| now.next.as_ref())
            && let Some(parked) = &next.checkpoint.parked
        {
            status = status.before_a_parked(&next.id, &parked.event);
        }
        let job = now.as_ref().filter(|now| now.next.is_some()).and_then(|now| self.job_of(one, Some(now)));
        match job {
            Some(job) => status.rebuilding(job),
            None => match self.partition_job(one, now.as_ref()).filter(runs) {
                Some(job) => status.rebuilding_partition(job),
                None => status,
            },
        }
    }
}

/// What a source declares.
async fn declared(source: String) -> Result<ProjectionDefinition, ApiError> {
    inspected(ErrorCode::ProjectionInvalid, "projection", move || inspect(&source)).await
}

/// The kind of a generation.
pub(super) fn kind_of(one: &Deployment, id: &ProjectionId) -> ProjectionKind {
    let found = one.generations().find(|(generation, _)| *generation == id);
    found.map_or(one.definition.kind, |(_, definition)| definition.kind)
}

/// The sink that a generation folds into.
pub(super) fn sink_of<'a>(one: &'a Deployment, id: &ProjectionId) -> Option<&'a SinkName> {
    let found = one.generations().find(|(generation, _)| *generation == id);
    found.map_or(one.definition.sink.as_ref(), |(_, definition)| definition.sink.as_ref())
}

/// What is folded into tables is asked in SQL.
pub(super) fn must_have_states(one: &Deployment, id: &ProjectionId) -> Result<(), ApiError> {
    match kind_of(one, id) {
        ProjectionKind::Async | ProjectionKind::Inline | ProjectionKind::Virtual => Ok(()),
        ProjectionKind::Sql => {
            let name = &one.name;
            Err(ApiError::invalid(format!("projection `{name}` folds into tables, which are asked in SQL")))
        }
    }
}

/// Why a view is not given, as the edges say it.
pub(crate) fn refusal(error: ViewError) -> ApiError {
    let message = error.to_string();
    match error {
        ViewError::NotFound => RegistryError::NotFound.into(),
        ViewError::Virtual => ApiError::new(ErrorCode::ProjectionVirtual, message),
        ViewError::Stale { wanted, folded } => {
            ApiError::new(ErrorCode::Stale, message).with("wanted", wanted.0).with("applied", folded.0)
        }
        ViewError::Parked { wanted, folded, event } => ApiError::new(ErrorCode::Stale, message)
            .with("wanted", wanted.0)
            .with("applied", folded.0)
            .with("parked", event.to_string()),
        ViewError::Paused { wanted, folded } => ApiError::new(ErrorCode::ProjectionPaused, message)
            .with("wanted", wanted.0)
            .with("applied", folded.0),
        ViewError::Read(error) => error.into(),
    }
}
