use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_types::{
    ConsumerGroup, ConsumerStatus, ConsumerTerms, FilterText, Pattern, Position, ReadError, RecordedEvent,
    Selector, Settlement, Slow, SubscribeRequest, SubscriptionStart, Timestamp, Verdict, limits,
    ports::Clock,
};

use super::{
    dispatcher::{Delivery, Dispatcher, DispatcherCounts, Told, Writing},
    ledger::Ledger,
};
use crate::live::{EndReason, Frame, Hub, NotSubscribed, Subscriber};

/// Who asks may wait in line.
const LINE_MAX: usize = 1_024;
/// How often a quiet log moves a checkpoint on.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long who does not want to wait waits at a desk that has just been opened.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// After a subscription that was not to be had.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// The same where somebody has to mend it: an event cannot be read as one of the newest schema version, or this version
/// of Weir does not know the group's filter.
const MEND_PAUSE: Duration = Duration::from_secs(2);

/// Why a desk is of no use any more: the node leads no longer, or it stops. Whoever asks the leader again is served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("consumer group is not served here any more: {0}")]
pub struct DeskEnded(pub String);

/// Writes for one desk, so that a desk of another leader can not.
#[async_trait]
pub trait DeskStore: Send + Sync {
    /// Writes all of it, on a quorum.
    ///
    /// # Errors
    /// [`DeskEnded`]; what was written is not known then, and the desk must end.
    async fn write(&self, writing: Writing) -> Result<(), DeskEnded>;

    /// Whether this node still leads as it did when the desk was opened. It may be wrong for a moment.
    fn leads(&self) -> bool;
}

/// How long verdicts about what a new desk has not read yet may wait for it.
const PARK_MAX: Duration = Duration::from_secs(2);

/// What a desk begins with.
pub struct DeskStart {
    /// A number that no other desk has had.
    pub number: u64,
    /// The group.
    pub group: ConsumerGroup,
    /// Its ledger, as of now.
    pub ledger: Ledger,
    /// Events that the ledger names as replayed.
    pub replayed: Vec<RecordedEvent>,
    /// What writes for it.
    pub store: Arc<dyn DeskStore>,
    /// Where the pattern is subscribed to.
    pub hub: Hub,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// A verdict about one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// The event's position.
    pub position: Position,
    /// Of which delivery; of the newest without it.
    pub attempt: Option<u32>,
    /// Of which desk's; of this one's without it.
    pub desk: Option<u64>,
    /// What is said.
    pub verdict: Verdict,
}

/// Who serves a consumer group. Clones are the same; it ends with the last.
#[derive(Clone)]
pub struct Desk {
    asks: mpsc::Sender<Ask>,
    number: u64,
}

enum Ask {
    Pull(Pull),
    Settle(Vec<Settle>, oneshot::Sender<Vec<Settlement>>),
    Replay(Vec<RecordedEvent>, oneshot::Sender<u64>),
    Counts(oneshot::Sender<DispatcherCounts>),
    TakeBack(Vec<Delivery>),
    Change(ConsumerTerms, ConsumerStatus, Option<FilterText>, oneshot::Sender<()>),
}

struct Pull {
    most: usize,
    until: Instant,
    answer: oneshot::Sender<Vec<Delivery>>,
}

impl Desk {
    /// Opens a desk, and gives the task that serves it, to be spawned.
    #[must_use]
    pub fn open(start: DeskStart) -> (Self, BoxFuture<'static, ()>) {
        let (sender, asks) = mpsc::channel(LINE_MAX);
        let number = start.number;
        let server = Server::new(start, asks);
        (Self { asks: sender, number }, server.run().boxed())
    }

    /// The number that no other desk has had.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Takes back what was pulled and given to nobody, as if it had not been handed out. A desk that is busy or over
    /// does not: then its time runs out.
    pub fn take_back(&self, unheard: Vec<Delivery>) {
        drop(self.asks.try_send(Ask::TakeBack(unheard)));
    }

