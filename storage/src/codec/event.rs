//! One event, framed: `[len u32 LE][crc32c of body u32 LE][body]`.
//!
//! The body says all of the event except its position, which apply assigns and
//! the index keeps. So one event is one small read, without the entry around it.
//! An event without tags has a body of format 1; of format 2, its tags follow.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_types::{
    ContentType, DecidedAppend, DecidedEvent, EntityId, EntityType, EventId, EventName, EventSource,
    Position, RecordedEvent, StreamVersion, Tag, Timestamp,
};

use super::{
    CodecError, FORMAT_VERSION, decode as decode_value, decode_as, decode_beginning, encode_as, encode_into,
    raw::Raw,
};

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: usize = 8;

const WHAT: &str = "event";
/// The format of an event with tags.
const TAGGED_VERSION: u8 = FORMAT_VERSION + 1;

#[derive(Serialize, Deserialize)]
struct StoredEvent<'a> {
    id: [u8; 16],
    entity_id: &'a str,
    entity_type: &'a str,
    name: &'a str,
    version: u64,
    schema_version: u32,
    /// `None` is JSON.
    content_type: Option<&'a str>,
    #[serde(borrow)]
    data: Raw<'a>,
    #[serde(borrow)]
    metadata: Raw<'a>,
    recorded_at: i64,
    occurred_at: Option<i64>,
    source: u8,
}

#[derive(Serialize, Deserialize)]
struct StoredTaggedEvent<'a> {
    #[serde(borrow)]
    event: StoredEvent<'a>,
    #[serde(borrow)]
    tags: Vec<&'a str>,
}

/// Appends the frame of `append`'s event with this version to `out`.
pub fn encode_frame(append: &DecidedAppend, event: &DecidedEvent, version: StreamVersion, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    let stored = stored(append, event, version);
    match event.tags.is_empty() {
        true => encode_into(&stored, out),
        false => {
            let tags = event.tags.iter().map(Tag::as_str).collect();
            encode_as(TAGGED_VERSION, &StoredTaggedEvent { event: stored, tags }, out);
        }
    }
    let (header, body) = out[start..].split_at_mut(FRAME_HEADER_BYTES);
    let len = u32::try_from(body.len()).expect("an event's limits are far below 4 GiB");
    header[..4].copy_from_slice(&len.to_le_bytes());
    header[4..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
}

fn stored<'a>(append: &'a DecidedAppend, event: &'a DecidedEvent, version: StreamVersion) -> StoredEvent<'a> {
    StoredEvent {
        id: *event.id.0.as_bytes(),
        entity_id: append.entity_id.as_str(),
        entity_type: append.entity_type.as_str(),
        name: event.name.as_str(),
        version: version.0,
        schema_version: event.schema_version,
        content_type: content_type_to_stored(&event.content_type),
        data: Raw(&event.data),
        metadata: Raw(&event.metadata),
        recorded_at: append.recorded_at.0,
        occurred_at: event.occurred_at.map(|at| at.0),
        source: source_to_stored(event.source),
    }
}

/// Reads a whole frame, checking its checksum. The data and metadata share `frame`'s memory.
///
/// # Errors
/// [`CodecError`] when the frame is cut, its checksum does not fit, or its body is malformed.
pub fn decode_frame(frame: &Bytes, position: Position) -> Result<RecordedEvent, CodecError> {
    decode_frame_of(frame, frame, position, None)
}

/// The same of a frame that lies in `memory`, with the names of the event `before` where they are its own.
///
/// # Errors
/// As [`decode_frame`].
pub fn decode_frame_of(
    memory: &Bytes,
    frame: &[u8],
    position: Position,
    before: Option<&RecordedEvent>,
) -> Result<RecordedEvent, CodecError> {
    let (len, expected) = read_header(frame)?;
    let body = &frame[FRAME_HEADER_BYTES..];
    if body.len() != len as usize {
        return Err(CodecError::Malformed {
            what: WHAT,
            reason: format!("frame says {len} bytes, the index says {}", body.len()),
        });
    }
    let actual = crc32c::crc32c(body);
    if actual != expected {
        return Err(CodecError::Checksum { what: WHAT, expected, actual });
    }
    decode_body(memory, body, position, before)
}

/// The body's length and checksum, of a frame's first bytes.
pub(crate) fn read_header(frame: &[u8]) -> Result<(u32, u32), CodecError> {
    let short = CodecError::Short { what: WHAT, bytes: frame.len() };
    let (len, rest) = frame.split_first_chunk::<4>().ok_or(short.clone())?;
    let crc = rest.first_chunk::<4>().ok_or(short)?;
    Ok((u32::from_le_bytes(*len), u32::from_le_bytes(*crc)))
}

/// Reads a frame's body, whose checksum was checked. The data and metadata share `body`'s memory.
///
/// # Errors
/// [`CodecError`] when the body is malformed or of another format.
pub fn decode(body: &Bytes, position: Position) -> Result<RecordedEvent, CodecError> {
    decode_body(body, body, position, None)
}

fn decode_body(
    memory: &Bytes,
    body: &[u8],
    position: Position,
    before: Option<&RecordedEvent>,
) -> Result<RecordedEvent, CodecError> {
    let (stored, tags) = match body.first() {
        Some(&TAGGED_VERSION) => {
            let tagged: StoredTaggedEvent<'_> = decode_as(TAGGED_VERSION, WHAT, body)?;
            (tagged.event, tagged.tags)
        }
        _ => (decode_value(WHAT, body)?, Vec::new()),
    };
    let name = CodecError::name;
    Ok(RecordedEvent {
        id: EventId(Uuid::from_bytes(stored.id)),
        entity_id: EntityId::after(before.map(|event| &event.entity_id), stored.entity_id)
            .map_err(name(WHAT))?,
        entity_type: EntityType::after(before.map(|event| &event.entity_type), stored.entity_type)
            .map_err(name(WHAT))?,
        name: EventName::after(before.map(|event| &event.name), stored.name).map_err(name(WHAT))?,
        version: StreamVersion(stored.version),
        position,
        schema_version: stored.schema_version,
        content_type: content_type_from_stored(stored.content_type),
        data: memory.slice_ref(stored.data.0),
        metadata: memory.slice_ref(stored.metadata.0),
        recorded_at: Timestamp(stored.recorded_at),
        occurred_at: stored.occurred_at.map(Timestamp),
        source: source_from_stored(stored.source)?,
        tags: tags_from_stored(&tags)?,
    })
}

/// The beginning of a [`StoredEvent`].
#[derive(Deserialize)]
struct StoredName<'a> {
    _id: [u8; 16],
    _entity_id: &'a str,
    _entity_type: &'a str,
    name: &'a str,
}

