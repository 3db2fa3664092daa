use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use futures::StreamExt as _;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::{sync::watch, task::JoinHandle};
use tracing::{error, info, warn};
use weir_types::{
    Deployment, GroupId, LogIndex, PartitionRebuild, ProjectionDefinition, ProjectionId, ProjectionKind,
    ProjectionName, ReadError,
    ports::{Checkpoint, EventReader, Feed, TableStore, ViewChange, ViewStore},
};

use super::{
    actor::{Arguments as ActorArguments, Message as ActorMessage, Predecessor, ProjectionActor},
    brake::{Brake, Hold},
    dry_run::DryRuns,
    partition::generation_of,
    partition_rebuilds::PartitionProgress,
    past::Pasts,
    plan::{Plan, plan},
    progress::{Progress, ProgressSender},
};
use crate::{reducer::ReducerLimits, upcast::Upcasting};

/// After how long a projection that failed is started again, at first and at most.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(10);
/// How long a projection may take to stop; a fold step is bounded well below it.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// What the projections of a group stand on.
#[derive(Clone)]
pub struct ProjectionsArguments {
    /// The group.
    pub group: GroupId,
    /// The local log.
    pub reader: Arc<dyn EventReader>,
    /// Registry, views and checkpoints.
    pub views: Arc<dyn ViewStore>,
    /// The bus, if there is one. Without it, or while it fails, the local log is followed.
    pub feed: Option<Arc<dyn Feed>>,
    /// What leads events of older schema versions to the newest.
    pub upcasting: Arc<Upcasting>,
    /// Tables of projections, where they are kept.
    pub tables: Option<Arc<dyn TableStore>>,
    /// What each reducer may use.
    pub limits: ReducerLimits,
}

impl ProjectionsArguments {
    /// Drops all that is kept of a generation.
    pub(super) async fn forget(&self, id: &ProjectionId) -> Result<(), ReadError> {
        if let Some(tables) = &self.tables {
            tables.forget(id).await?;
        }
        self.views.forget(self.group, id).await
    }
}

/// Why the projections of a group did not start.
#[derive(Debug, thiserror::Error)]
#[error("projections do not start: {reason}")]
pub struct ProjectionsError {
    /// Why.
    pub reason: String,
}

/// The projections that run, as the handle sees them.
#[derive(Default)]
pub(super) struct Board {
    pub(super) rows: RwLock<BTreeMap<ProjectionName, Row>>,
    /// Rises when `rows` changes.
    pub(super) changes: watch::Sender<u64>,
    pub(super) dry_runs: Arc<DryRuns>,
    pub(super) pasts: Pasts,
    /// Projections that somebody outside holds to look at them.
    pub(super) holds: Mutex<BTreeMap<ProjectionName, (ProjectionId, Hold)>>,
    /// The registry command up to which `rows` are what is deployed.
    pub(super) reconciled: watch::Sender<LogIndex>,
}

/// One generation that is folded here.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) id: ProjectionId,
    pub(super) kind: ProjectionKind,
    pub(super) progress: Arc<ProgressSender>,
    pub(super) brake: Arc<Brake>,
    pub(super) partitions: Arc<watch::Sender<PartitionProgress>>,
}

/// Rebuilds of single partitions of one generation.
#[derive(Clone, Default)]
pub(super) struct PartitionsOfChild {
    /// What is to be done, oldest first.
    pub(super) wanted: Arc<watch::Sender<Vec<PartitionRebuild>>>,
    /// How far it is.
    pub(super) progress: Arc<watch::Sender<PartitionProgress>>,
}

impl PartitionsOfChild {
    /// Whether this one is to be done still.
    pub(super) fn wants(&self, one: &PartitionRebuild) -> bool {
        self.wanted.borrow().iter().any(|other| other.at == one.at)
    }
}

/// What a name stands for on this node.
#[derive(Clone)]
pub(super) struct Row {
    /// The first of the generations that succeed each other.
    pub(super) first: LogIndex,
    /// The generation that answers.
    pub(super) serving: Running,
    /// The one that is to take its place.
    pub(super) next: Option<Running>,
}

/// Keeps one projection actor per generation that answers on this node, and
/// per generation that is to answer.
///
/// What it does about each child:
/// - caught up with the one that answers: it answers, and that one goes;
/// - not in the registry any more: stopped, then its views and its place on the bus are dropped,
///   also when it left the registry while this node was down;
/// - failed (store or log not readable, or a bug): started again from its
///   stored checkpoint, after 100 ms and then ever longer, up to 10 s, for ever;
/// - parked: it is no failure; the actor stays and says why, until it is told to go on;
/// - paused: stopped, and its views stay.
///
/// It does not restart itself: its own failure is a bug, and ends in the log.
pub(super) struct ProjectionSupervisor;

