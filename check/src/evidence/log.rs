//! One node's events, found by stream, version, position and mark.

use rustc_hash::FxHashMap;

use crate::state::StoredEvent;

/// A log with its indexes.
pub struct Log<'a> {
    /// The events, as the node gave them.
    pub events: &'a [StoredEvent],
    /// The number of each stream, in order of first event.
    numbers: FxHashMap<&'a str, u32>,
    /// The events of each stream, by its number, in the order of the log.
    streams: Vec<(&'a str, Vec<u32>)>,
    marks: FxHashMap<&'a str, u32>,
    doubled: Vec<(u32, u32)>,
}

impl<'a> Log<'a> {
    /// Indexes events.
    #[must_use]
    pub fn new(events: &'a [StoredEvent]) -> Self {
        let mut numbers = FxHashMap::default();
        let mut streams: Vec<(&str, Vec<u32>)> = Vec::new();
        let mut marks = FxHashMap::default();
        marks.reserve(events.len());
        let mut doubled = Vec::new();
        for (at, event) in (0_u32..).zip(events) {
            let number = *numbers.entry(event.stream.as_str()).or_insert_with(|| {
                streams.push((&event.stream, Vec::new()));
                u32::try_from(streams.len() - 1).unwrap_or(u32::MAX)
            });
            streams[number as usize].1.push(at);
            if event.mark.is_empty() {
                continue;
            }
            if let Some(first) = marks.get(event.mark.as_str()) {
                doubled.push((*first, at));
            } else {
                marks.insert(event.mark.as_str(), at);
            }
        }
        Self { events, numbers, streams, marks, doubled }
    }

    /// A number of a stream that has events; `None` for others.
    #[must_use]
    pub fn number(&self, stream: &str) -> Option<u32> {
        self.numbers.get(stream).copied()
    }

    /// How many events a stream has.
    #[must_use]
    pub fn length(&self, stream: &str) -> u64 {
        self.number(stream).map_or(0, |number| self.streams[number as usize].1.len() as u64)
    }

    /// The event at a version; `None` if there is none, or a hole moved it.
    #[must_use]
    pub fn at_version(&self, stream: &str, version: u64) -> Option<&'a StoredEvent> {
        let (_, places) = &self.streams[self.number(stream)? as usize];
        let at = *places.get(usize::try_from(version.checked_sub(1)?).ok()?)?;
        Some(&self.events[at as usize]).filter(|event| event.version == version)
    }

    /// The event at a position; `None` if there is none, or a hole moved it.
    #[must_use]
    pub fn at_position(&self, position: u64) -> Option<&'a StoredEvent> {
        let event = self.events.get(usize::try_from(position.checked_sub(1)?).ok()?)?;
        Some(event).filter(|event| event.position == position)
    }

    /// The first event with a mark.
    #[must_use]
    pub fn with_mark(&self, mark: &str) -> Option<&'a StoredEvent> {
        self.marks.get(mark).map(|&at| &self.events[at as usize])
    }

    /// Pairs of events with one mark.
    pub fn doubled(&self) -> impl Iterator<Item = (&'a StoredEvent, &'a StoredEvent)> {
        self.doubled.iter().map(|&(one, two)| (&self.events[one as usize], &self.events[two as usize]))
    }

    /// Every stream with its events in the order of the log.
    pub fn streams(&self) -> impl Iterator<Item = (&'a str, impl Iterator<Item = &'a StoredEvent>)> {
        self.streams.iter().map(|(name, places)| (*name, places.iter().map(|&at| &self.events[at as usize])))
    }

    /// How many events of a stream lie at or before a position.
    #[must_use]
    pub fn length_at(&self, stream: &str, position: u64) -> u64 {
        let Some(number) = self.number(stream) else { return 0 };
        let (_, places) = &self.streams[number as usize];
        places.partition_point(|&at| self.events[at as usize].position <= position) as u64
    }

    /// The last position.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.events.last().map_or(0, |event| event.position)
    }
}
