use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use weir_types::{
    BadEvent, PartitionKey, Position, ProjectionDefinition, ProjectionKind, RecordedEvent, ports::View,
};
use xxhash_rust::xxh3::Xxh3;

use super::{
    Fault, ReducerLimits,
    engine::{Engine, Role},
    partition::PartitionPath,
};

/// Why a fold stopped, and at which event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldFailure {
    /// The event's position.
    pub position: Position,
    /// Its name.
    pub event: String,
    /// What went wrong.
    pub fault: Fault,
}

/// What folding a batch came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FoldResult {
    /// Events of the batch that are behind us, from its first on: folded,
    /// without a partition, or not this projection's.
    pub passed: usize,
    /// Events among them that the handler folded.
    pub handled: u64,
    /// Events among them that were skipped because they have no partition key.
    pub unkeyed: u64,
    /// The partitions that changed, as they are now.
    pub views: Vec<(PartitionKey, View)>,
    /// What to add, wrapping, to the sum of all partitions' digests.
    pub digest_delta: u64,
    /// Why the event after the passed ones cannot be folded, if so.
    pub failure: Option<FoldFailure>,
}

/// What came of a try to fold a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoldOutcome {
    /// It is folded, up to a failure if there is one.
    Done(FoldResult),
    /// Something failed and the engine was dropped: prepare again, with only
    /// the first `take` events, at least one.
    Again {
        /// How many.
        take: usize,
    },
}

/// The digest of one partition: xxh3-64 over the bytes of its key, a zero byte
/// and its state. A projection's digest is the wrapping sum over its partitions.
#[must_use]
pub fn state_digest(partition: &PartitionKey, state: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(partition.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(state);
    hasher.digest()
}

/// What a dead letter adds to its projection's digest. Not of the error's text, which may differ between builds.
#[must_use]
pub(crate) fn dead_letter_digest(event: &BadEvent) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&[0]);
    hasher.update(&event.position.0.to_le_bytes());
    hasher.update(event.id.0.as_bytes());
    hasher.digest()
}

/// An event on its way into the engine.
struct Item {
    /// Its place in the batch.
    index: usize,
    partition: PartitionKey,
}

/// A batch with its partitions known.
#[derive(Default)]
struct Prepared {
    items: Vec<Item>,
    taken: usize,
    unkeyed: u64,
    /// A key that is not legal ends the batch before its event.
    failure: Option<FoldFailure>,
    events: Arc<Vec<RecordedEvent>>,
}

/// A partition's state that is in the engine, as it was collected last.
struct Resident {
    digest: u64,
    bytes: usize,
    used: u64,
}

/// Folds batches for one projection. Bound to the thread that made it.
pub(super) struct Folder {
    definition: Arc<ProjectionDefinition>,
    limits: ReducerLimits,
    /// An error when another build deployed it, whose rules were wider: its first event is refused.
    path: Option<Result<PartitionPath, String>>,
    /// The one partition that is folded, where it is not all.
    only: Option<PartitionKey>,
    engine: Option<Engine>,
    resident: HashMap<PartitionKey, Resident>,
    batches: u64,
    prepared: Prepared,
}

impl Folder {
    pub(super) fn new(
        definition: Arc<ProjectionDefinition>,
        limits: ReducerLimits,
        only: Option<PartitionKey>,
    ) -> Self {
        let path = definition.partition_key.as_deref().map(PartitionPath::parse);
        Self {
            definition,
            limits,
            path,
            only,
            engine: None,
            resident: HashMap::new(),
            batches: 0,
            prepared: Prepared::default(),
        }
    }