/// What the supervisor is told.
pub(super) enum Message {
    /// The registry may have changed.
    Reconcile,
    /// A projection that failed is due again.
    Restart(ProjectionId),
}

/// The supervisor's children.
pub(super) struct State {
    arguments: ProjectionsArguments,
    board: Arc<Board>,
    children: HashMap<ProjectionId, Child>,
    watch: JoinHandle<()>,
}

struct Child {
    definition: Arc<ProjectionDefinition>,
    /// The first of the generations that it is one of.
    first: LogIndex,
    paused: bool,
    resumed: LogIndex,
    brake: Arc<Brake>,
    /// The generation that answers until this one has caught up.
    before: Option<ProjectionId>,
    progress: Arc<ProgressSender>,
    partitions: PartitionsOfChild,
    actor: Option<ActorRef<ActorMessage>>,
    /// It failed, and its restart is on the way.
    waits: bool,
    /// Failures since it last passed a position.
    failures: u32,
    failed_at: u64,
}

impl Actor for ProjectionSupervisor {
    type Msg = Message;
    type State = State;
    type Arguments = (ProjectionsArguments, Arc<Board>);

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (arguments, board): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut changes = arguments.views.registry_changes(arguments.group);
        let watch = tokio::spawn(async move {
            while changes.next().await.is_some() {
                if myself.cast(Message::Reconcile).is_err() {
                    return;
                }
            }
        });
        Ok(State { arguments, board, children: HashMap::new(), watch })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Reconcile => state.on_reconcile(&myself).await,
            Message::Restart(id) => state.on_restart(&myself, &id).await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(child, error) => {
                state.on_failed(&myself, &child, error.to_string())
            }
            SupervisionEvent::ActorTerminated(child, _, reason) => {
                let reason = reason.unwrap_or_else(|| "stopped".into());
                state.on_failed(&myself, &child, reason);
            }
            _ => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.watch.abort();
        for (_, mut child) in state.children.drain() {
            child.stop().await;
        }
        state.board.set(BTreeMap::new());
        Ok(())
    }
}

impl State {
    async fn on_reconcile(&mut self, myself: &ActorRef<Message>) {
        // Asked first: what is read next reflects at least this.
        let at = self.arguments.views.registry_at(self.arguments.group);
        let (planned, kept) = match self.planned_and_kept().await {
            Ok(both) => both,
            Err(error) => {
                warn!(group = %self.arguments.group, %error, "registry is not readable");
                myself.send_after(RESTART_MAX, || Message::Reconcile);
                return;
            }
        };
        let wanted: BTreeSet<_> = planned.iter().flat_map(|(_, plan)| plan.wanted().cloned()).collect();
        let mut gone: BTreeSet<_> = self.children.keys().cloned().chain(kept).collect();
        let is_beside = |id: &ProjectionId| {
            let of_partition = generation_of(id).is_some_and(|id| wanted.contains(&id));
            of_partition || self.board.dry_runs.is_scratch(id) || self.board.pasts.is_scratch(id)
        };
        gone.retain(|id| !wanted.contains(id) && !is_beside(id));
        for (one, plan) in &planned {
            self.reconcile_child(myself, one, &plan.serving, None).await;
            self.want_partitions(one, plan);
            if let Some(next) = &plan.next {
                self.reconcile_child(myself, one, next, Some(&plan.serving)).await;
            }
        }
        let mut stopped: Vec<_> = gone.iter().filter_map(|id| self.children.remove(id)).collect();
        self.publish(&planned);
        self.board.reconciled.send_replace(at);
        for child in &mut stopped {
            child.stop().await;
        }
        for id in gone {
            self.forget(myself, &id).await;
        }
    }

    /// Makes one child as it is deployed: new, paused, going on.
    async fn reconcile_child(
        &mut self,
        myself: &ActorRef<Message>,
        one: &Deployment,
        id: &ProjectionId,
        before: Option<&ProjectionId>,
    ) {
        let Deployment { paused, resumed, .. } = *one;
        if !self.children.contains_key(id)
            && let Some((_, definition)) = one.generations().find(|(known, _)| *known == id)
        {
            info!(projection = %id.name, deployed = %id.deployed, "projection starts");
            let child = Child::new(definition.clone(), one);
            if before.is_none() {
                self.note_serves(id, &child).await;
            }
            self.children.insert(id.clone(), child);
        }
        let Some(child) = self.children.get_mut(id) else { return };
        child.before = before.cloned();
        let told_again = child.resumed < resumed;
        let was_parked = child.progress.borrow().checkpoint.parked.is_some();
        // One that failed is tried again when its pause is over, or it is told to.
        child.waits &= !told_again;
        (child.paused, child.resumed) = (paused, resumed);
        if paused || (told_again && was_parked) {
            child.stop().await;
        }
        if paused {
            self.show_paused(id).await;
        } else if !child.waits {
            self.begin(myself, id).await;
        }
    }

