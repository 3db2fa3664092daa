//! Reading events: places from the index, bytes from the log, checked.

use weir_types::{
    AppendOutcome, Direction, EntityId, EntityType, Idempotency, IdempotencyKey, Planted, Position,
    ReadError, RecordedEvent, StreamHead, StreamPage, StreamRead, StreamVersion, limits, planted,
    ports::RememberedAppend, with_causes,
};

use super::GroupStore;
use crate::{
    codec::event,
    index::{IndexHead, Located},
    log::{LogError, Place, segment_path},
};

/// Bytes that one read of the log asks for, unless one event is larger.
const SPAN_BYTES_MAX: u64 = 256 * 1024;

impl GroupStore {
    /// A stream's head, or `None` when it has no events.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] or [`ReadError::Storage`].
    pub fn head(&self, entity: &EntityId) -> Result<Option<StreamHead>, ReadError> {
        Ok(self.index.head(entity)?.map(|found| found.head))
    }

    /// Heads in order of creation, of one type or of all, and their number in
    /// all. At most [`limits::LIST_STREAMS_MAX`].
    ///
    /// # Errors
    /// [`ReadError::Damaged`] or [`ReadError::Storage`].
    pub fn list(
        &self,
        entity_type: Option<&EntityType>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<StreamHead>, u64), ReadError> {
        Ok(self.index.list(entity_type, offset, limit.min(limits::LIST_STREAMS_MAX))?)
    }

    /// What an idempotency key led to, if it still counts.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] or [`ReadError::Storage`].
    pub fn remembered(
        &self,
        entity: &EntityId,
        key: &IdempotencyKey,
    ) -> Result<Option<RememberedAppend>, ReadError> {
        let next = self.index.applied_position().next();
        let found = self.index.remembered(entity, key)?;
        // Applied meanwhile, it may lie past `next`, and then it counts.
        let counts = |first: Position| first > next || next.0 - first.0 <= limits::IDEMPOTENCY_WINDOW_EVENTS;
        Ok(found.filter(|found| counts(found.first_position)).map(|found| RememberedAppend {
            idempotency: Idempotency { key: key.clone(), digest: found.digest },
            outcome: AppendOutcome::Repeated {
                first_version: found.first_version,
                last_version: found.last_version,
                first_position: found.first_position,
            },
        }))
    }

    /// One page of a stream; a stream without events is an empty page. At most
    /// [`limits::READ_EVENTS_MAX`] events and about [`limits::READ_BYTES_MAX`]
    /// bytes, and at least one event if there is one.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] or [`ReadError::Storage`].
    pub fn read_stream(&self, read: &StreamRead) -> Result<StreamPage, ReadError> {
        let mut applied = self.index.applied_position();
        if planted(Planted::AppliedToldTooHigh) {
            applied = applied.next();
        }
        let found = self.index.head(&read.entity_id)?;
        let Some(IndexHead { stream_no, head, .. }) = found else {
            return Ok(StreamPage { events: Vec::new(), head: None, next: None, applied });
        };
        // The head is read after the mark and may be newer. Whatever lies between
        // the two is not of this stream, so the page is exact at the later of them.
        let applied = applied.max(head.last_position);
        let page = Page::of(read, head.version);
        let Some(Page { from, count }) = page else {
            return Ok(StreamPage { events: Vec::new(), head: Some(head), next: None, applied });
        };
        let mut places = self.index.stream_places(stream_no, Some(from), read.direction, count)?;
        check_versions(&places, from, read.direction, count, &read.entity_id)?;
        cut_to_bytes(&mut places);
        let events = self.read_events(&places)?;
        if let Some(stray) = events
            .iter()
            .zip(&places)
            .find(|(event, place)| event.entity_id != read.entity_id || event.version != place.version)
        {
            return Err(self.damaged(stray.1.place, "it is not the event that the index names"));
        }
        let last = places.last().map_or(from, |place| place.version);
        let next = match read.direction {
            Direction::Forward if planted(Planted::PageSkipsOne) => {
                Some(last.plus(2)).filter(|next| *next <= head.version)
            }
            Direction::Forward => Some(last.next()).filter(|next| *next <= head.version),
            Direction::Backward => Some(StreamVersion(last.0 - 1)).filter(|next| next.0 > 0),
        };
        Ok(StreamPage { events, head: Some(head), next, applied })
    }

    /// Events by position, from `from` on, oldest first: at most `limit` and
    /// [`limits::READ_EVENTS_MAX`], about [`limits::READ_BYTES_MAX`] bytes, and
    /// at least one if there is one. None when `from` is not applied yet.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] or [`ReadError::Storage`].
    pub fn read_log(&self, from: Position, limit: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let from = from.max(Position(1));
        let applied = self.index.applied_position();
        if from > applied {
            return Ok(Vec::new());
        }
        let there = usize::try_from(applied.0 - from.0 + 1).unwrap_or(usize::MAX);
        let count = limit.clamp(1, limits::READ_EVENTS_MAX).min(there);
        let mut places = self.index.log_places(from, count)?;
        let dense = (from.0..).zip(&places).all(|(position, place)| position == place.position.0);
        if places.len() != count || !dense {
            let detail = format!("index has a hole at or after position {from}");
            return Err(ReadError::Damaged { detail });
        }
        cut_to_bytes(&mut places);
        self.read_events(&places)
    }

