use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_types::{
    ClusterId, CursorScope, EntityId, FilterError, GroupId, Position, ReadError, Selector, StreamVersion,
    SubscribeRequest,
    limits::{SUBSCRIPTION_BYTES_MAX, SUBSCRIPTION_EVENTS_MAX, SUBSCRIPTIONS_MAX},
    ports::EventReader,
};

use super::{
    event::SharedEvent,
    flow::{Flow, View},
    ring::Ring,
    seek::seek,
    subscriber::{EndReason, Subscriber},
    tail,
};
use crate::{filter::EventFilter, upcast::Upcasting};

/// The node has as many subscriptions as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("node has {SUBSCRIPTIONS_MAX} subscriptions, which is its limit")]
pub struct HubFull;

/// Why there is no subscription.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSubscribed {
    /// The node has as many as it may.
    #[error(transparent)]
    Full(#[from] HubFull),
    /// Its filter is none.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Its start is not found.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// All subscriptions of a node. Clones share it; the tail ends with the last.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
    tail: Arc<Tail>,
}

/// The task that reads the log for all. It holds the stores.
struct Tail {
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
    _ends_with_it: DropGuard,
}

pub(super) struct Inner {
    pub(super) reader: Arc<dyn EventReader>,
    pub(super) upcasting: Arc<Upcasting>,
    pub(super) group: GroupId,
    cluster: ClusterId,
    shared: Mutex<Shared>,
    /// Woken when there is somebody to follow for.
    pub(super) wanted: Notify,
    /// How often all subscriptions were ended, and why the last time.
    ends: watch::Sender<(u64, EndReason)>,
}

#[derive(Default)]
struct Shared {
    ring: Ring,
    active: usize,
    next_id: u64,
    of_streams: HashMap<EntityId, Vec<Arc<Follower>>>,
    of_patterns: Vec<Arc<Follower>>,
}

/// One subscription that follows, as the tail sees it.
pub(super) struct Follower {
    id: u64,
    selector: Selector,
    after: Position,
    waiting: Mutex<Waiting>,
    pub(super) woken: Notify,
}

/// What waits for a subscription: counted, and not kept.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Waiting {
    /// Nothing that waits comes before it.
    first: Position,
    matched: Position,
    /// All that was counted up to here is taken.
    upto: Position,
    events: usize,
    bytes: usize,
    pub(super) slow: bool,
}

impl Hub {
    /// A hub over what is applied here, and its tail.
    #[must_use]
    pub fn start(
        reader: Arc<dyn EventReader>,
        upcasting: Arc<Upcasting>,
        cluster: ClusterId,
        group: GroupId,
    ) -> Self {
        let (ends, _) = watch::channel((0, EndReason::Slow));
        let shared = Mutex::default();
        let inner =
            Arc::new(Inner { reader, upcasting, group, cluster, shared, wanted: Notify::new(), ends });
        let stop = CancellationToken::new();
        let task = Mutex::new(Some(tokio::spawn(tail::follow(inner.clone(), stop.clone()))));
        let tail = Tail { _ends_with_it: stop.clone().drop_guard(), stop, task };
        Self { inner, tail: Arc::new(tail) }
    }

    /// What leads events to the newest schema version.
    #[must_use]
    pub fn upcasting(&self) -> &Arc<Upcasting> {
        &self.inner.upcasting
    }

    /// Ends the tail, and returns when it holds nothing any more. Subscriptions get nothing from then on.
    pub async fn stop(&self) {
        self.tail.stop.cancel();
        let task = self.tail.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // A tail that panicked has ended too.
            let _ = task.await;
        }
    }

    /// The scope of the cursors of a subscription.
    #[must_use]
    pub fn scope(&self, selector: &Selector) -> CursorScope {
        CursorScope::of(self.inner.cluster, self.inner.group, selector)
    }

    /// Subscriptions at the moment.
    #[must_use]
    pub fn active(&self) -> usize {
        self.inner.shared().active
    }

    /// The last position that the tail has read; of meaning while somebody subscribes.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.inner.shared().ring.tail()
    }

    /// Ends every subscription that there is with a reason and its cursor.
    pub fn end_all(&self, reason: &EndReason) {
        self.inner.end_all(reason.clone());
    }

    /// Subscribes. The cursor of the start, if it is one, was checked against [`Hub::scope`].
    ///
    /// # Errors
    /// [`NotSubscribed`].
    pub async fn subscribe(&self, wish: SubscribeRequest) -> Result<Subscriber, NotSubscribed> {
        let filter = match &wish.filter {
            Some(text) => Some(EventFilter::new(text.clone()).await?),
            None => None,
        };
        let slot = Slot::take(self.inner.clone())?;
        let scope = self.scope(&wish.selector);
        let sought = seek(&*self.inner.reader, self.inner.group, &wish.selector, wish.start).await?;
        let flow = Flow::new(wish.selector.clone(), scope, sought.seen, sought.version);
        Ok(Subscriber::new(slot, flow, (&wish, filter), sought.found, self.inner.ends.subscribe()))
    }
}

impl Inner {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end_all(&self, reason: EndReason) {
        self.ends.send_modify(|(count, why)| {
            *count += 1;
            *why = reason;
        });
    }