    /// A generation that answers from its start on is one that serves, whether or not it ever folds here: it may be
    /// paused or parked, and one that is deployed later still has to catch up with it.
    async fn note_serves(&self, id: &ProjectionId, child: &Child) {
        let ProjectionsArguments { group, views, .. } = &self.arguments;
        let noted = async {
            let stored = views.checkpoint(*group, id).await?;
            if stored.serves {
                return Ok(());
            }
            let checkpoint = Checkpoint { serves: true, ..stored };
            views.commit(*group, id, ViewChange { checkpoint, ..ViewChange::default() }).await
        };
        match noted.await {
            Ok(()) => child.progress.send_modify(|progress| progress.checkpoint.serves = true),
            // Its actor does it when it is caught up, which fails as loudly.
            Err(error) => warn!(projection = %id.name, %error, "not noted yet that it answers"),
        }
    }

    /// Tells what answers which of its partitions are to be rebuilt. One that another generation is to follow waits for
    /// that one, which folds them anew if it began later.
    fn want_partitions(&self, one: &Deployment, plan: &Plan) {
        let Some(child) = self.children.get(&plan.serving) else { return };
        let all = one.partition_rebuilds.iter().filter(|_| plan.next.is_none());
        let wanted = all.filter(|rebuild| !rebuild.cancelled && rebuild.at > plan.serving.deployed);
        let wanted: Vec<_> = wanted.cloned().collect();
        child.partitions.wanted.send_if_modified(|standing| {
            let changed = *standing != wanted;
            *standing = wanted;
            changed
        });
    }

    /// A projection that does not run tells what it has folded.
    async fn show_paused(&self, id: &ProjectionId) {
        let Some(child) = self.children.get(id) else { return };
        match self.arguments.views.partition_rebuild(self.arguments.group, id).await {
            Ok(ended) => {
                child.partitions.progress.send_replace(PartitionProgress { ended, running: None });
            }
            Err(error) => {
                warn!(projection = %id.name, %error, "end of a partition's rebuild is not readable")
            }
        }
        match self.arguments.views.checkpoint(self.arguments.group, id).await {
            Ok(checkpoint) => drop(child.progress.send_replace(Progress::paused(checkpoint))),
            Err(error) => warn!(projection = %id.name, %error, "checkpoint is not readable"),
        }
    }

    /// What is deployed and follows the log, with what this node is to fold of it, and what it keeps.
    async fn planned_and_kept(&self) -> Result<(Vec<(Deployment, Plan)>, Vec<ProjectionId>), ReadError> {
        let ProjectionsArguments { group, views, .. } = &self.arguments;
        let mut deployed = views.deployments(*group).await?;
        deployed.retain(|one| one.definition.kind != ProjectionKind::Virtual);
        let kept = views.kept(*group).await?;
        let tables = match &self.arguments.tables {
            Some(tables) => tables.kept().await?,
            None => Vec::new(),
        };
        let mut serves = BTreeSet::new();
        for id in &kept {
            if views.checkpoint(*group, id).await?.serves {
                serves.insert(id);
            }
        }
        let planned = deployed.into_iter().map(|one| {
            let plan = plan(&one, |id| serves.contains(id), self.answers(&one));
            (one, plan)
        });
        let planned = planned.collect();
        Ok((planned, kept.into_iter().chain(tables).collect()))
    }

    /// The generation that answers here, of those that succeed each other in a deployment.
    fn answers(&self, one: &Deployment) -> Option<&ProjectionId> {
        let answers = |child: &Child| child.first == one.first && child.progress.borrow().checkpoint.serves;
        let ids = self.children.iter().filter(|(_, child)| answers(child)).map(|(id, _)| id);
        ids.max_by_key(|id| id.deployed)
    }

    async fn on_restart(&mut self, myself: &ActorRef<Message>, id: &ProjectionId) {
        if let Some(child) = self.children.get_mut(id) {
            child.waits = false;
            self.begin(myself, id).await;
        }
    }

    /// Starts its actor, unless it has one or is paused.
    async fn begin(&mut self, myself: &ActorRef<Message>, id: &ProjectionId) {
        let before = self.children.get(id).and_then(|child| self.children.get(child.before.as_ref()?));
        let before =
            before.map(|child| Predecessor { progress: child.progress.clone(), brake: child.brake.clone() });
        let Some(child) = self.children.get_mut(id) else { return };
        if child.actor.is_some() || child.paused {
            return;
        }
        let (definition, progress, resumed) =
            (child.definition.clone(), child.progress.clone(), child.resumed);
        let (id_of_actor, brake, supervisor) = (id.clone(), child.brake.clone(), myself.clone());
        let partitions = child.partitions.clone();
        brake.open();
        let arguments = ActorArguments {
            stands_on: self.arguments.clone(),
            id: id_of_actor,
            definition,
            progress,
            resumed,
            brake,
            before,
            partitions,
            supervisor,
        };
        match Actor::spawn_linked(None, ProjectionActor, arguments, myself.get_cell()).await {
            Ok((actor, _)) => child.actor = Some(actor),
            Err(error) => child.retry(myself, id, error.to_string()),
        }
    }