    /// The events at these positions, in their order, as many as a page's bytes allow and at least one.
    pub(super) fn read_positions(&self, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut places = Vec::with_capacity(positions.len());
        let mut rest = positions;
        while let Some(first) = rest.first() {
            // Neighbours are looked up together.
            let dense = rest.iter().zip(first.0..).take_while(|(position, next)| position.0 == *next).count();
            let found = self.index.log_places(*first, dense)?;
            let there = found.iter().zip(rest).all(|(place, position)| place.position == *position);
            if found.len() != dense || !there {
                return Err(ReadError::Damaged { detail: format!("index has a hole at or after {first}") });
            }
            places.extend(found);
            rest = &rest[dense..];
        }
        if !places.is_empty() {
            cut_to_bytes(&mut places);
        }
        self.read_events(&places)
    }

    fn read_events(&self, places: &[Located]) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut events = Vec::with_capacity(places.len());
        let mut rest = places;
        while !rest.is_empty() {
            let (span, count) = span_of(rest);
            let bytes = self.log.read_at(span).map_err(log_error)?;
            let (now, later) = rest.split_at(count);
            for located in now {
                let start =
                    usize::try_from(located.place.offset - span.offset).expect("a span is far below 4 GiB");
                let frame = &bytes[start..start + located.place.len as usize];
                let event = event::decode_frame_of(&bytes, frame, located.position, events.last())
                    .map_err(|error| self.damaged(located.place, &error.to_string()))?;
                events.push(event);
            }
            rest = later;
        }
        Ok(events)
    }

    fn damaged(&self, place: Place, what: &str) -> ReadError {
        let file = segment_path(&self.log_dir, place.segment);
        let detail = format!(
            "event in log file {} at byte {}: {what}; keep the file and read from another node",
            file.display(),
            place.offset
        );
        ReadError::Damaged { detail }
    }
}

/// What a page can hold, from the head's version.
struct Page {
    from: StreamVersion,
    count: usize,
}

impl Page {
    /// `None` when the page is empty.
    fn of(read: &StreamRead, head: StreamVersion) -> Option<Self> {
        let (from, there) = match read.direction {
            Direction::Forward => {
                let from = read.from.unwrap_or(StreamVersion(1)).max(StreamVersion(1));
                (from, (head.0 + 1).saturating_sub(from.0))
            }
            Direction::Backward => {
                let head =
                    if planted(Planted::BackwardMissesNewest) { StreamVersion(head.0 - 1) } else { head };
                let from = read.from.unwrap_or(head).min(head);
                (from, from.0)
            }
        };
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        let limit =
            read.limit.clamp(1, limits::READ_EVENTS_MAX) + usize::from(planted(Planted::PageOverItsLimit));
        let count = limit.min(there);
        (count > 0).then_some(Self { from, count })
    }
}

/// Versions have no hole (invariant A2): a page that would show one is damage.
fn check_versions(
    places: &[Located],
    from: StreamVersion,
    direction: Direction,
    count: usize,
    entity: &EntityId,
) -> Result<(), ReadError> {
    let expected = |number: usize| match direction {
        Direction::Forward => from.0 + number as u64,
        Direction::Backward => from.0 - number as u64,
    };
    let dense = places.iter().enumerate().all(|(number, place)| place.version.0 == expected(number));
    if places.len() == count && dense {
        return Ok(());
    }
    let detail = format!("index has a hole in stream {:?} at or after version {from}", entity.as_str());
    Err(ReadError::Damaged { detail })
}

/// Keeps about [`limits::READ_BYTES_MAX`] bytes of events, and one at least.
fn cut_to_bytes(places: &mut Vec<Located>) {
    let mut bytes = 0;
    let fits = places.iter().take_while(|place| {
        bytes += place.place.len as usize;
        bytes <= limits::READ_BYTES_MAX
    });
    let keep = fits.count().max(1);
    places.truncate(keep);
}

/// One read that covers the first events of `places` which lie in one payload,
/// and their number.
fn span_of(places: &[Located]) -> (Place, usize) {
    let first = places[0];
    let (mut start, mut end) = (first.place.offset, first.place.offset + u64::from(first.place.len));
    let mut count = 1;
    for next in &places[1..] {
        let low = start.min(next.place.offset);
        let high = end.max(next.place.offset + u64::from(next.place.len));
        let together = next.place.segment == first.place.segment && next.payload == first.payload;
        if !together || high - low > SPAN_BYTES_MAX {
            break;
        }
        (start, end, count) = (low, high, count + 1);
    }
    let len = u32::try_from(end - start).expect("a span is far below 4 GiB");
    (Place { segment: first.place.segment, offset: start, len }, count)
}

fn log_error(error: LogError) -> ReadError {
    match error {
        LogError::Damaged { .. } | LogError::Absent { .. } => {
            ReadError::Damaged { detail: error.to_string() }
        }
        _ => ReadError::Storage { reason: with_causes(&error) },
    }
}
