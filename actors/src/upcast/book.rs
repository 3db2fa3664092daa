//! The upcasters of a log index, ready to be used, and the shelf that keeps one of each chain.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures::future::join_all;
use weir_types::{
    ContentType, EventName, GroupId, LogIndex, ReadError, RecordedEvent, UpcastError, Upcaster, Upcasters,
    limits, ports::RuleStore,
};

use super::{
    chain::{Chain, Tested, UpcastFault},
    steps::Steps,
};

/// All upcasters that count for somebody.
#[derive(Default)]
pub struct Upcasts {
    revision: LogIndex,
    chains: HashMap<EventName, Arc<Chain>>,
}

impl fmt::Debug for Upcasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upcasts").field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// A first part of the events that were to be upcast.
#[derive(Debug)]
pub struct Upcasted {
    /// At least one, unless the first is the fault. Those that need no upcaster are as they were.
    pub events: Vec<RecordedEvent>,
    /// Why the next one is not among them. Without it, and where there are fewer than were asked for, the rest is for
    /// another turn.
    pub fault: Option<UpcastFault>,
}

impl Upcasts {
    /// The log index of the change that led to them.
    pub(crate) fn revision(&self) -> LogIndex {
        self.revision
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// Whether an event is to be upcast: it is of an older version than the newest, and of JSON.
    #[must_use]
    pub fn concerns(&self, event: &RecordedEvent) -> bool {
        event.content_type == ContentType::Json
            && self.chains.get(&event.name).is_some_and(|chain| event.schema_version < chain.newest())
    }

    /// Upcasts a first part of events.
    pub async fn upcast(&self, events: Vec<RecordedEvent>) -> Upcasted {
        self.upcast_where(events, |_| true).await
    }

    /// Upcasts a first part of events; those that are not wanted stay as they are.
    pub async fn upcast_where(
        &self,
        events: Vec<RecordedEvent>,
        wanted: impl Fn(&RecordedEvent) -> bool,
    ) -> Upcasted {
        if self.chains.is_empty() || !events.iter().any(|event| wanted(event) && self.concerns(event)) {
            return Upcasted { events, fault: None };
        }
        let mut places: Vec<Option<RecordedEvent>> = Vec::with_capacity(events.len());
        let mut lots: HashMap<EventName, (Vec<usize>, Vec<RecordedEvent>)> = HashMap::new();
        for (at, event) in events.into_iter().enumerate() {
            if wanted(&event) && self.concerns(&event) {
                let lot = lots.entry(event.name.clone()).or_default();
                lot.0.push(at);
                lot.1.push(event);
                places.push(None);
            } else {
                places.push(Some(event));
            }
        }
        let asked = lots.into_iter().map(|(name, (places, events))| {
            let chain = Arc::clone(&self.chains[&name]);
            async move { (places, chain.upcast(events).await) }
        });
        let (mut end, mut fault) = (places.len(), None);
        for (at, done) in join_all(asked).await {
            if let Some(stopped) = at.get(done.events.len()).filter(|stopped| **stopped < end) {
                (end, fault) = (*stopped, done.fault);
            }
            for (at, event) in at.into_iter().zip(done.events) {
                places[at] = Some(event);
            }
        }
        places.truncate(end);
        let events = places.into_iter().flatten().collect();
        cut(Upcasted { events, fault })
    }

    /// Upcasts one event, up to a version or to the newest, and tells each step. `None` where its name has none.
    pub async fn test(&self, event: RecordedEvent, target: Option<u32>) -> Option<Tested> {
        let chain = Arc::clone(self.chains.get(&event.name)?);
        Some(chain.test(event, target).await)
    }
}

/// What events have grown to is bounded like a page that is read.
fn cut(mut all: Upcasted) -> Upcasted {
    let mut bytes = 0;
    let fits = all.events.iter().take_while(|event| {
        bytes += event.data.len() + event.metadata.len();
        bytes <= limits::READ_BYTES_MAX
    });
    let fits = fits.count().max(1);
    if fits < all.events.len() {
        all.events.truncate(fits);
        all.fault = None;
    }
    all
}

/// What tells a chain from others: its name, and which command set each of its steps.
type ChainKey = (EventName, Vec<(u32, LogIndex)>);

/// The upcasters of a group: those that stand now, and those that projections fold by. Chains are shared.
pub struct Upcasting {
    group: GroupId,
    store: Arc<dyn RuleStore>,
    chains: Mutex<HashMap<ChainKey, Weak<Chain>>>,
    /// With the log index of the rules that it was read with.
    newest: Mutex<(LogIndex, Arc<Upcasts>)>,
    /// One at a time reads the rules.
    reading: tokio::sync::Mutex<()>,
}

impl Upcasting {
    /// The upcasters that a store holds.
    #[must_use]
    pub fn new(group: GroupId, store: Arc<dyn RuleStore>) -> Self {
        Self { group, store, chains: Mutex::default(), newest: Mutex::default(), reading: Default::default() }
    }

    /// Those that stand as of what is applied here, or later.
    ///
    /// # Errors
    /// Where the rules are not readable.
    pub async fn newest(&self) -> Result<Arc<Upcasts>, ReadError> {
        let at = self.store.rules_at(self.group);
        if let Some(newest) = self.known(at) {
            return Ok(newest);
        }
        let _turn = self.reading.lock().await;
        if let Some(newest) = self.known(at) {
            return Ok(newest);
        }
        let set = self.store.rules(self.group).await?;
        let mut newest = lock(&self.newest);
        // A change of other rules leaves the same.
        if newest.1.revision != set.upcasters.revision {
            newest.1 = self.of(&set.upcasters);
        }
        newest.0 = set.revision;
        Ok(Arc::clone(&newest.1))
    }

    fn known(&self, at: LogIndex) -> Option<Arc<Upcasts>> {
        let newest = lock(&self.newest);
        (newest.0 >= at).then(|| Arc::clone(&newest.1))
    }

    /// Those that stood where a command at `index` came: by them its projection is folded.
    ///
    /// # Errors
    /// Where the rules are not readable.
    pub async fn as_of(&self, index: LogIndex) -> Result<Arc<Upcasts>, ReadError> {
        let all = self.store.rules(self.group).await?.upcasters;
        Ok(Arc::new(self.made(all.revision, all.as_of(index))))
    }

    /// Those that stand among these.
    pub(crate) fn of(&self, all: &Upcasters) -> Arc<Upcasts> {
        Arc::new(self.made(all.revision, all.standing()))
    }

    fn made<'a>(
        &self,
        revision: LogIndex,
        standing: impl Iterator<Item = (LogIndex, &'a Upcaster)>,
    ) -> Upcasts {
        let mut shelf = lock(&self.chains);
        shelf.retain(|_, chain| chain.strong_count() > 0);
        let chains = Steps::of(standing).into_iter().map(|(name, steps)| {
            let key = (name.clone(), steps.key());
            let chain = shelf.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
                let chain = Arc::new(Chain::new(steps));
                shelf.insert(key, Arc::downgrade(&chain));
                chain
            });
            (name, chain)
        });
        Upcasts { revision, chains: chains.collect() }
    }
}

/// What a read is answered with where an event cannot be upcast.
pub(super) fn unread(event: &RecordedEvent, error: UpcastError) -> ReadError {
    ReadError::Upcast { position: event.position, error }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
