use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use weir_types::{
    Cursor, Direction, Position, ReadError, RecordedEvent, Selector, Slow, StreamRead, SubscribeRequest,
    limits::SUBSCRIPTION_PAGE_BYTES_MAX,
};

use super::{
    event::SharedEvent,
    flow::{Flow, Next},
    hub::{Follower, Slot},
    newest::Newest,
};
use crate::{filter::EventFilter, off_runtime};

/// Events that a subscriber takes from the ring at once.
const TAKE_EVENTS: usize = 64;
/// Events of the ring that it looks at for it.
const LOOK_EVENTS: usize = 1_024;
/// Events that a filter is asked about at once.
const FILTER_EVENTS: usize = 64;

/// What a subscriber is told, each with where it is then.
#[derive(Debug, Clone)]
pub enum Frame {
    /// First: where it begins, and of the last events how many there were.
    Opened {
        /// Where.
        cursor: Cursor,
        /// How many of the last events that were asked for.
        found: Option<u64>,
    },
    /// An event.
    Event {
        /// The event.
        event: Arc<SharedEvent>,
        /// Where it is with this event.
        cursor: Cursor,
    },
    /// Once: what follows was not there when history ended.
    CaughtUp {
        /// Where.
        cursor: Cursor,
    },
    /// Nothing that is asked for, up to here.
    Heartbeat {
        /// Up to where.
        cursor: Cursor,
    },
    /// The subscriber was slow: of what follows only the newest of each stream is given.
    LeftOut {
        /// Events that are not given.
        count: u64,
        /// Where it is before what follows.
        cursor: Cursor,
    },
    /// Last: why it ends, and where it was.
    Ended {
        /// Why.
        reason: EndReason,
        /// Where to go on from.
        cursor: Cursor,
    },
}

impl Frame {
    fn event(&self) -> Option<&Arc<SharedEvent>> {
        if let Self::Event { event, .. } = self { Some(event) } else { None }
    }

    fn cursor(&self) -> Cursor {
        match self {
            Self::Opened { cursor, .. }
            | Self::Event { cursor, .. }
            | Self::CaughtUp { cursor }
            | Self::Heartbeat { cursor }
            | Self::LeftOut { cursor, .. }
            | Self::Ended { cursor, .. } => *cursor,
        }
    }
}

/// Why a subscription ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// Too much waited for the subscriber.
    Slow,
    /// The node serves it no more.
    Unavailable(String),
    /// What it asks for cannot be read here.
    Failed(ReadError),
}

/// One subscription. What it holds in memory is one small batch.
pub struct Subscriber {
    slot: Slot,
    flow: Flow,
    slow: Slow,
    follower: Option<Arc<Follower>>,
    filter: Option<Arc<EventFilter>>,
    ready: VecDeque<Frame>,
    /// How many of them are of the newest schema versions, and matched by the filter.
    prepared: usize,
    /// Which of the first that are ready the filter takes. It is kept when nobody waits for it.
    judging: Option<BoxFuture<'static, Option<Vec<bool>>>>,
    /// Where the last frame was that was given.
    given: Cursor,
    heartbeat: Duration,
    due: Instant,
    ends: watch::Receiver<(u64, EndReason)>,
    ended: bool,
}

impl Subscriber {
    pub(super) fn new(
        slot: Slot,
        flow: Flow,
        (wish, filter): (&SubscribeRequest, Option<Arc<EventFilter>>),
        found: Option<u64>,
        ends: watch::Receiver<(u64, EndReason)>,
    ) -> Self {
        let ready = VecDeque::from([Frame::Opened { cursor: flow.cursor(), found }]);
        let (slow, heartbeat, given) = (wish.slow, wish.heartbeat, flow.cursor());
        Self {
            slot,
            flow,
            slow,
            follower: None,
            filter,
            ready,
            prepared: 0,
            judging: None,
            given,
            heartbeat,
            due: Instant::now() + heartbeat,
            ends,
            ended: false,
        }
    }