    /// Whether somebody is there to follow for.
    pub(super) fn is_wanted(&self) -> bool {
        self.shared().active > 0
    }

    pub(super) fn tail(&self) -> Position {
        self.shared().ring.tail()
    }

    /// Hands events to all that follow: puts them into the ring and counts them for those who ask for them.
    /// Events that do not follow the tail, which began anew meanwhile, are thrown away.
    pub(super) fn publish(&self, events: &[Arc<SharedEvent>]) {
        let mut shared = self.shared();
        for event in events {
            if event.event().position != shared.ring.tail().next() {
                return;
            }
            shared.ring.push(event.clone());
            let of_stream = shared.of_streams.get(&event.event().entity_id).into_iter().flatten();
            let of_patterns = shared.of_patterns.iter().filter(|one| one.selector.takes(event.event()));
            of_stream.chain(of_patterns).for_each(|one| one.count(event));
        }
    }

    /// What a subscription that follows, or does not yet, can take.
    pub(super) fn view(&self, follower: Option<&Follower>) -> View {
        let shared = self.shared();
        let waiting = follower.map(|one| *one.waiting()).unwrap_or_default();
        let (first, tail) = (shared.ring.first(), shared.ring.tail());
        View { first, tail, waiting: waiting.first, matched: waiting.matched }
    }

    /// Lets the tail count for a subscription from after `seen`, unless the ring has left it behind. What
    /// the ring holds already is counted here. Tells where the tail is.
    pub(super) fn join(&self, selector: &Selector, seen: Position) -> Option<(Arc<Follower>, Position)> {
        let mut shared = self.shared();
        if seen.next() < shared.ring.first() {
            return None;
        }
        shared.next_id += 1;
        let follower = Arc::new(Follower {
            id: shared.next_id,
            selector: selector.clone(),
            after: seen,
            waiting: Mutex::default(),
            woken: Notify::new(),
        });
        for event in shared.ring.after(seen).filter(|event| selector.takes(event.event())) {
            follower.waiting().count(event);
        }
        // What the ring holds is bounded, and nobody was slow to take it.
        follower.waiting().forgive();
        match selector {
            Selector::Stream(entity) => {
                shared.of_streams.entry(entity.clone()).or_default().push(follower.clone());
            }
            Selector::Pattern(_) => shared.of_patterns.push(follower.clone()),
        }
        Some((follower, shared.ring.tail()))
    }

    /// Counts for a subscription no more.
    pub(super) fn leave(&self, follower: &Follower) {
        let mut shared = self.shared();
        match &follower.selector {
            Selector::Stream(entity) => {
                if let Some(of_stream) = shared.of_streams.get_mut(entity) {
                    of_stream.retain(|one| one.id != follower.id);
                    if of_stream.is_empty() {
                        shared.of_streams.remove(entity);
                    }
                }
            }
            Selector::Pattern(_) => shared.of_patterns.retain(|one| one.id != follower.id),
        }
    }

    /// Events of the ring after a position, at most so many, or none when the ring has left it behind.
    pub(super) fn after(&self, seen: Position, most: usize) -> Vec<Arc<SharedEvent>> {
        let shared = self.shared();
        if seen.next() < shared.ring.first() {
            return Vec::new();
        }
        shared.ring.after(seen).take(most).cloned().collect()
    }
}

impl Follower {
    pub(super) fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, event: &SharedEvent) {
        if event.event().position > self.after {
            self.waiting().count(event);
            self.woken.notify_one();
        }
    }
}

impl Waiting {
    fn count(&mut self, event: &SharedEvent) {
        if self.matched <= self.upto {
            self.first = event.event().position;
        }
        self.matched = event.event().position;
        self.events += 1;
        self.bytes += event.weight();
        self.slow |= self.events > SUBSCRIPTION_EVENTS_MAX || self.bytes > SUBSCRIPTION_BYTES_MAX;
    }

    /// Begins to count how much waits anew.
    pub(super) fn forgive(&mut self) {
        (self.events, self.bytes, self.slow) = (0, 0, false);
    }

    /// Some were taken, up to `seen`.
    pub(super) fn taken(&mut self, seen: Position, events: usize, bytes: usize) {
        self.upto = self.upto.max(seen);
        match seen >= self.matched {
            true => (self.events, self.bytes) = (0, 0),
            false => {
                self.events = self.events.saturating_sub(events);
                self.bytes = self.bytes.saturating_sub(bytes);
            }
        }
    }
}

/// One of the node's subscriptions. The first makes the tail begin where the log is.
pub(super) struct Slot(Arc<Inner>);

impl Slot {
    fn take(inner: Arc<Inner>) -> Result<Self, HubFull> {
        let mut shared = inner.shared();
        if shared.active >= SUBSCRIPTIONS_MAX {
            return Err(HubFull);
        }
        if shared.active == 0 {
            shared.ring.begin(inner.reader.applied(inner.group));
        }
        shared.active += 1;
        drop(shared);
        inner.wanted.notify_one();
        Ok(Self(inner))
    }

    pub(super) fn hub(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.shared().active -= 1;
    }
}

/// What a start was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) seen: Position,
    pub(super) version: StreamVersion,
    /// Of the last events: how many there were.
    pub(super) found: Option<u64>,
}
