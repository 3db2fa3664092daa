use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{sync::oneshot, task::AbortHandle, time::Instant};
use tracing::{debug, info, warn};
use weir_types::{
    LogIndex, Planted, Position, ProjectionDefinition, ProjectionId, RecordedEvent, planted,
    ports::ViewChange,
};

use super::{
    brake::{Brake, Hold},
    dry_run::StepError,
    fold::{Fold, Folded},
    follow::{Follow, FollowError, Stores},
    partition::failing,
    partition_rebuilds::{HandOver, Handed, PartitionProgress, PartitionRebuilds},
    progress::{Progress, ProgressSender},
    supervisor::{Message as SupervisorMessage, PartitionsOfChild, ProjectionsArguments},
};

/// From how near to the generation before that one is stopped until it is reached.
const NEAR_EVENTS: u64 = 4_000;
/// How long it is stopped for at most, each time.
const HOLD_MAX: Duration = Duration::from_secs(3);
/// With less than this left a hold is made anew.
const HOLD_MIN: Duration = Duration::from_secs(1);
/// How long it is stopped for once another answers.
const HOLD_AFTER: Duration = Duration::from_secs(60);

/// Folds one deployment of a projection on this node.
///
/// It owns the checkpoint. A task beside it brings the events, one batch at a
/// time: it sends the next when the last one is stored.
pub(super) struct ProjectionActor;

/// What the actor is told.
pub(super) enum Message {
    /// Events that follow the checkpoint without a hole.
    Batch {
        /// The events; at least one.
        events: Vec<RecordedEvent>,
        /// Where the checkpoint is then. Dropped unanswered when the projection is parked.
        reply: oneshot::Sender<Position>,
    },
    /// It may be time to answer in the place of the generation before.
    TakeOver,
    /// A rebuild of one partition is near, or failed.
    Replace {
        /// What came of it.
        what: Handed,
        /// How it ended. Dropped unanswered when the projection is to end.
        reply: oneshot::Sender<HandOver>,
    },
    /// The task that brings events ended.
    Ended(Result<(), FollowError>),
}

/// What the actor starts with.
pub(super) struct Arguments {
    pub(super) stands_on: ProjectionsArguments,
    pub(super) id: ProjectionId,
    pub(super) definition: Arc<ProjectionDefinition>,
    pub(super) progress: Arc<ProgressSender>,
    /// When the projection was told to go on last: what is parked since before tries again.
    pub(super) resumed: LogIndex,
    pub(super) brake: Arc<Brake>,
    /// What answers until this generation has caught up with it.
    pub(super) before: Option<Predecessor>,
    /// Rebuilds of single partitions that are to be done, and how far they are.
    pub(super) partitions: PartitionsOfChild,
    /// Told when it answers from now on.
    pub(super) supervisor: ActorRef<SupervisorMessage>,
}

/// The generation that answers until another has caught up with it.
#[derive(Clone)]
pub(super) struct Predecessor {
    pub(super) progress: Arc<ProgressSender>,
    pub(super) brake: Arc<Brake>,
}

impl Predecessor {
    fn position(&self) -> Position {
        self.progress.borrow().checkpoint.position
    }
}

/// What the actor holds: nothing that is not in the store, except the engine.
pub(super) struct State {
    id: ProjectionId,
    fold: Option<Fold>,
    progress: Arc<ProgressSender>,
    follow: Option<AbortHandle>,
    brake: Arc<Brake>,
    before: Option<Predecessor>,
    /// The generation before is stopped, for the last steps to where it is.
    held: Option<Hold>,
    supervisor: ActorRef<SupervisorMessage>,
    stands_on: ProjectionsArguments,
    partitions: PartitionsOfChild,
    /// The task that rebuilds partitions.
    rebuilding: Rebuilding,
}

/// Ends with the actor, however that ends: two of them would fold into one place.
struct Rebuilding(AbortHandle);