/// The event's id, of a frame's body.
///
/// # Errors
/// [`CodecError`] when the body is cut.
pub fn id_of(body: &[u8]) -> Result<EventId, CodecError> {
    let id = body.get(1..).and_then(<[u8]>::first_chunk::<16>);
    let id = id.ok_or(CodecError::Short { what: WHAT, bytes: body.len() })?;
    Ok(EventId(Uuid::from_bytes(*id)))
}

/// What apply indexes of an event: its name and its tags, unchecked.
///
/// # Errors
/// [`CodecError`] when the body is malformed or of another format.
pub fn facets(body: &[u8]) -> Result<(&str, Vec<&str>), CodecError> {
    match body.first() {
        Some(&TAGGED_VERSION) => {
            let tagged: StoredTaggedEvent<'_> = decode_as(TAGGED_VERSION, WHAT, body)?;
            Ok((tagged.event.name, tagged.tags))
        }
        _ => decode_beginning::<StoredName<'_>>(WHAT, body).map(|event| (event.name, Vec::new())),
    }
}

pub(super) fn tags_from_stored(stored: &[&str]) -> Result<Vec<Tag>, CodecError> {
    stored.iter().map(|text| Tag::new(text).map_err(CodecError::name(WHAT))).collect()
}

pub(super) fn content_type_to_stored(content_type: &ContentType) -> Option<&str> {
    match content_type {
        ContentType::Json => None,
        ContentType::Other(media_type) => Some(media_type),
    }
}

pub(super) fn content_type_from_stored(stored: Option<&str>) -> ContentType {
    stored.map_or(ContentType::Json, |media_type| ContentType::Other(media_type.to_owned()))
}

pub(super) fn source_to_stored(source: EventSource) -> u8 {
    match source {
        EventSource::Api => 0,
        EventSource::Cron => 1,
        EventSource::Webhook => 2,
        EventSource::Import => 3,
    }
}

pub(super) fn source_from_stored(stored: u8) -> Result<EventSource, CodecError> {
    Ok(match stored {
        0 => EventSource::Api,
        1 => EventSource::Cron,
        2 => EventSource::Webhook,
        3 => EventSource::Import,
        other => return Err(CodecError::malformed(WHAT, format!("source {other} is not known"))),
    })
}
