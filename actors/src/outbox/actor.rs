//! The outbox actor. It publishes, in order of position, what is committed and
//! not yet on the bus, while this node leads. Its cursor is never a guess: it
//! begins with what the bus says it holds, and after every failure, and now
//! and then when idle, it asks again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, future};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{sync::oneshot, task::JoinHandle};
use tracing::{debug, info, warn};
use weir_types::{
    GroupId, Planted, Position, Term, limits, planted,
    ports::{BusError, EventReader, Leadership, LeadershipWatch, Publisher},
};

use super::{
    RebuildError,
    cursor::{self, LastEvent, Resume},
};
use crate::observe::{OutboxPhase, OutboxSnapshot};

/// How often an idle outbox asks the bus whether it still holds what it held.
const AUDIT_EVERY: Duration = Duration::from_secs(10);
/// How often an outbox asks a bus that has diverged whether it was rebuilt.
const DIVERGED_PAUSE: Duration = Duration::from_secs(30);

pub(crate) enum Message {
    /// Leadership is this now.
    Leadership(Leadership),
    /// More is applied.
    Applied,
    /// Go on, if `round` is still the one that this was planned in.
    Step { round: u64 },
    /// Throw the bus's copy away and publish all of the log again.
    Rebuild(oneshot::Sender<Result<(), RebuildError>>),
}

#[derive(Clone)]
pub(crate) struct Arguments {
    pub(crate) group: GroupId,
    pub(crate) leadership: Arc<dyn LeadershipWatch>,
    pub(crate) reader: Arc<dyn EventReader>,
    pub(crate) publisher: Arc<dyn Publisher>,
    pub(crate) snapshot: Arc<Mutex<OutboxSnapshot>>,
}

pub(crate) struct State {
    args: Arguments,
    /// The term that this node leads in, if it does.
    term: Option<Term>,
    /// What the bus holds, once it has said so.
    published: Option<Position>,
    /// Failures in a row.
    failures: u32,
    /// Whether no step is planned but the audit's.
    idle: bool,
    round: u64,
    timer: Option<JoinHandle<()>>,
    /// Whether a [`Message::Applied`] is in the mailbox.
    told: Arc<AtomicBool>,
    forwarder: JoinHandle<()>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.forwarder.abort();
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }
}

pub(crate) struct OutboxActor;

impl Actor for OutboxActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let told = Arc::new(AtomicBool::new(false));
        let forwarder = tokio::spawn(forward(myself, args.clone(), Arc::clone(&told)));
        Ok(State {
            args,
            term: None,
            published: None,
            failures: 0,
            idle: true,
            round: 0,
            timer: None,
            told,
            forwarder,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Leadership(leadership) => state.on_leadership(&myself, leadership),
            Message::Applied => state.on_applied(&myself),
            Message::Step { round } if round == state.round => state.on_step(&myself).await,
            Message::Step { .. } => {}
            Message::Rebuild(answer) => state.on_rebuild(&myself, answer).await,
        }
        Ok(())
    }
}

/// Turns changes into messages; of applied positions at most one is in the mailbox.
async fn forward(actor: ActorRef<Message>, args: Arguments, told: Arc<AtomicBool>) {
    let leadership = args.leadership.changes().map(|leadership| Some(Message::Leadership(leadership)));
    let applied = args.reader.applied_changes(args.group).map(move |_| {
        let first = !told.swap(true, Ordering::AcqRel);
        first.then_some(Message::Applied)
    });
    let mut messages = futures::stream::select(leadership, applied).filter_map(future::ready).boxed();
    while let Some(message) = messages.next().await {
        if actor.send_message(message).is_err() {
            return;
        }
    }
}

impl State {
    fn on_leadership(&mut self, myself: &ActorRef<Message>, leadership: Leadership) {
        let term = leadership.decides.then_some(leadership.term);
        if term == self.term {
            return;
        }
        self.term = term;
        self.published = None;
        self.failures = 0;
        match term {
            Some(_) => {
                self.show(|snapshot| snapshot.phase = OutboxPhase::Resuming);
                self.plan(myself, Duration::ZERO);
            }
            None => {
                self.round += 1;
                self.show(|snapshot| {
                    *snapshot = OutboxSnapshot {
                        phase: OutboxPhase::Inactive,
                        connected: false,
                        last_error: None,
                        ..snapshot.clone()
                    }
                });
            }
        }
    }

    fn on_applied(&mut self, myself: &ActorRef<Message>) {
        self.told.store(false, Ordering::Release);
        let applied = self.args.reader.applied(self.args.group);
        self.show(|snapshot| snapshot.applied = applied);
        if self.idle && self.term.is_some() && self.published.is_some_and(|published| published < applied) {
            self.plan(myself, Duration::ZERO);
        }
    }

    async fn on_step(&mut self, myself: &ActorRef<Message>) {
        let leadership = self.args.leadership.current();
        if self.term.is_none() || !leadership.decides || self.term != Some(leadership.term) {
            // The change is on its way as a message, unless it is taken back before anybody sees it.
            if self.term.is_some() {
                self.plan(myself, AUDIT_EVERY);
            }
            return;
        }
        let done = match self.published {
            // An audit: what was published is asked for like after a failure.
            Some(published) if published >= self.goal() => self.resume().await,
            Some(published) => self.publish(published).await,
            None => self.resume().await,
        };
        match done {
            Ok(published) => self.on_published(myself, published),
            Err(error) => self.on_failure(myself, error),
        }
    }

