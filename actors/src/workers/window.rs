//! The events that wait for a worker, as they are handed out: of one partition at a time, in order.
//!
//! Invariants:
//! - `checkpoint() <= looked()`; every event of the projection at or below `looked()` waits here, or is saved.
//! - Events of a partition leave in order, from its first that waits on.
//!
//! No I/O and no clock: whoever has it reads the log and stores what comes of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use weir_types::{EventPattern, PartitionKey, Position, RecordedEvent, limits};

use crate::reducer::PartitionPath;

/// Why there can be no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("partition key `{path}` is not legal: {reason}")]
pub struct WindowError {
    path: String,
    reason: String,
}

/// An event that belongs to no partition that could be, and why. Nothing after it is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The event.
    pub event: Arc<RecordedEvent>,
    /// What is wrong with it.
    pub reason: String,
}

/// Events of one partition, in order: from the first that waits on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The partition.
    pub partition: PartitionKey,
    /// At least one.
    pub events: Vec<Arc<RecordedEvent>>,
}

/// Events of the log with their partitions known.
#[derive(Debug, Default)]
pub struct Sorted {
    /// The projection's own.
    pub events: Vec<(PartitionKey, Arc<RecordedEvent>)>,
    /// What ends them, if something does.
    pub blocked: Option<Blocked>,
}

/// The events that wait.
#[derive(Debug)]
pub struct Window {
    patterns: Vec<EventPattern>,
    path: Option<PartitionPath>,
    waiting: BTreeMap<Position, (PartitionKey, Arc<RecordedEvent>)>,
    lines: HashMap<PartitionKey, BTreeSet<Position>>,
    bytes: usize,
    looked: Position,
    blocked: Option<Blocked>,
}

impl Window {
    /// The window of a projection that has saved all up to `checkpoint`.
    ///
    /// # Errors
    /// When the partition key is no path to one place.
    pub fn new(
        patterns: Vec<EventPattern>,
        partition_key: Option<&str>,
        checkpoint: Position,
    ) -> Result<Self, WindowError> {
        let parse = |path: &str| {
            PartitionPath::parse(path).map_err(|reason| WindowError { path: path.to_owned(), reason })
        };
        Ok(Self {
            patterns,
            path: partition_key.map(parse).transpose()?,
            waiting: BTreeMap::new(),
            lines: HashMap::new(),
            bytes: 0,
            looked: checkpoint,
            blocked: None,
        })
    }

    /// Up to where the log was looked at.
    #[must_use]
    pub fn looked(&self) -> Position {
        self.looked
    }

    /// Up to where everything is saved.
    #[must_use]
    pub fn checkpoint(&self) -> Position {
        match self.waiting.first_key_value() {
            Some((first, _)) => Position(first.0 - 1),
            None => self.looked,
        }
    }

    /// The checkpoint once the events of a partition up to a position are saved too.
    #[must_use]
    pub fn checkpoint_without(&self, partition: &PartitionKey, through: Position) -> Position {
        let stays = |position: &Position, of: &PartitionKey| of != partition || *position > through;
        let first = self.waiting.iter().find(|(position, (of, _))| stays(position, of));
        first.map_or(self.looked, |(position, _)| Position(position.0 - 1))
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What nothing is handed out after, once all before it is saved.
    #[must_use]
    pub fn blocked(&self) -> Option<&Blocked> {
        self.blocked.as_ref()
    }

    /// Whether more of the log may be looked at.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.blocked.is_none()
            && self.waiting.len() < limits::WORKER_WINDOW_EVENTS_MAX
            && self.bytes < limits::WORKER_WINDOW_BYTES_MAX
    }

    /// The pattern of its events, where it is one: others need not be read.
    #[must_use]
    pub fn only_pattern(&self) -> Option<&EventPattern> {
        match &self.patterns[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether an event is the projection's.
    #[must_use]
    pub fn folds(&self, event: &RecordedEvent) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(&event.name))
    }

    /// Which of the log's events are the projection's, and of which partitions.
    #[must_use]
    pub fn sort(&self, events: Vec<RecordedEvent>) -> Sorted {
        let mut sorted = Sorted::default();
        for event in events {
            if !self.folds(&event) {
                continue;
            }
            let event = Arc::new(event);
            match self.partition_of(&event) {
                Ok(partition) => sorted.events.push((partition, event)),
                Err(reason) => {
                    sorted.blocked = Some(Blocked { event, reason });
                    break;
                }
            }
        }
        sorted
    }

    /// What has no key there is of the one partition that a projection without a key has.
    fn partition_of(&self, event: &RecordedEvent) -> Result<PartitionKey, String> {
        let Some(path) = &self.path else { return Ok(PartitionKey::global()) };
        let key = path.key_of(event)?.unwrap_or_else(PartitionKey::global);
        let (bytes, max) = (key.as_str().len(), limits::WORKER_PARTITION_BYTES_MAX);
        if bytes > max {
            Err(format!("partition key has {bytes} bytes, over the limit of {max}"))
        } else {
            Ok(key)
        }
    }

    /// Takes events of the log, which was looked at up to `looked`. What is saved already must not be among them.
    ///
    /// # Panics
    /// Panics when an event is at or below what was looked at before.
    pub fn add(&mut self, sorted: Sorted, looked: Position) {
        for (partition, event) in sorted.events {
            assert!(event.position > self.looked, "an event is looked at once");
            self.bytes += weight(&event);
            self.lines.entry(partition.clone()).or_default().insert(event.position);
            self.waiting.insert(event.position, (partition, event));
        }
        self.looked = match &sorted.blocked {
            Some(blocked) => Position(blocked.event.position.0 - 1),
            None => self.looked.max(looked),
        };
        self.blocked = sorted.blocked;
    }

