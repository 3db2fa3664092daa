//! The values of the index.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_types::{
    EntityId, EntityType, EventId, IdempotencyKey, LogId, LogIndex, NodeId, Position, StreamHead,
    StreamVersion, Term, Timestamp,
};

use super::{CodecError, raw::Raw};
use crate::{
    index::{AppliedMark, Expiring, Frame, IndexHead, Remembered, Run},
    schema::StreamNo,
};

const WHAT: &str = "index value";

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredHead<'a> {
    entity_type: &'a str,
    version: u64,
    first_position: u64,
    last_position: u64,
    created_at: i64,
    updated_at: i64,
    last_event: [u8; 16],
}

impl<'a> From<&'a IndexHead> for StoredHead<'a> {
    fn from(found: &'a IndexHead) -> Self {
        let head = &found.head;
        Self {
            entity_type: head.entity_type.as_str(),
            version: head.version.0,
            first_position: head.first_position.0,
            last_position: head.last_position.0,
            created_at: head.created_at.0,
            updated_at: head.updated_at.0,
            last_event: *found.last_event.0.as_bytes(),
        }
    }
}

impl StoredHead<'_> {
    pub(crate) fn read(self, entity_id: EntityId) -> Result<IndexHead, CodecError> {
        Ok(IndexHead {
            stream_no: StreamNo(self.first_position),
            last_event: EventId(Uuid::from_bytes(self.last_event)),
            head: StreamHead {
                entity_id,
                entity_type: EntityType::new(self.entity_type).map_err(CodecError::name(WHAT))?,
                version: StreamVersion(self.version),
                first_position: Position(self.first_position),
                last_position: Position(self.last_position),
                created_at: Timestamp(self.created_at),
                updated_at: Timestamp(self.updated_at),
            },
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredRun {
    first_position: u64,
    segment: u64,
    payload: u64,
    /// Per frame: bytes between the end of the one before (or the payload's start) and it; its length.
    frames: Vec<(u32, u32)>,
}

impl From<&Run> for StoredRun {
    fn from(run: &Run) -> Self {
        let mut end = 0;
        let gaps = run.frames.iter().map(|frame| {
            let gap = frame.offset.checked_sub(end).expect("the frames of a payload are in order");
            end = frame.offset + frame.len;
            (gap, frame.len)
        });
        Self {
            frames: gaps.collect(),
            first_position: run.first_position.0,
            segment: run.segment,
            payload: run.payload,
        }
    }
}

impl TryFrom<StoredRun> for Run {
    type Error = CodecError;

    fn try_from(stored: StoredRun) -> Result<Self, CodecError> {
        let mut end = 0_u32;
        let mut frames = Vec::with_capacity(stored.frames.len());
        for (gap, len) in stored.frames {
            let offset = end.checked_add(gap);
            let next = offset.and_then(|offset| offset.checked_add(len));
            let (Some(offset), Some(next)) = (offset, next) else {
                return Err(CodecError::malformed(WHAT, "a frame ends past 4 GiB"));
            };
            frames.push(Frame { offset, len });
            end = next;
        }
        if frames.is_empty() {
            return Err(CodecError::malformed(WHAT, "a run holds no frame"));
        }
        Ok(Self {
            first_position: Position(stored.first_position),
            segment: stored.segment,
            payload: stored.payload,
            frames,
        })
    }
}

/// Positions after the first, which is in the key: each as the distance from the one before.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredPositions {
    distances: Vec<u32>,
}

impl From<&[Position]> for StoredPositions {
    fn from(positions: &[Position]) -> Self {
        let distance = |pair: &[Position]| {
            let distance = pair[1].0.checked_sub(pair[0].0).and_then(|distance| u32::try_from(distance).ok());
            distance.expect("positions rise, by less than a run")
        };
        Self { distances: positions.windows(2).map(distance).collect() }
    }
}

impl StoredPositions {
    pub(crate) fn read(self, first: Position) -> Result<Vec<Position>, CodecError> {
        let mut positions = vec![first];
        let mut last = first.0;
        for distance in self.distances {
            let next = last.checked_add(u64::from(distance)).filter(|next| *next > last);
            last = next.ok_or_else(|| CodecError::malformed(WHAT, "positions do not rise"))?;
            positions.push(Position(last));
        }
        Ok(positions)
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredRemembered {
    digest: u64,
    first_version: u64,
    last_version: u64,
    first_position: u64,
}

impl From<&Remembered> for StoredRemembered {
    fn from(remembered: &Remembered) -> Self {
        Self {
            digest: remembered.digest,
            first_version: remembered.first_version.0,
            last_version: remembered.last_version.0,
            first_position: remembered.first_position.0,
        }
    }
}

impl From<StoredRemembered> for Remembered {
    fn from(stored: StoredRemembered) -> Self {
        Self {
            digest: stored.digest,
            first_version: StreamVersion(stored.first_version),
            last_version: StreamVersion(stored.last_version),
            first_position: Position(stored.first_position),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredExpiry<'a> {
    #[serde(borrow)]
    keys: Vec<(u64, &'a str, &'a str)>,
}

impl<'a> From<&'a [Expiring]> for StoredExpiry<'a> {
    fn from(keys: &'a [Expiring]) -> Self {
        let stored = |key: &'a Expiring| (key.position.0, key.entity_id.as_str(), key.key.as_str());
        Self { keys: keys.iter().map(stored).collect() }
    }
}

impl TryFrom<StoredExpiry<'_>> for Vec<Expiring> {
    type Error = CodecError;

    fn try_from(stored: StoredExpiry<'_>) -> Result<Self, CodecError> {
        let read = |(position, entity, key): (u64, &str, &str)| {
            Ok(Expiring {
                position: Position(position),
                entity_id: EntityId::new(entity).map_err(CodecError::name(WHAT))?,
                key: IdempotencyKey::new(key).map_err(CodecError::name(WHAT))?,
            })
        };
        stored.keys.into_iter().map(read).collect()
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredMark<'a> {
    log_id: StoredLogId,
    position: u64,
    digest: u64,
    registry: u64,
    membership_at: Option<StoredLogId>,
    #[serde(borrow)]
    membership: Raw<'a>,
}

#[derive(Serialize, Deserialize)]
struct StoredLogId {
    term: u64,
    leader: u64,
    index: u64,
}

impl From<LogId> for StoredLogId {
    fn from(id: LogId) -> Self {
        Self { term: id.term.0, leader: id.leader.0, index: id.index.0 }
    }
}

impl From<StoredLogId> for LogId {
    fn from(stored: StoredLogId) -> Self {
        Self { term: Term(stored.term), leader: NodeId(stored.leader), index: LogIndex(stored.index) }
    }
}

impl<'a> From<&'a AppliedMark> for StoredMark<'a> {
    fn from(mark: &'a AppliedMark) -> Self {
        Self {
            log_id: mark.log_id.into(),
            position: mark.position.0,
            digest: mark.digest,
            registry: mark.registry.0,
            membership_at: mark.membership_at.map(StoredLogId::from),
            membership: Raw(&mark.membership),
        }
    }
}

impl From<StoredMark<'_>> for AppliedMark {
    fn from(stored: StoredMark<'_>) -> Self {
        Self {
            log_id: stored.log_id.into(),
            position: Position(stored.position),
            digest: stored.digest,
            registry: LogIndex(stored.registry),
            // Kept under a key of its own, which older indexes lack.
            kv: LogIndex::ZERO,
            // The same.
            rules: LogIndex::ZERO,
            membership_at: stored.membership_at.map(LogId::from),
            membership: Bytes::copy_from_slice(stored.membership.0),
        }
    }
}
