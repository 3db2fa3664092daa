//! Streams as of a moment of their past: what was recorded until then, what occurred until then, or the first events.
//!
//! Versions and recorded times never fall within a stream, so what was recorded until a time, and what is up to a
//! version, are the first events of it; what occurred until a time may have holes.

use weir_types::{
    Direction, Moment, Planted, ReadError, RecordedEvent, StreamHead, StreamPage, StreamRead, StreamVersion,
    limits, planted, ports::EventReader,
};

/// Events that are looked at in one go where some may not be asked for.
const LOOK_EVENTS: usize = 512;

/// A page of a stream's past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The page. Where only some events occurred until the moment, there may be none although there are more.
    pub page: StreamPage,
    /// The last version that was recorded until the moment, and is not beyond the version asked for.
    pub last: StreamVersion,
}

/// The last version of a stream that was recorded until a moment, and is not beyond its version.
///
/// # Errors
/// [`ReadError`].
pub async fn last_version(
    reader: &dyn EventReader,
    read: &StreamRead,
    moment: Moment,
    head: &StreamHead,
) -> Result<StreamVersion, ReadError> {
    let most = moment.as_of_version.map_or(head.version, |version| version.min(head.version));
    let Some(as_of) = moment.as_of.filter(|as_of| *as_of < head.updated_at) else { return Ok(most) };
    let (mut low, mut high) = (0, most.0);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let one = StreamRead {
            from: Some(StreamVersion(middle)),
            direction: Direction::Forward,
            limit: 1,
            ..read.clone()
        };
        let event = reader.read_stream(one).await?.events.pop();
        match event {
            Some(event) if event.recorded_at <= as_of => low = middle,
            _ => high = middle - 1,
        }
    }
    let low = if planted(Planted::AsOfTakesTheNext) { low + 1 } else { low };
    Ok(StreamVersion(low.min(most.0)))
}

/// One page of a stream as of a moment.
///
/// # Errors
/// [`ReadError`].
pub async fn read_past(
    reader: &dyn EventReader,
    read: StreamRead,
    moment: Moment,
) -> Result<Past, ReadError> {
    let head = reader.head(read.group, &read.entity_id).await?;
    let last = match &head {
        Some(head) => last_version(reader, &read, moment, head).await?,
        None => StreamVersion::ZERO,
    };
    let mut page = StreamPage {
        events: Vec::new(),
        head,
        next: first(&read, last),
        applied: reader.applied(read.group),
    };
    let (mut looked, mut bytes) = (0, 0);
    while let Some(from) = page.next {
        let left = usize::try_from(left(read.direction, from, last)).unwrap_or(usize::MAX);
        let wanted = if moment.at.is_some() { LOOK_EVENTS } else { read.limit };
        let limit = wanted.min(left);
        let part = reader.read_stream(StreamRead { from: Some(from), limit, ..read.clone() }).await?;
        (page.head, page.applied) = (part.head, part.applied);
        page.next = part.next.filter(|next| self::left(read.direction, *next, last) > 0);
        looked += part.events.len();
        let held: Vec<RecordedEvent> = part.events.into_iter().filter(|event| moment.holds(event)).collect();
        bytes += held.iter().map(|event| event.data.len() + event.metadata.len()).sum::<usize>();
        page.events.extend(held);
        if let Some(cut) = page.events.get(read.limit) {
            page.next = Some(cut.version);
            page.events.truncate(read.limit);
        }
        let full = page.events.len() >= read.limit || bytes >= limits::READ_BYTES_MAX;
        if moment.at.is_none() || full || looked >= limits::SEARCH_EVENTS_MAX {
            break;
        }
    }
    Ok(Past { page, last })
}

/// Where a read begins that sees nothing after `last`.
fn first(read: &StreamRead, last: StreamVersion) -> Option<StreamVersion> {
    let from = match read.direction {
        Direction::Forward => read.from.unwrap_or(StreamVersion(1)).max(StreamVersion(1)),
        Direction::Backward => read.from.map_or(last, |from| from.min(last)),
    };
    (left(read.direction, from, last) > 0).then_some(from)
}

/// How many versions are left from one on.
fn left(direction: Direction, from: StreamVersion, last: StreamVersion) -> u64 {
    match direction {
        Direction::Forward => (last.0 + 1).saturating_sub(from.0),
        Direction::Backward => from.0.min(last.0),
    }
}