impl Drop for Rebuilding {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Actor for ProjectionActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Arguments { stands_on, id, definition, progress, resumed, brake, before, partitions, supervisor } =
            arguments;
        let kind = definition.kind;
        let upcasts = stands_on.upcasting.as_of(id.deployed).await?;
        let fold = Fold::start(&stands_on, id.clone(), definition.clone(), upcasts, resumed).await?;
        let ProjectionsArguments { group, reader, views, feed, .. } = stands_on.clone();
        let mut checkpoint = fold.settle(views.checkpoint(group, &id).await?).await?;
        if planted(Planted::FoldedTwiceAfterRestart) {
            checkpoint.position = Position(checkpoint.position.0.saturating_sub(1));
        }
        checkpoint.parked = checkpoint.parked.filter(|parked| parked.resumed >= resumed);
        let failed = progress.borrow().error.clone();
        progress.send_replace(Progress::new(checkpoint.clone()).after_failure(failed));
        let ended = views.partition_rebuild(group, &id).await?;
        partitions.progress.send_replace(PartitionProgress { ended, running: None });
        let rebuilds = PartitionRebuilds {
            stands_on: stands_on.clone(),
            id: id.clone(),
            definition,
            actor: myself.clone(),
            generation: progress.clone(),
            wanted: partitions.wanted.subscribe(),
            progress: partitions.progress.clone(),
        };
        let rebuilding = Rebuilding(tokio::spawn(rebuilds.run()).abort_handle());
        let mut state = State {
            id: id.clone(),
            fold: None,
            progress,
            follow: None,
            brake,
            before,
            held: None,
            supervisor,
            stands_on,
            partitions,
            rebuilding,
        };
        if checkpoint.parked.is_some() {
            return Ok(state);
        }
        let progress = state.progress.clone();
        let stores = Stores { group, id: id.clone(), kind, reader, feed, progress: progress.clone() };
        let follow = Follow::new(stores, myself.clone(), checkpoint.position);
        let following = tokio::spawn(follow.run());
        state.follow = Some(following.abort_handle());
        state.fold = Some(fold);
        // The generation before may be behind this one already, and nothing new may come.
        myself.cast(Message::TakeOver)?;
        tokio::spawn(async move {
            let result = match following.await {
                Ok(result) => result,
                Err(error) if error.is_cancelled() => return,
                Err(error) => Err(FollowError::Panicked(error.to_string())),
            };
            // An actor that is gone needs no word of it.
            drop(myself.cast(Message::Ended(result)));
        });
        Ok(state)
    }

    async fn post_start(
        &self,
        _myself: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Not before: the supervisor waits until it is started, and a database outside may take its time.
        state.reach().await
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Batch { events, reply } => state.on_batch(events, reply).await,
            Message::TakeOver => state.take_over().await,
            Message::Replace { what, reply } => state.replace(what, reply).await,
            Message::Ended(result) => state.on_ended(result),
        }
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Message>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(follow) = state.follow.take() {
            follow.abort();
        }
        state.rebuilding.0.abort();
        Ok(())
    }
}

impl State {
    /// Finds the tables that it folds into. Fails where they lack what is stored here: it begins anew.
    async fn reach(&self) -> Result<(), ActorProcessingErr> {
        let stored = self.progress.borrow().checkpoint.clone();
        let Some(fold) = &self.fold else { return Ok(()) };
        if !fold.reach(&stored).await? {
            return Err("sink lacks what was folded: all is folded again".into());
        }
        self.progress.send_modify(Progress::works);
        Ok(())
    }

    async fn on_batch(
        &mut self,
        events: Vec<RecordedEvent>,
        reply: oneshot::Sender<Position>,
    ) -> Result<(), ActorProcessingErr> {
        let events = Arc::new(events);
        let mut done = 0;
        while done < events.len() {
            let Some(passed) = self.step(&events, done).await? else { return Ok(()) };
            done += passed;
            if self.is_parked() {
                (self.fold, self.held) = (None, None);
                return Ok(());
            }
            self.take_over().await?;
        }
        // The task that asked may have been stopped; the checkpoint stands all the same.
        let _ = reply.send(self.progress.borrow().checkpoint.position);
        Ok(())
    }

    /// Folds events from the one numbered `done` on, and gives how many; `None` when it is to end.
    async fn step(
        &mut self,
        events: &Arc<Vec<RecordedEvent>>,
        done: usize,
    ) -> Result<Option<usize>, ActorProcessingErr> {
        let Some(fold) = &self.fold else { return Ok(None) };
        let Some(permit) = self.brake.permit(events[done].position).await else { return Ok(None) };
        let end = events.partition_point(|event| event.position <= permit.upto);
        let part = match (done, end) {
            (0, end) if end == events.len() => events.clone(),
            (done, end) => Arc::new(events[done..end].to_vec()),
        };
        let checkpoint = self.progress.borrow().checkpoint.clone();
        if planted(Planted::CheckpointToldEarly) {
            let last = events[events.len() - 1].position;
            self.progress.send_modify(|progress| progress.checkpoint.position = last);
        }
        let began = Instant::now();
        let Folded { checkpoint, passed, unkeyed, changed } = fold.step(&checkpoint, part).await?;
        if let Some(parked) = &checkpoint.parked {
            let error = parked.event.to_string();
            warn!(projection = %self.id.name, deployed = %self.id.deployed, error, "projection parked");
        }
        let took = began.elapsed();
        self.progress.send_modify(|progress| {
            progress.recent.put(changed, checkpoint.position);
            progress.advance(checkpoint, unkeyed, took);
        });
        Ok(Some(passed))
    }