    /// What is to be handed out: of the partition whose event waits longest, at most `most` events, and no more
    /// bytes than an answer has, but at least one event.
    #[must_use]
    pub fn batch(&self, most: usize) -> Option<Batch> {
        let (partition, _) = self.waiting.values().next()?;
        let mut bytes = 0;
        let line = &self.lines[partition];
        let mut events = Vec::new();
        for position in line.iter().take(most.max(1)) {
            let event = &self.waiting[position].1;
            bytes += weight(event);
            if !events.is_empty() && bytes > limits::WORKER_BATCH_BYTES_MAX {
                break;
            }
            events.push(event.clone());
        }
        Some(Batch { partition: partition.clone(), events })
    }

    /// The events of a partition up to a position are saved.
    pub fn done(&mut self, partition: &PartitionKey, through: Position) {
        let Some(line) = self.lines.get_mut(partition) else { return };
        let rest = line.split_off(&through.next());
        for position in std::mem::replace(line, rest) {
            if let Some((_, event)) = self.waiting.remove(&position) {
                self.bytes -= weight(&event);
            }
        }
        if self.lines[partition].is_empty() {
            self.lines.remove(partition);
        }
    }
}

fn weight(event: &RecordedEvent) -> usize {
    event.data.len() + event.metadata.len() + 256
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_types::{
        ContentType, EntityId, EntityType, EventId, EventName, EventSource, StreamVersion, Timestamp,
    };

    use super::*;

    fn event(position: u64, name: &str, customer: &str) -> RecordedEvent {
        RecordedEvent {
            id: EventId(uuid::Uuid::from_u128(u128::from(position))),
            name: EventName::new(name).unwrap(),
            schema_version: 1,
            entity_id: EntityId::new("e").unwrap(),
            entity_type: EntityType::new("t").unwrap(),
            version: StreamVersion(position),
            position: Position(position),
            recorded_at: Timestamp(0),
            occurred_at: None,
            content_type: ContentType::Json,
            data: Bytes::from(format!("{{\"customer\":{customer}}}")),
            metadata: Bytes::new(),
            source: EventSource::Api,
            tags: Vec::new(),
        }
    }

    fn window(key: Option<&str>) -> Window {
        Window::new(vec![EventPattern::new("order.*").unwrap()], key, Position(0)).unwrap()
    }

    fn add(window: &mut Window, events: Vec<RecordedEvent>, looked: u64) {
        let sorted = window.sort(events);
        window.add(sorted, Position(looked));
    }

    fn batch(window: &Window, most: usize) -> Option<(String, Vec<u64>)> {
        let batch = window.batch(most)?;
        Some((batch.partition.to_string(), batch.events.iter().map(|event| event.position.0).collect()))
    }

    #[test]
    fn a_batch_is_of_one_partition_and_the_checkpoint_is_before_all_that_waits() {
        let mut window = window(Some("$.data.customer"));
        let events = vec![
            event(1, "order.placed", "\"a\""),
            event(2, "other", "\"a\""),
            event(3, "order.placed", "\"b\""),
            event(4, "order.shipped", "\"a\""),
            event(5, "order.noted", "null"),
        ];
        add(&mut window, events, 7);
        assert_eq!((window.checkpoint(), window.looked()), (Position(0), Position(7)));
        assert_eq!(batch(&window, 10), Some(("a".into(), vec![1, 4])));
        assert_eq!(batch(&window, 1), Some(("a".into(), vec![1])));
        let a = PartitionKey::new("a").unwrap();
        assert_eq!(window.checkpoint_without(&a, Position(1)), Position(2));
        window.done(&a, Position(4));
        assert_eq!(window.checkpoint(), Position(2));
        assert_eq!(batch(&window, 10), Some(("b".into(), vec![3])));
        window.done(&PartitionKey::new("b").unwrap(), Position(3));
        assert_eq!(batch(&window, 10), Some(("__global__".into(), vec![5])));
        window.done(&PartitionKey::global(), Position(5));
        assert_eq!((window.checkpoint(), batch(&window, 10), window.bytes), (Position(7), None, 0));
    }

    #[test]
    fn a_part_of_a_batch_may_be_saved_and_what_is_not_comes_again() {
        let mut window = window(None);
        add(&mut window, (1..=4).map(|n| event(n, "order.placed", "1")).collect(), 4);
        window.done(&PartitionKey::global(), Position(2));
        assert_eq!(batch(&window, 10), Some(("__global__".into(), vec![3, 4])));
        assert_eq!(window.checkpoint(), Position(2));
    }

    #[test]
    fn an_event_whose_partition_cannot_be_ends_what_is_looked_at() {
        let mut window = window(Some("$.data.customer"));
        let long = format!("\"{}\"", "x".repeat(limits::WORKER_PARTITION_BYTES_MAX + 1));
        let events =
            vec![event(1, "order.placed", "1"), event(2, "order.placed", &long), event(3, "order.x", "1")];
        add(&mut window, events, 3);
        assert_eq!(batch(&window, 10), Some(("1".into(), vec![1])));
        assert!(!window.has_room());
        window.done(&PartitionKey::new("1").unwrap(), Position(1));
        assert!(window.is_empty());
        assert_eq!(
            (window.checkpoint(), window.blocked().unwrap().event.position),
            (Position(1), Position(2))
        );
        assert!(Window::new(Vec::new(), Some("$..x"), Position(0)).is_err());
    }
}
