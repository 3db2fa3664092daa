//! From a stream and a moment to a state.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use weir_types::{
    Direction, EntityId, EntityType, GroupId, LogIndex, Moment, Planted, ProjectionDefinition, ProjectionId,
    ReadError, RecordedEvent, StreamHead, StreamRead, StreamVersion, Timestamp, limits, planted,
    ports::{EventReader, RuleStore},
};

use super::{
    cache::Cache,
    code::{Code, Shelf, failed},
};
use crate::{moment::last_version, rules::Rulebooks, upcast::Upcasts};

/// Events of a stream that are folded in one go.
const PAGE_EVENTS: usize = 1_000;

/// Which state is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRead {
    /// The stream.
    pub entity_id: EntityId,
    /// As of when.
    pub moment: Moment,
}

/// The state of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// The stream as it is now.
    pub head: StreamHead,
    /// The last version that was recorded until the moment, and is not beyond the one asked for.
    pub last: StreamVersion,
    /// The log index of what folded it: of the rules, or of the upcasters where these were changed later; or of the
    /// deployment of a projection.
    pub revision: LogIndex,
    /// JSON.
    pub state: Arc<str>,
}

/// Why there is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The stream has no events.
    #[error("stream not found")]
    NoStream,
    /// Its entity type has no invariant.
    #[error("entity type `{0}` has no invariant")]
    NoInvariant(EntityType),
    /// It has more events than may be folded for an answer.
    #[error("stream has {actual} events to be folded, over the limit of {max}")]
    TooLong {
        /// How many.
        actual: u64,
        /// The limit.
        max: usize,
    },
    /// Those that are to be put in the order of occurrence have more bytes than may be.
    #[error("events to be put in the order of occurrence have over {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// The code that folds it failed.
    #[error("{reason}")]
    Failed {
        /// The error, and where.
        reason: String,
    },
    /// The node folds as many as it may.
    #[error("node folds too many states at once")]
    Overloaded,
    /// The events could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Folds states of streams on one node.
pub struct States {
    group: GroupId,
    reader: Arc<dyn EventReader>,
    rules: Rulebooks,
    shelf: Shelf,
    cache: Mutex<Cache>,
    turns: Semaphore,
}

impl States {
    /// States over what is applied here.
    #[must_use]
    pub fn new(group: GroupId, reader: Arc<dyn EventReader>, rules: Arc<dyn RuleStore>) -> Self {
        Self {
            group,
            reader,
            rules: Rulebooks::new(group, rules),
            shelf: Shelf::default(),
            cache: Mutex::new(Cache::new(limits::STATES_BYTES_MAX)),
            turns: Semaphore::new(limits::STATES_AT_ONCE_MAX),
        }
    }

    /// A stream's state through the invariant of its entity type.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn through_invariant(&self, read: StateRead) -> Result<StreamState, StateError> {
        let head = self.head(&read).await?;
        let none = || StateError::NoInvariant(head.entity_type.clone());
        let book = self.rules.current().await?.ok_or_else(none)?;
        let invariant = book.invariant(&head.entity_type).ok_or_else(none)?;
        let retroactive = invariant.retroactive().await.map_err(failed)?;
        let code = Code::Invariant(Arc::clone(invariant));
        let (last, state) = self.fold(&read, &head, code, Arc::clone(book.upcasts()), retroactive).await?;
        Ok(StreamState { last, revision: invariant.set, state, head })
    }

    /// A stream's state through a virtual projection.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn through_projection(
        &self,
        (id, definition): (&ProjectionId, &ProjectionDefinition),
        read: StateRead,
    ) -> Result<StreamState, StateError> {
        let head = self.head(&read).await?;
        let virtual_fold = self.shelf.take(id, definition);
        let upcasts = virtual_fold.upcasts(self.rules.upcasting()).await?;
        let (last, state) = self.fold(&read, &head, Code::Projection(virtual_fold), upcasts, false).await?;
        Ok(StreamState { last, revision: id.deployed, state, head })
    }

    async fn head(&self, read: &StateRead) -> Result<StreamHead, StateError> {
        self.reader.head(self.group, &read.entity_id).await?.ok_or(StateError::NoStream)
    }

    async fn fold(
        &self,
        read: &StateRead,
        head: &StreamHead,
        code: Code,
        upcasts: Arc<Upcasts>,
        retroactive: bool,
    ) -> Result<(StreamVersion, Arc<str>), StateError> {
        let moment = read.moment;
        let read = StreamRead {
            group: self.group,
            entity_id: read.entity_id.clone(),
            from: None,
            direction: Direction::Forward,
            limit: PAGE_EVENTS,
        };
        let last = last_version(&*self.reader, &read, moment, head).await?;
        let fold = Fold { states: self, code, upcasts, read, last };
        let state = match retroactive || moment.at.is_some() {
            false => fold.by_version().await?,
            true => fold.by_occurrence(moment).await?,
        };
        Ok((last, state))
    }
}