    /// Takes the first `take` events and tells whose states it needs from the store.
    pub(super) fn prepare(&mut self, events: Arc<Vec<RecordedEvent>>, take: usize) -> Vec<PartitionKey> {
        assert!(take <= events.len(), "a fold takes no more events than there are");
        let mut prepared = Prepared { taken: take, events: events.clone(), ..Prepared::default() };
        for (index, event) in events[..take].iter().enumerate() {
            if !self.definition.folds(&event.name) {
                continue;
            }
            match self.partition_of(event) {
                Ok(Some(partition)) if self.only.as_ref().is_some_and(|only| *only != partition) => {}
                Ok(Some(partition)) => prepared.items.push(Item { index, partition }),
                Ok(None) => prepared.unkeyed += 1,
                // Without a legal key it is of no partition.
                Err(fault) if self.only.is_some() && fault.of_event => {}
                Err(fault) => {
                    prepared.taken = index;
                    prepared.failure = Some(failure(event, fault));
                    break;
                }
            }
        }
        self.prepared = prepared;
        self.missing()
    }

    fn partition_of(&self, event: &RecordedEvent) -> Result<Option<PartitionKey>, Fault> {
        let Some(path) = &self.path else { return Ok(Some(PartitionKey::global())) };
        let path = path.as_ref().map_err(|error| {
            Fault::new(format!("`partitionKey` is not legal any more: {error}; deploy it anew")).of_no_event()
        })?;
        path.key_of(event).map_err(Fault::new)
    }

    fn missing(&self) -> Vec<PartitionKey> {
        let mut seen = HashSet::new();
        let items = self.prepared.items.iter().map(|item| &item.partition);
        items.filter(|key| !self.resident.contains_key(*key) && seen.insert(*key)).cloned().collect()
    }

    /// Folds what was prepared. `states` are those that were missing, `None`
    /// for partitions that do not exist yet.
    pub(super) fn run(&mut self, states: Vec<(PartitionKey, Option<Bytes>)>) -> FoldOutcome {
        self.batches += 1;
        let prepared = std::mem::take(&mut self.prepared);
        let outcome = self.try_run(&prepared, &states);
        match outcome {
            Ok(result) => {
                self.shrink();
                FoldOutcome::Done(result)
            }
            Err(stumble) => self.after(&prepared, stumble),
        }
    }

    fn try_run(
        &mut self,
        prepared: &Prepared,
        states: &[(PartitionKey, Option<Bytes>)],
    ) -> Result<FoldResult, Stumble> {
        let fresh = self.engine.is_none();
        let stumble =
            |item: usize, last: bool, fault| Stumble { item, alone: fresh && last, whole: false, fault };
        if fresh && !prepared.items.is_empty() {
            let engine = Engine::load_module(Role::Projection, &self.definition.source, self.limits);
            self.engine = Some(engine.map_err(|fault| stumble(0, true, fault.of_no_event()))?);
        }
        let stored: HashMap<_, _> = states.iter().filter_map(|(k, s)| Some((k, s.as_ref()?))).collect();
        if let Some(engine) = &mut self.engine {
            let mut brought = HashSet::new();
            for (at, item) in prepared.items.iter().enumerate() {
                let partition = item.partition.as_str();
                let mut step = || {
                    if let Some(state) = stored.get(&item.partition)
                        && brought.insert(&item.partition)
                    {
                        engine.load(partition, &String::from_utf8_lossy(state))?;
                    }
                    engine.step(partition, &prepared.events[item.index])
                };
                step().map_err(|fault| stumble(at, at == 0, fault))?;
            }
        }
        self.collect(prepared, &stored).map_err(|fault| Stumble {
            item: 0,
            alone: fresh && prepared.items.len() == 1,
            whole: true,
            fault,
        })
    }

