use std::{sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{sync::oneshot, task::AbortHandle, time::Instant};
use tracing::{debug, info, warn};
use weir_types::{LogIndex, Planted, Position, ProjectionDefinition, ProjectionId, RecordedEvent, planted};

use super::{
    brake::{Brake, Hold},
    fold::{Fold, Folded},
    follow::{Follow, FollowError, Stores},
    progress::{Progress, ProgressSender},
    supervisor::{Message as SupervisorMessage, ProjectionsArguments},
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
        let Arguments { stands_on, id, definition, progress, resumed, brake, before, supervisor } = arguments;
        let kind = definition.kind;
        let upcasts = stands_on.upcasting.as_of(id.deployed).await?;
        let fold = Fold::start(&stands_on, id.clone(), definition, upcasts, resumed).await?;
        let ProjectionsArguments { group, reader, views, feed, .. } = stands_on;
        let mut checkpoint = fold.settle(views.checkpoint(group, &id).await?).await?;
        if planted(Planted::FoldedTwiceAfterRestart) {
            checkpoint.position = Position(checkpoint.position.0.saturating_sub(1));
        }
        checkpoint.parked = checkpoint.parked.filter(|parked| parked.resumed >= resumed);
        progress.send_replace(Progress::new(checkpoint.clone()));
        let mut state = State {
            id: id.clone(),
            fold: None,
            progress,
            follow: None,
            brake,
            before,
            held: None,
            supervisor,
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

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Batch { events, reply } => state.on_batch(events, reply).await,
            Message::TakeOver => state.take_over().await,
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
        Ok(())
    }
}

impl State {
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

    fn on_ended(&mut self, result: Result<(), FollowError>) -> Result<(), ActorProcessingErr> {
        debug!(projection = %self.id.name, ?result, "projection stopped following");
        match result {
            // Without a log to follow the node is ending.
            Ok(()) | Err(FollowError::Unwatched) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