    fn on_failed(&mut self, myself: &ActorRef<Message>, failed: &ActorCell, reason: String) {
        let failed: ActorId = failed.get_id();
        let is_it = |child: &Child| child.actor.as_ref().is_some_and(|actor| actor.get_id() == failed);
        let Some((id, child)) = self.children.iter_mut().find(|(_, child)| is_it(child)) else { return };
        child.actor = None;
        child.retry(myself, id, reason);
    }

    /// Drops what is kept of a projection that is not deployed and does not run.
    async fn forget(&self, myself: &ActorRef<Message>, id: &ProjectionId) {
        let ProjectionsArguments { group, feed, .. } = &self.arguments;
        if let Err(error) = self.arguments.forget(id).await {
            self.keep_for_later(myself, id, &error);
        }
        if let Some(feed) = feed {
            // The bus drops a consumer that nobody uses by itself; this only makes it soon.
            let (feed, group, id) = (feed.clone(), *group, id.clone());
            tokio::spawn(async move {
                if let Err(error) = feed.unsubscribe(group, &id).await {
                    info!(projection = %id.name, %error, "consumer is left to expire");
                }
            });
        }
        info!(projection = %id.name, deployed = %id.deployed, "projection is gone");
    }

    /// Views that could not be dropped take room and do no harm.
    fn keep_for_later(&self, myself: &ActorRef<Message>, id: &ProjectionId, error: &ReadError) {
        warn!(projection = %id.name, %error, "views of a removed projection are not dropped yet");
        let (stands_on, id) = (self.arguments.clone(), id.clone());
        let alive = myself.get_cell();
        tokio::spawn(async move {
            while alive.get_status() < ractor::ActorStatus::Stopping {
                tokio::time::sleep(RESTART_MAX).await;
                if stands_on.forget(&id).await.is_ok() {
                    return;
                }
            }
        });
    }

    fn publish(&self, planned: &[(Deployment, Plan)]) {
        let running = |id: &ProjectionId| {
            let child = self.children.get(id)?;
            let (progress, brake) = (child.progress.clone(), child.brake.clone());
            let partitions = child.partitions.progress.clone();
            Some(Running { id: id.clone(), kind: child.definition.kind, progress, brake, partitions })
        };
        let row = |(one, plan): &(Deployment, Plan)| {
            let (serving, next) = (running(&plan.serving)?, plan.next.as_ref().and_then(running));
            Some((one.name.clone(), Row { first: one.first, serving, next }))
        };
        self.board.set(planned.iter().filter_map(row).collect());
    }
}

impl Board {
    fn set(&self, rows: BTreeMap<ProjectionName, Row>) {
        *self.rows.write().expect("no holder of the lock panics") = rows;
        self.changes.send_modify(|change| *change += 1);
    }
}

impl Child {
    fn new(definition: ProjectionDefinition, one: &Deployment) -> Self {
        Self {
            definition: Arc::new(definition),
            first: one.first,
            paused: false,
            resumed: one.resumed,
            brake: Arc::default(),
            before: None,
            progress: Arc::new(watch::channel(Progress::new(Checkpoint::default())).0),
            partitions: PartitionsOfChild::default(),
            actor: None,
            waits: false,
            failures: 0,
            failed_at: 0,
        }
    }

    fn retry(&mut self, myself: &ActorRef<Message>, id: &ProjectionId, reason: String) {
        let position = self.progress.borrow().checkpoint.position.0;
        if position > self.failed_at {
            self.failures = 0;
        }
        self.failed_at = position;
        let delay = (RESTART_FIRST * 2_u32.saturating_pow(self.failures.min(10))).min(RESTART_MAX);
        self.failures += 1;
        self.waits = true;
        let delay_ms = delay.as_millis();
        error!(projection = %id.name, position, reason, delay_ms, "projection failed, starts again");
        self.progress.send_modify(|progress| progress.error = Some(reason));
        let id = id.clone();
        myself.send_after(delay, move || Message::Restart(id));
    }

    /// Stops its actor. What that tells of its end is no failure: the child has no actor then.
    async fn stop(&mut self) {
        self.brake.close();
        if let Some(actor) = self.actor.take()
            && let Err(error) = actor.stop_and_wait(None, Some(STOP_PATIENCE)).await
        {
            warn!(%error, "projection did not stop in time");
            actor.kill();
        }
    }
}