/// One state that is being folded.
struct Fold<'a> {
    states: &'a States,
    code: Code,
    upcasts: Arc<Upcasts>,
    read: StreamRead,
    last: StreamVersion,
}

impl Fold<'_> {
    /// Folds in the order of versions, from the newest state that is kept.
    async fn by_version(&self) -> Result<Arc<str>, StateError> {
        let folder = self.code.folder();
        let kept = lock(&self.states.cache).newest(&folder, &self.read.entity_id, self.last);
        let (mut version, mut state) = match kept {
            Some((version, state)) if version == self.last => return Ok(state),
            Some(kept) => kept,
            None => (StreamVersion::ZERO, Arc::from("")),
        };
        check_count(self.last.0 - version.0, limits::STATE_EVENTS_MAX)?;
        let _turn = self.turn()?;
        if self.last == StreamVersion::ZERO {
            return self.walk(state, &[]).await;
        }
        while version < self.last {
            let page = self.page(version).await?;
            version = page.last().map_or(self.last, |event| event.version);
            state = self.walk(state, &page).await?;
        }
        let version = if planted(Planted::StateKeptForTheNext) { self.last.next() } else { self.last };
        lock(&self.states.cache).keep(folder, self.read.entity_id.clone(), version, Arc::clone(&state));
        Ok(state)
    }

    /// Folds what fits a moment in the order in which it occurred, ties by version.
    async fn by_occurrence(&self, moment: Moment) -> Result<Arc<str>, StateError> {
        check_count(self.last.0, limits::INVARIANT_SORTED_EVENTS_MAX)?;
        let _turn = self.turn()?;
        let (mut version, mut events, mut bytes) = (StreamVersion::ZERO, Vec::new(), 0);
        while version < self.last {
            let page = self.page(version).await?;
            version = page.last().map_or(self.last, |event| event.version);
            events.extend(page.into_iter().filter(|event| moment.holds(event)).inspect(|event| {
                bytes += event.data.len() + event.metadata.len();
            }));
            let max = limits::INVARIANT_SORTED_BYTES_MAX;
            if bytes > max {
                return Err(StateError::TooLarge { max });
            }
        }
        events.sort_by_key(place);
        let mut state = Arc::from("");
        if events.is_empty() {
            return self.walk(state, &[]).await;
        }
        for page in events.chunks(PAGE_EVENTS) {
            state = self.walk(state, page).await?;
        }
        Ok(state)
    }

    /// Events after a version, of the newest schema versions: at least one.
    async fn page(&self, after: StreamVersion) -> Result<Vec<RecordedEvent>, StateError> {
        let left = usize::try_from(self.last.0 - after.0).unwrap_or(usize::MAX);
        let (from, limit) = (Some(after.next()), left.min(PAGE_EVENTS));
        let read = StreamRead { from, limit, ..self.read.clone() };
        let page = self.states.reader.read_stream(read).await?;
        let Some(first) = page.events.first().map(|event| event.position) else {
            let reason = "stream has fewer events than its head says".to_owned();
            return Err(ReadError::Storage { reason }.into());
        };
        let upcast = self.upcasts.upcast_where(page.events, |event| self.code.folds(&event.name)).await;
        match upcast.fault {
            Some(fault) if upcast.events.is_empty() => {
                Err(ReadError::Upcast { position: first, error: fault.error }.into())
            }
            _ => Ok(upcast.events),
        }
    }

    async fn walk(&self, state: Arc<str>, events: &[RecordedEvent]) -> Result<Arc<str>, StateError> {
        self.code.walk(&self.read.entity_id, state, events).await
    }

    fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, StateError> {
        self.states.turns.try_acquire().map_err(|_| StateError::Overloaded)
    }
}

fn check_count(actual: u64, max: usize) -> Result<(), StateError> {
    if actual > max as u64 { Err(StateError::TooLong { actual, max }) } else { Ok(()) }
}

/// Where an event is in the order of occurrence.
fn place(event: &RecordedEvent) -> (Timestamp, StreamVersion) {
    (event.occurred_at.unwrap_or(event.recorded_at), event.version)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