    /// Whether it is served no more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.asks.is_closed()
    }

    /// Events, at most so many and at least one unless the time is over.
    ///
    /// # Errors
    /// [`DeskEnded`].
    pub async fn pull(&self, most: usize, wait: Duration) -> Result<Vec<Delivery>, DeskEnded> {
        self.ask(|answer| Ask::Pull(Pull { most, until: Instant::now() + wait, answer })).await
    }

    /// Takes verdicts, and answers each when what comes of it is so for good.
    ///
    /// # Errors
    /// [`DeskEnded`]: what was settled is not known.
    pub async fn settle(&self, verdicts: Vec<Settle>) -> Result<Vec<Settlement>, DeskEnded> {
        self.ask(|answer| Ask::Settle(verdicts, answer)).await
    }

    /// Hands out the events of dead letters again, and answers when that is written; how many there were.
    ///
    /// # Errors
    /// [`DeskEnded`]: what is replayed is not known.
    pub async fn replay(&self, events: Vec<RecordedEvent>) -> Result<u64, DeskEnded> {
        self.ask(|answer| Ask::Replay(events, answer)).await
    }

    /// How far it is.
    ///
    /// # Errors
    /// [`DeskEnded`].
    pub async fn counts(&self) -> Result<DispatcherCounts, DeskEnded> {
        self.ask(Ask::Counts).await
    }

    /// Goes on by the terms, the status and the filter that the group has now; when it is answered, nothing is handed
    /// out by those before, unless it was handed out before. What is with consumers stays with them.
    ///
    /// # Errors
    /// [`DeskEnded`].
    pub async fn change(&self, group: &ConsumerGroup) -> Result<(), DeskEnded> {
        let (terms, status, filter) = (group.terms, group.status, group.filter.clone());
        self.ask(|answer| Ask::Change(terms, status, filter, answer)).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, DeskEnded> {
        let ended = || DeskEnded("its desk was closed".to_owned());
        let (answer, answered) = oneshot::channel();
        self.asks.send(ask(answer)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

/// An answer that waits until something is written.
type Waiting = Box<dyn FnOnce() + Send>;

/// Verdicts that wait until the desk has read what they are about.
struct Parked {
    verdicts: Vec<Settle>,
    answer: oneshot::Sender<Vec<Settlement>>,
}

struct Server {
    number: u64,
    dispatcher: Dispatcher,
    pattern: Pattern,
    filter: Option<FilterText>,
    store: Arc<dyn DeskStore>,
    hub: Hub,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    asks: mpsc::Receiver<Ask>,
    pulls: VecDeque<Pull>,
    subscriber: Option<Subscriber>,
    writing: Option<BoxFuture<'static, Result<(), DeskEnded>>>,
    with_this: Vec<Waiting>,
    with_next: Vec<Waiting>,
    parked: Vec<Parked>,
    began: Instant,
    reads_since: Instant,
    /// Whether it has read all that was there then.
    has_history: bool,
    /// No earlier is a subscription tried again.
    retry_at: Instant,
}

enum Happened {
    Asked(Option<Ask>),
    Wrote(Result<(), DeskEnded>),
    Heard(Option<Frame>),
    Due,
    Stopped,
}

impl Server {
    fn new(start: DeskStart, asks: mpsc::Receiver<Ask>) -> Self {
        let DeskStart { number, group, ledger, replayed, store, hub, clock, stop } = start;
        let mut dispatcher = Dispatcher::new(group.terms, ledger);
        dispatcher.change(group.terms, group.status);
        for event in replayed {
            dispatcher.resume(Arc::new(event));
        }
        Self {
            number,
            dispatcher,
            pattern: group.pattern,
            filter: group.filter,
            store,
            hub,
            clock,
            stop,
            asks,
            pulls: VecDeque::new(),
            subscriber: None,
            writing: None,
            with_this: Vec::new(),
            with_next: Vec::new(),
            parked: Vec::new(),
            began: Instant::now(),
            reads_since: Instant::now(),
            has_history: false,
            retry_at: Instant::now(),
        }
    }

    async fn run(mut self) {
        let ended = loop {
            if !self.store.leads() {
                break "node leads no more".to_owned();
            }
            self.subscribe().await;
            self.unpark();
            self.write();
            self.serve();
            let goes_on = match self.wait().await {
                Happened::Asked(Some(ask)) => {
                    self.take(ask);
                    Ok(())
                }
                Happened::Asked(None) => Err("nobody asks any more".to_owned()),
                Happened::Wrote(Ok(())) => {
                    self.wrote();
                    Ok(())
                }
                Happened::Wrote(Err(DeskEnded(reason))) => Err(reason),
                Happened::Heard(frame) => self.hear(frame),
                Happened::Due => {
                    let (now, at) = self.now();
                    self.dispatcher.tick(now, at);
                    Ok(())
                }
                Happened::Stopped => Err("node is stopping".to_owned()),
            };
            if let Err(reason) = goes_on {
                break reason;
            }
        };
        debug!(reason = ended, "desk of a consumer group closed");
    }

    fn now(&self) -> (Duration, Timestamp) {
        (self.began.elapsed(), self.clock.now())
    }

    /// Follows the pattern from where it is, if it does not.
    async fn subscribe(&mut self) {
        if self.subscriber.is_some() || Instant::now() < self.retry_at {
            return;
        }
        let wish = SubscribeRequest {
            selector: Selector::Pattern(self.pattern.clone()),
            filter: self.filter.clone(),
            start: SubscriptionStart::AfterPosition(self.dispatcher.looked()),
            slow: Slow::Disconnect,
            heartbeat: HEARTBEAT,
        };
        match self.hub.subscribe(wish).await {
            Ok(subscriber) => self.subscriber = Some(subscriber),
            Err(error) => {
                warn!(%error, "consumer group cannot follow the log");
                let pause = if matches!(error, NotSubscribed::Filter(_)) { MEND_PAUSE } else { RETRY_PAUSE };
                self.retry_at = Instant::now() + pause;
            }
        }
    }

    fn write(&mut self) {
        if self.writing.is_none()
            && let Some(writing) = self.dispatcher.begin_write()
        {
            let store = self.store.clone();
            self.writing = Some(async move { store.write(writing).await }.boxed());
            self.with_this.append(&mut self.with_next);
        }
    }

    fn wrote(&mut self) {
        self.writing = None;
        self.dispatcher.wrote();
        self.with_this.drain(..).for_each(|tell| tell());
    }

    /// Gives to those who wait what there is, in their order.
    fn serve(&mut self) {
        let now = Instant::now();
        self.pulls.retain(|pull| !pull.answer.is_closed());
        while let Some(pull) = self.pulls.front() {
            let given = self.dispatcher.deliver(self.began.elapsed(), pull.most);
            if given.is_empty() && pull.until > now {
                break;
            }
            if let Some(pull) = self.pulls.pop_front()
                && let Err(unheard) = pull.answer.send(given)
            {
                self.dispatcher.take_back(&unheard);
            }
        }
        // Some wait for less time than those before them.
        while let Some(at) = self.pulls.iter().position(|pull| pull.until <= now) {
            if let Some(pull) = self.pulls.remove(at) {
                // Whoever asked may have gone, which changes nothing.
                drop(pull.answer.send(Vec::new()));
            }
        }
    }

    async fn wait(&mut self) -> Happened {
        let due = self.dispatcher.next_due().map(|due| self.began + due);
        let given_up = self.pulls.iter().map(|pull| pull.until).min();
        let retry = self.subscriber.is_none().then_some(self.retry_at);
        let parked = (!self.parked.is_empty()).then_some(self.reads_since + PARK_MAX);
        let due = due.into_iter().chain(given_up).chain(retry).chain(parked).min();
        let looks = Instant::now() + HEARTBEAT;
        let due = due.map_or(looks, |due| due.min(looks));
        let has_room = self.dispatcher.has_room();
        tokio::select! {
            () = self.stop.cancelled() => Happened::Stopped,
            wrote = async { self.writing.as_mut().expect("it is there").await }, if self.writing.is_some() => {
                Happened::Wrote(wrote)
            }
            ask = self.asks.recv() => Happened::Asked(ask),
            frame = async { self.subscriber.as_mut().expect("it is there").next().await },
                if has_room && self.subscriber.is_some() => Happened::Heard(frame),
            () = sleep_until(due) => Happened::Due,
        }
    }

    fn hear(&mut self, frame: Option<Frame>) -> Result<(), String> {
        let mut next = frame;
        while let Some(frame) = next {
            match frame {
                Frame::Event { event, .. } => self.dispatcher.offer(Arc::new(event.event().clone())),
                Frame::CaughtUp { cursor } => {
                    self.has_history = true;
                    self.dispatcher.pass(cursor.position);
                }
                Frame::Opened { cursor, .. }
                | Frame::Heartbeat { cursor }
                | Frame::LeftOut { cursor, .. } => self.dispatcher.pass(cursor.position),
                // It goes on from where it was.
                Frame::Ended { reason: EndReason::Slow, .. } => self.subscriber = None,
                Frame::Ended { reason: EndReason::Unavailable(reason), .. } => return Err(reason),
                // All before it is given; it waits at this one.
                Frame::Ended { reason: EndReason::Failed(error @ ReadError::Upcast { .. }), cursor } => {
                    warn!(%error, "consumer group cannot go on");
                    self.dispatcher.pass(cursor.position);
                    (self.subscriber, self.retry_at) = (None, Instant::now() + MEND_PAUSE);
                }
                Frame::Ended { reason: EndReason::Failed(error), .. } => return Err(error.to_string()),
            }
            let more = self.dispatcher.has_room();
            next = self.subscriber.as_mut().filter(|_| more).and_then(Subscriber::ready);
        }
        Ok(())
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Pull(mut pull) => {
                // Before it has read anything, it cannot know that there is nothing.
                if !self.has_history {
                    pull.until = pull.until.max(self.reads_since + FIRST_WAIT);
                }
                self.pulls.push_back(pull);
            }
            Ask::Settle(verdicts, answer) if self.is_ahead(&verdicts) && self.parked.len() < LINE_MAX => {
                self.parked.push(Parked { verdicts, answer });
            }
            Ask::Settle(verdicts, answer) => self.settle(&verdicts, answer),
            Ask::TakeBack(unheard) => self.dispatcher.take_back(&unheard),
            Ask::Replay(events, answer) => {
                let taken =
                    events.into_iter().filter(|event| self.dispatcher.replay(Arc::new(event.clone())));
                let count = taken.count() as u64;
                // Whoever asked may have gone, which changes nothing.
                let tell: Waiting = Box::new(move || answer.send(count).unwrap_or_default());
                match count {
                    0 => tell(),
                    _ => self.with_next.push(tell),
                }
            }
            // Whoever asked may have gone, which changes nothing.
            Ask::Counts(answer) => drop(answer.send(self.dispatcher.counts())),
            Ask::Change(terms, status, filter, answer) => {
                self.dispatcher.change(terms, status);
                if filter != self.filter {
                    self.filter = filter;
                    self.look_again();
                }
                answer.send(()).unwrap_or_default();
            }
        }
    }

    /// Reads again, by another filter, what is not settled.
    fn look_again(&mut self) {
        self.dispatcher.look_again();
        let now = Instant::now();
        (self.subscriber, self.retry_at) = (None, now);
        (self.reads_since, self.has_history) = (now, false);
    }

    /// Whether verdicts are about what this desk has not read yet, and soon will have: an earlier leader handed it out.
    fn is_ahead(&self, verdicts: &[Settle]) -> bool {
        let reads = !self.has_history && self.dispatcher.has_room() && self.reads_since.elapsed() < PARK_MAX;
        reads && verdicts.iter().any(|one| one.position > self.dispatcher.looked())
    }

    fn unpark(&mut self) {
        for Parked { verdicts, answer } in std::mem::take(&mut self.parked) {
            match self.is_ahead(&verdicts) {
                true => self.parked.push(Parked { verdicts, answer }),
                false => self.settle(&verdicts, answer),
            }
        }
    }

    fn settle(&mut self, verdicts: &[Settle], answer: oneshot::Sender<Vec<Settlement>>) {
        let (now, mut this, mut next) = (self.now(), false, false);
        let number = self.number;
        // No delivery of this desk has the number 0.
        let attempt =
            |one: &Settle| if one.desk.is_some_and(|desk| desk != number) { Some(0) } else { one.attempt };
        let settle = |one: &Settle| match self.dispatcher.settle(one.position, attempt(one), one.verdict, now)
        {
            Told::Now(settlement) => settlement,
            Told::WithThis(settlement) => {
                this = true;
                settlement
            }
            Told::WithNext(settlement) => {
                next = true;
                settlement
            }
        };
        let settlements: Vec<Settlement> =
            verdicts.iter().take(limits::CONSUMER_SETTLE_MAX).map(settle).collect();
        // Whoever asked may have gone, which changes nothing.
        let tell: Waiting = Box::new(move || drop(answer.send(settlements)));
        match (this, next) {
            (_, true) => self.with_next.push(tell),
            (true, false) => self.with_this.push(tell),
            (false, false) => tell(),
        }
    }
}