    /// The next frame; `None` after the last. Waits for it. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            while self.prepared == 0 && matches!(self.ready.front(), Some(Frame::Event { .. })) {
                self.prepare().await;
            }
            if let Some(frame) = self.ready() {
                self.due = Instant::now() + self.heartbeat;
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            match self.why_ended() {
                Some(reason) => self.end(reason),
                None => self.step().await,
            }
        }
    }

    /// The next frame that needs no waiting, so that several are sent in one go.
    pub fn ready(&mut self) -> Option<Frame> {
        let is_event = matches!(self.ready.front()?, Frame::Event { .. });
        if is_event && self.prepared == 0 {
            return None;
        }
        self.prepared = self.prepared.saturating_sub(1);
        let frame = self.ready.pop_front()?;
        self.given = frame.cursor();
        Some(frame)
    }

    /// Makes the next events those of the newest schema versions, as many as a page's bytes allow and one at least, and
    /// leaves out those that the filter does not take. It ends before one that cannot be upcast. Dropped before it is
    /// done, it goes on when it is called again.
    async fn prepare(&mut self) {
        if self.judging.is_none() {
            let led = self.upcast().await;
            if led == 0 {
                return;
            }
            match self.filter.clone() {
                None => {
                    self.prepared = led;
                    return;
                }
                Some(filter) => {
                    let events = self.ready.iter().take(led).map(Frame::event);
                    self.judging = Some(judge(filter, events.map(Option::<&Arc<_>>::cloned).collect()));
                }
            }
        }
        if let Some(judging) = &mut self.judging {
            let taken = judging.await;
            self.judging = None;
            match taken {
                Some(taken) => self.leave_out(&taken),
                None => self.end_before(0, EndReason::Unavailable("node is stopping".to_owned())),
            }
        }
    }

    /// Makes events those of the newest schema versions; how many frames of those that are ready it has looked at.
    async fn upcast(&mut self) -> usize {
        let upcasts = match self.slot.hub().upcasting.newest().await {
            Ok(upcasts) => upcasts,
            Err(error) => {
                self.end_before(0, EndReason::Failed(error));
                return 0;
            }
        };
        let (mut bytes, mut led) = (0, 0);
        let most = if self.filter.is_some() { FILTER_EVENTS } else { usize::MAX };
        while led < self.ready.len().min(most) && bytes <= SUBSCRIPTION_PAGE_BYTES_MAX {
            if let Frame::Event { event, cursor } = &self.ready[led] {
                let (position, cursor) = (event.event().position, *cursor);
                match event.upcast(&upcasts).await {
                    Ok(event) => {
                        bytes += event.weight();
                        self.ready[led] = Frame::Event { event, cursor };
                    }
                    Err(error) => {
                        // Those before it are given first.
                        self.end_before(led, EndReason::Failed(ReadError::Upcast { position, error }));
                        return led;
                    }
                }
            }
            led += 1;
        }
        led
    }

    /// Leaves out of the first frames those that are not taken. What is given next is beyond them.
    fn leave_out(&mut self, taken: &[bool]) {
        let rest = self.ready.split_off(taken.len());
        let mut left_out = None;
        let looked = std::mem::replace(&mut self.ready, VecDeque::with_capacity(rest.len() + taken.len()));
        for (frame, taken) in looked.into_iter().zip(taken) {
            match taken {
                true => self.ready.push_back(frame),
                false if self.ready.is_empty() => left_out = Some(frame.cursor()),
                false => {}
            }
        }
        self.prepared = self.ready.len();
        self.ready.extend(rest);
        if let Some(cursor) = left_out {
            self.given = cursor;
        }
        // Where nothing of much history is taken, this alone says how far it is.
        if self.prepared == 0 && !self.ended && Instant::now() >= self.due {
            self.ready.push_front(Frame::Heartbeat { cursor: self.given });
        }
    }

    /// Ends it before a frame that is ready.
    fn end_before(&mut self, at: usize, reason: EndReason) {
        self.ready.truncate(at);
        let cursor = self.ready.back().map_or(self.given, Frame::cursor);
        self.ready.push_back(Frame::Ended { reason, cursor });
        self.ended = true;
    }

    /// Ends it: the last frame comes after those that are ready.
    pub fn end(&mut self, reason: EndReason) {
        if !self.ended {
            self.ended = true;
            self.ready.push_back(Frame::Ended { reason, cursor: self.flow.cursor() });
        }
    }

    fn is_slow(&self) -> bool {
        self.follower.as_ref().is_some_and(|follower| follower.waiting().slow)
    }

    fn why_ended(&self) -> Option<EndReason> {
        if self.ends.has_changed().unwrap_or(true) {
            return Some(self.ends.borrow().1.clone());
        }
        (self.slow == Slow::Disconnect && self.is_slow()).then_some(EndReason::Slow)
    }

    async fn step(&mut self) {
        let view = self.slot.hub().view(self.follower.as_deref());
        let next = self.flow.next(view);
        let stepped = match next {
            _ if self.is_slow() => self.conflate(view.tail).await,
            Next::Join => {
                self.join();
                Ok(())
            }
            Next::Take => {
                self.take();
                Ok(())
            }
            Next::Log { .. } | Next::Stream { .. } => self.page(next).await,
            Next::Wait => {
                self.tell_taken(0, 0);
                if !self.tells_caught_up() {
                    self.wait().await;
                }
                Ok(())
            }
        };
        if let Err(error) = stepped {
            return self.end(EndReason::Failed(error));
        }
        self.tells_caught_up();
        if self.ready.is_empty() && Instant::now() >= self.due {
            self.ready.push_back(Frame::Heartbeat { cursor: self.flow.cursor() });
        }
    }

    fn tells_caught_up(&mut self) -> bool {
        let caught_up = self.flow.catches_up();
        if caught_up {
            self.ready.push_back(Frame::CaughtUp { cursor: self.flow.cursor() });
        }
        caught_up
    }

    fn join(&mut self) {
        if let Some((follower, tail)) = self.slot.hub().join(self.flow.selector(), self.flow.seen()) {
            self.follower = Some(follower);
            self.flow.joined(tail);
        }
    }

    async fn wait(&mut self) {
        let Some(follower) = self.follower.clone() else { return };
        tokio::select! {
            () = follower.woken.notified() => {}
            () = sleep_until(self.due) => {}
            _ = self.ends.wait_for_change() => {}
        }
    }

    fn take(&mut self) {
        let events = self.slot.hub().after(self.flow.seen(), LOOK_EVENTS);
        let (mut taken, mut bytes) = (0, 0);
        for event in events {
            let (position, weight) = (event.event().position, event.weight());
            if self.give(event) {
                (taken, bytes) = (taken + 1, bytes + weight);
                if taken == TAKE_EVENTS {
                    break;
                }
            } else {
                self.flow.looked(position);
            }
        }
        self.tell_taken(taken, bytes);
    }

    fn give(&mut self, event: Arc<SharedEvent>) -> bool {
        let takes = self.flow.takes(event.event());
        if takes {
            let cursor = self.flow.cursor();
            self.ready.push_back(Frame::Event { event, cursor });
        }
        takes
    }

    fn tell_taken(&self, events: usize, bytes: usize) {
        if let Some(follower) = &self.follower {
            follower.waiting().taken(self.flow.seen(), events, bytes);
        }
    }

    /// Reads a page of history and gives what is asked for.
    async fn page(&mut self, next: Next) -> Result<(), ReadError> {
        let (events, upto) = self.read(next).await?;
        let bytes = events.iter().map(|event| event.data.len() + event.metadata.len()).sum();
        self.flow.weighed(bytes);
        let mut taken = 0;
        for event in events {
            taken += usize::from(self.give(Arc::new(SharedEvent::new(event))));
        }
        self.flow.looked(upto);
        self.tell_taken(taken, bytes);
        Ok(())
    }

    /// Events of a page, and up to where they are all that may be asked for.
    async fn read(&mut self, next: Next) -> Result<(Vec<RecordedEvent>, Position), ReadError> {
        let hub = self.slot.hub();
        match (next, self.flow.selector()) {
            (Next::Stream { from, limit }, Selector::Stream(entity)) => {
                let (entity_id, direction) = (entity.clone(), Direction::Forward);
                let read = StreamRead { group: hub.group, entity_id, from: Some(from), direction, limit };
                let page = hub.reader.read_stream(read).await?;
                let last = page.events.last().map_or(Position::ZERO, |event| event.position);
                let upto = if page.next.is_none() { page.applied.max(last) } else { last };
                Ok((page.events, upto))
            }
            (Next::Log { from, limit }, _) => {
                let events = hub.reader.read_log(hub.group, from, limit).await?;
                let upto = events.last().map_or(Position::ZERO, |event| event.position);
                Ok((events, upto))
            }
            _ => Ok((Vec::new(), Position::ZERO)),
        }
    }

    /// Looks at all that waits up to `tail`, and gives of each stream the newest.
    async fn conflate(&mut self, tail: Position) -> Result<(), ReadError> {
        let before = self.flow.cursor();
        let mut newest = Newest::default();
        while self.flow.seen() < tail && !newest.is_full() {
            let mut events = self.slot.hub().after(self.flow.seen(), LOOK_EVENTS);
            if events.is_empty() {
                let next = Next::Log { from: self.flow.seen().next(), limit: LOOK_EVENTS };
                let (read, _) = self.read(next).await?;
                events = read.into_iter().map(|event| Arc::new(SharedEvent::new(event))).collect();
            }
            for event in events {
                let position = event.event().position;
                if self.flow.takes(event.event()) {
                    newest.take(event);
                }
                self.flow.looked(position);
                if newest.is_full() {
                    break;
                }
            }
        }
        self.give_newest(newest, before);
        Ok(())
    }

    fn give_newest(&mut self, newest: Newest, before: Cursor) {
        let (count, kept) = newest.end();
        if count > 0 {
            self.ready.push_back(Frame::LeftOut { count, cursor: before });
        }
        let is_stream = matches!(self.flow.selector(), Selector::Stream(_));
        for event in kept {
            let (position, version) = (event.event().position, event.event().version);
            let version = if is_stream { version } else { before.version };
            let cursor = Cursor { position, version, ..before };
            self.ready.push_back(Frame::Event { event, cursor });
        }
        if let Some(follower) = &self.follower {
            let mut waiting = follower.waiting();
            waiting.taken(self.flow.seen(), 0, 0);
            waiting.forgive();
        }
    }
}

/// Which frames a filter takes: those that are no events, and those that it matches. An author's expression is asked
/// off the runtime; `None` when that ends.
fn judge(
    filter: Arc<EventFilter>,
    events: Vec<Option<Arc<SharedEvent>>>,
) -> BoxFuture<'static, Option<Vec<bool>>> {
    let takes = move |event: Option<Arc<SharedEvent>>| event.is_none_or(|event| filter.takes(event.event()));
    off_runtime(move || events.into_iter().map(takes).collect()).map(Result::ok).boxed()
}

/// Waits for a change without taking it.
trait WaitForChange {
    async fn wait_for_change(&mut self);
}

impl<T: Clone> WaitForChange for watch::Receiver<T> {
    async fn wait_for_change(&mut self) {
        let mut ends = self.clone();
        // A hub that is gone is a change as well.
        let _ = ends.changed().await;
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            self.slot.hub().leave(follower);
        }
    }
}
