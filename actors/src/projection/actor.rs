use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{sync::oneshot, task::AbortHandle};
use tracing::{debug, warn};
use weir_types::{
    GroupId, LogIndex, Planted, Position, ProjectionDefinition, ProjectionId, RecordedEvent, planted,
    ports::{EventReader, Feed, ViewStore},
};

use super::{
    fold::{Fold, Folded},
    follow::{Follow, FollowError, Stores},
    progress::{Progress, ProgressSender},
};
use crate::reducer::ReducerLimits;

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
    /// The task that brings events ended.
    Ended(Result<(), FollowError>),
}

/// What the actor starts with.
pub(super) struct Arguments {
    pub(super) group: GroupId,
    pub(super) id: ProjectionId,
    pub(super) definition: Arc<ProjectionDefinition>,
    pub(super) reader: Arc<dyn EventReader>,
    pub(super) views: Arc<dyn ViewStore>,
    pub(super) feed: Option<Arc<dyn Feed>>,
    pub(super) limits: ReducerLimits,
    pub(super) progress: Arc<ProgressSender>,
    /// When the projection was told to go on last: what is parked since before tries again.
    pub(super) resumed: LogIndex,
}

/// What the actor holds: nothing that is not in the store, except the engine.
pub(super) struct State {
    id: ProjectionId,
    fold: Option<Fold>,
    progress: Arc<ProgressSender>,
    follow: Option<AbortHandle>,
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
        let Arguments { group, id, definition, reader, views, feed, limits, progress, resumed } = arguments;
        let mut checkpoint = views.checkpoint(group, &id).await?;
        if planted(Planted::FoldedTwiceAfterRestart) {
            checkpoint.position = Position(checkpoint.position.0.saturating_sub(1));
        }
        checkpoint.parked = checkpoint.parked.filter(|parked| parked.resumed >= resumed);
        progress.send_replace(Progress::new(checkpoint.clone()));
        if checkpoint.parked.is_some() {
            return Ok(State { id, fold: None, progress, follow: None });
        }
        let fold = Fold::start(group, id.clone(), definition, views, limits, resumed)?;
        let stores = Stores { group, id: id.clone(), reader, feed, progress: progress.clone() };
        let follow = Follow::new(stores, myself.clone(), checkpoint.position);
        let following = tokio::spawn(follow.run());
        let follow = following.abort_handle();
        tokio::spawn(async move {
            let result = match following.await {
                Ok(result) => result,
                Err(error) if error.is_cancelled() => return,
                Err(error) => Err(FollowError::Panicked(error.to_string())),
            };
            // An actor that is gone needs no word of it.
            drop(myself.cast(Message::Ended(result)));
        });
        Ok(State { id, fold: Some(fold), progress, follow: Some(follow) })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Batch { events, reply } => state.on_batch(events, reply).await,
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
        let Some(fold) = &self.fold else { return Ok(()) };
        let events = Arc::new(events);
        let mut done = 0;
        while done < events.len() {
            let checkpoint = self.progress.borrow().checkpoint.clone();
            let rest = if done == 0 { events.clone() } else { Arc::new(events[done..].to_vec()) };
            if planted(Planted::CheckpointToldEarly) {
                let last = events[events.len() - 1].position;
                self.progress.send_modify(|progress| progress.checkpoint.position = last);
            }
            let folded = fold.step(&checkpoint, rest).await?;
            done += folded.passed;
            let parked = folded.checkpoint.parked.clone();
            let Folded { checkpoint, unkeyed, changed, .. } = folded;
            self.progress.send_modify(|progress| progress.advance(checkpoint, unkeyed, changed));
            if let Some(parked) = parked {
                let error = parked.event.to_string();
                warn!(projection = %self.id.name, deployed = %self.id.deployed, error, "projection parked");
                self.fold = None;
                return Ok(());
            }
        }
        // The task that asked may have been stopped; the checkpoint stands all the same.
        let _ = reply.send(self.progress.borrow().checkpoint.position);
        Ok(())
    }

    fn on_ended(&mut self, result: Result<(), FollowError>) -> Result<(), ActorProcessingErr> {
        debug!(projection = %self.id.name, ?result, "projection stopped following");
        match result {
            Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