    /// The position up to which everything is to be published.
    fn goal(&self) -> Position {
        let applied = self.args.reader.applied(self.args.group);
        if planted(Planted::OutboxLeavesOutTheLast) { Position(applied.0.saturating_sub(1)) } else { applied }
    }

    /// Asks the bus what it holds.
    async fn resume(&mut self) -> Result<Position, Failure> {
        let Arguments { group, publisher, reader, .. } = &self.args;
        let (mut published, applied) = (publisher.published(*group).await?, reader.applied(*group));
        if planted(Planted::OutboxGuessesItsCursor) {
            published = applied;
        }
        let last = match published {
            Position::ZERO => LastEvent { on_bus: None, in_log: None },
            _ if published > applied => LastEvent { on_bus: None, in_log: None },
            _ => LastEvent {
                on_bus: publisher.event_at(*group, published).await?,
                in_log: reader.read_log(*group, published, 1).await?.first().map(|event| event.id),
            },
        };
        match cursor::resume(published, applied, last) {
            Resume::Diverged(reason) => Err(BusError::Diverged { reason }.into()),
            Resume::After(position) => Ok(position),
        }
    }

    /// Publishes one batch.
    async fn publish(&mut self, after: Position) -> Result<Position, Failure> {
        let Arguments { group, publisher, reader, .. } = &self.args;
        let events = reader.read_log(*group, after.next(), limits::OUTBOX_BATCH_MAX).await?;
        let published = match events.is_empty() {
            true => after,
            false => publisher.publish(*group, after, &events).await?,
        };
        self.show(|snapshot| {
            snapshot.events += published.0.saturating_sub(after.0);
            snapshot.batches += 1;
        });
        Ok(published)
    }

    fn on_published(&mut self, myself: &ActorRef<Message>, published: Position) {
        if self.failures > 0 {
            info!(group = self.args.group.0, published = published.0, "outbox publishes again");
        }
        self.failures = 0;
        self.published = Some(published);
        let applied = self.goal();
        self.show(|snapshot| {
            snapshot.phase = OutboxPhase::Publishing;
            snapshot.connected = true;
            snapshot.published = published;
            snapshot.applied = applied;
            snapshot.last_error = None;
        });
        match published < applied {
            true => self.plan(myself, Duration::ZERO),
            false => {
                self.plan(myself, AUDIT_EVERY);
                self.idle = true;
            }
        }
    }

    fn on_failure(&mut self, myself: &ActorRef<Message>, failure: Failure) {
        self.failures += 1;
        if !planted(Planted::OutboxKeepsItsCursor) {
            self.published = None;
        }
        let (group, reason) = (self.args.group.0, failure.to_string());
        let diverged = matches!(failure, Failure::Bus(BusError::Diverged { .. }));
        match self.failures {
            1 => warn!(group, %reason, diverged, "outbox is held up"),
            _ => debug!(group, %reason, diverged, failures = self.failures, "outbox is still held up"),
        }
        self.show(|snapshot| {
            snapshot.phase = if diverged { OutboxPhase::Diverged } else { OutboxPhase::Waiting };
            snapshot.connected = diverged;
            snapshot.errors += 1;
            snapshot.last_error = Some(reason);
        });
        let pause = match diverged {
            true => DIVERGED_PAUSE,
            false => cursor::backoff(self.failures, self.term.map_or(0, |term| term.0)),
        };
        self.plan(myself, pause);
    }

    async fn on_rebuild(
        &mut self,
        myself: &ActorRef<Message>,
        answer: oneshot::Sender<Result<(), RebuildError>>,
    ) {
        let leadership = self.args.leadership.current();
        if !leadership.decides || self.term.is_none() {
            let _gone = answer.send(Err(RebuildError::NotLeader { leader: leadership.leader }));
            return;
        }
        self.published = None;
        let reset = self.args.publisher.reset(self.args.group).await;
        if reset.is_ok() {
            info!(group = self.args.group.0, "outbox publishes the log again from its start");
            self.failures = 0;
            self.show(|snapshot| {
                snapshot.phase = OutboxPhase::Resuming;
                snapshot.published = Position::ZERO;
            });
        }
        self.plan(myself, Duration::ZERO);
        let _gone = answer.send(reset.map_err(RebuildError::Bus));
    }

    /// Plans the next step, in place of the one that was planned.
    fn plan(&mut self, myself: &ActorRef<Message>, pause: Duration) {
        self.round += 1;
        self.idle = false;
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
        let (myself, round) = (myself.clone(), self.round);
        if pause.is_zero() {
            // The actor is running, so its mailbox is open.
            let _open = myself.send_message(Message::Step { round });
            return;
        }
        self.timer = Some(tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _stopped = myself.send_message(Message::Step { round });
        }));
    }

    fn show(&self, change: impl FnOnce(&mut OutboxSnapshot)) {
        change(&mut self.args.snapshot.lock().expect("no holder of the lock panics"));
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Log(#[from] weir_types::ReadError),
}