    fn collect(
        &mut self,
        prepared: &Prepared,
        stored: &HashMap<&PartitionKey, &Bytes>,
    ) -> Result<FoldResult, Fault> {
        let mut result = FoldResult {
            passed: prepared.taken,
            handled: prepared.items.len() as u64,
            unkeyed: prepared.unkeyed,
            failure: prepared.failure.clone(),
            ..FoldResult::default()
        };
        let Some(engine) = &self.engine else { return Ok(result) };
        let mut last: HashMap<&PartitionKey, usize> = HashMap::new();
        for item in &prepared.items {
            last.insert(&item.partition, item.index);
        }
        for (partition, index) in last {
            let state = engine.collect(partition.as_str())?;
            if state.len() > self.limits.state_bytes_max {
                let (bytes, max) = (state.len(), self.limits.state_bytes_max);
                return Err(Fault::new(format!("state has {bytes} bytes of JSON, over the limit of {max}")));
            }
            let before = match (self.resident.get(partition), stored.get(partition)) {
                (Some(resident), _) => resident.digest,
                (None, Some(state)) => state_digest(partition, state),
                (None, None) => 0,
            };
            let position = prepared.events[index].position;
            if self.definition.kind == ProjectionKind::Sql {
                // What is collected is told once, and no state.
                result.views.push((partition.clone(), View { state: Bytes::from(state), position }));
                continue;
            }
            let digest = state_digest(partition, state.as_bytes());
            let delta = digest.wrapping_sub(before);
            result.digest_delta = result.digest_delta.wrapping_add(delta);
            let resident = Resident { digest, bytes: state.len(), used: self.batches };
            self.resident.insert(partition.clone(), resident);
            result.views.push((partition.clone(), View { state: Bytes::from(state), position }));
        }
        result.views.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(result)
    }

    /// What to do about a fault: drop the engine, keep what was good before
    /// it, and believe the fault only when the event was alone.
    fn after(&mut self, prepared: &Prepared, stumble: Stumble) -> FoldOutcome {
        self.engine = None;
        self.resident.clear();
        let items = &prepared.items;
        let index = items[stumble.item].index;
        if stumble.alone {
            let passed = prepared.events[..index].iter().filter(|event| self.definition.folds(&event.name));
            let unkeyed = passed.filter(|event| matches!(self.partition_of(event), Ok(None))).count() as u64;
            let failure = Some(failure(&prepared.events[index], stumble.fault));
            return FoldOutcome::Done(FoldResult {
                passed: index,
                unkeyed,
                failure,
                ..FoldResult::default()
            });
        }
        let take = match (stumble.whole, stumble.item) {
            // Some event of the batch did it: look for it by halves.
            (true, _) if items.len() > 1 => items[items.len() / 2].index,
            (true, _) | (false, 0) => index + 1,
            (false, _) => index,
        };
        FoldOutcome::Again { take }
    }

    /// Lets the states go that were not used for longest, down to half of the limits.
    fn shrink(&mut self) {
        let bytes: usize = self.resident.values().map(|resident| resident.bytes).sum();
        let (count_max, bytes_max) = (self.limits.resident_partitions_max, self.limits.resident_bytes_max);
        if self.resident.len() <= count_max && bytes <= bytes_max {
            return;
        }
        let mut oldest: Vec<_> = self.resident.iter().map(|(k, r)| (r.used, k.clone(), r.bytes)).collect();
        oldest.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        let (mut count, mut bytes) = (oldest.len(), bytes);
        for (_, partition, size) in oldest {
            if count <= count_max / 2 && bytes <= bytes_max / 2 {
                break;
            }
            (count, bytes) = (count - 1, bytes - size);
            self.resident.remove(&partition);
            let dropped = self.engine.as_mut().map(|engine| engine.drop_state(partition.as_str()));
            if let Some(Err(_)) = dropped {
                // An engine that cannot let go is not kept; its states are all in the store.
                self.engine = None;
                self.resident.clear();
                return;
            }
        }
    }
}

/// Where a try to fold failed.
struct Stumble {
    /// Index of the item, of the first one when `whole`.
    item: usize,
    /// Whether nothing else can have a part in it.
    alone: bool,
    /// Whether it came out only after all items were folded.
    whole: bool,
    fault: Fault,
}

fn failure(event: &RecordedEvent, fault: Fault) -> FoldFailure {
    FoldFailure { position: event.position, event: event.name.as_str().to_owned(), fault }
}