    fn is_parked(&self) -> bool {
        self.progress.borrow().checkpoint.parked.is_some()
    }

    /// Answers from now on, if it does not yet and is not behind what answers.
    ///
    /// The generation before is stopped meanwhile, so that it cannot be ahead
    /// when this one answers; it is let go when it is not caught up in time.
    async fn take_over(&mut self) -> Result<(), ActorProcessingErr> {
        let Some(fold) = &self.fold else { return Ok(()) };
        let mine = self.progress.borrow().checkpoint.clone();
        if mine.serves {
            return Ok(());
        }
        if let Some(before) = &self.before
            && !planted(Planted::SwapBeforeCaughtUp)
        {
            if before.position().0 > mine.position.0.saturating_add(NEAR_EVENTS) {
                self.held = None;
                return Ok(());
            }
            if self.held.as_ref().is_none_or(|hold| !hold.stands_for(HOLD_MIN)) {
                self.held = None;
                self.held = Some(before.brake.hold(|| before.position(), HOLD_MAX).await);
            }
            if self.held.as_ref().is_some_and(|hold| hold.position() > mine.position) {
                return Ok(());
            }
        }
        let checkpoint = fold.serve(&mine).await?;
        if let Some(hold) = &mut self.held {
            // The supervisor stops it for good; until then nobody may see it go further.
            hold.extend(HOLD_AFTER);
            info!(projection = %self.id.name, deployed = %self.id.deployed, position = %mine.position, "projection answers from a new generation");
        }
        self.progress.send_modify(|progress| progress.checkpoint = checkpoint);
        // Who follows the generation before is told by its end that another answers.
        self.before = None;
        // A supervisor that is gone has stopped everything.
        drop(self.supervisor.cast(SupervisorMessage::Reconcile));
        Ok(())
    }

    /// Puts what was folded of one partition in the place of what answers, with the checkpoint that is so then. It is
    /// folded on to exactly there first: between two steps nobody else folds.
    async fn replace(
        &mut self,
        what: Handed,
        reply: oneshot::Sender<HandOver>,
    ) -> Result<(), ActorProcessingErr> {
        let mine = self.progress.borrow().checkpoint.clone();
        let brake = self.brake.clone();
        // Who holds it to look at it sees one state.
        let Some(_permit) = brake.permit(mine.position.next()).await else { return Ok(()) };
        let change = match what {
            // It was given up while it waited.
            what if !self.partitions.wants(what.rebuild()) => {
                drop(reply.send(HandOver::Done));
                return Ok(());
            }
            Handed::Fault(rebuild, reason) => failing(&mine, &rebuild, reason),
            Handed::Fold(fold) if !fold.is_near(mine.position) => {
                drop(reply.send(HandOver::Behind(fold)));
                return Ok(());
            }
            Handed::Fold(mut fold) => match fold.replacement(&mine).await {
                Ok(change) => change,
                Err(StepError::Parked(event)) => failing(&mine, &fold.rebuild, event.to_string()),
                Err(StepError::Failed(reason)) => {
                    drop(reply.send(HandOver::Failed(reason)));
                    return Ok(());
                }
            },
        };
        self.take(change).await?;
        // Whoever asked may have been stopped; what is stored stands all the same.
        drop(reply.send(HandOver::Done));
        Ok(())
    }

    /// Stores the end of a rebuild of one partition, and folds on from what is stored.
    async fn take(&mut self, change: ViewChange) -> Result<(), ActorProcessingErr> {
        let (checkpoint, end) =
            (change.checkpoint.clone(), change.rebuilt.as_ref().map(|one| one.end.clone()));
        let ProjectionsArguments { group, views, .. } = &self.stands_on;
        views.commit(*group, &self.id, change).await?;
        if let Some(fold) = &mut self.fold {
            fold.forget_states();
        }
        info!(projection = %self.id.name, deployed = %self.id.deployed, ?end, "rebuild of a partition ended");
        self.progress.send_modify(|progress| progress.checkpoint = checkpoint);
        self.partitions.progress.send_replace(PartitionProgress { ended: end, running: None });
        Ok(())
    }

    fn on_ended(&mut self, result: Result<(), FollowError>) -> Result<(), ActorProcessingErr> {
        debug!(projection = %self.id.name, ?result, "projection stopped following");
        match result {
            // Without a log to follow the node is ending.
            Ok(()) | Err(FollowError::Unwatched) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
