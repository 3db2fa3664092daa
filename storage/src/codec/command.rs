//! A command: the payload of a log record, encoded once by the proposer.
//!
//! `[format version u8 = 1][kind u8]`, and then, for kind 1, a batch of appends:
//! `[count u32 LE]`, per append `[meta len u32 LE][meta]`, per event of it a
//! frame (see [`super::event`]); for kind 2, a registry command; for kind 3, a
//! batch of any writes: `[count u32 LE]`, per write `[kind u8]`, and then for
//! kind 1 an append as above, for kind 2 a transaction (see [`transaction`]), for
//! kind 3 `[len u32 LE]` and a stamped key-value command. The meta of an append
//! that was judged by rules is of format 2: that of format 1, and against what.

mod transaction;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use weir_types::{
    DecidedAppend, DecidedWrite, EntityId, EntityType, EventId, Idempotency, IdempotencyKey, Judged,
    LogIndex, RegistryCommand, StampedKv, StreamVersion, Timestamp, limits,
};

pub use self::transaction::{CommandTransaction, TransactionMeta};
pub(super) use self::transaction::{StoredCondition, read_check};
use super::{
    CodecError, FORMAT_VERSION, decode, decode_as, encode_as, encode_into,
    event::{FRAME_HEADER_BYTES, encode_frame, read_header},
    kv::StoredStampedKv,
    projection::StoredRegistryCommand,
};

const WHAT: &str = "command";
const KIND_APPENDS: u8 = 1;
const KIND_REGISTRY: u8 = 2;
const KIND_WRITES: u8 = 3;

const WRITE_APPEND: u8 = 1;
const WRITE_TRANSACTION: u8 = 2;
const WRITE_KV: u8 = 3;

/// The format of the meta of an append that was judged.
const JUDGED_VERSION: u8 = FORMAT_VERSION + 1;

/// What a command's payload says, without its events' bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Writes, in order.
    Writes(Vec<CommandWrite>),
    /// A change of the registry.
    Registry(RegistryCommand),
}

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandWrite {
    /// To one stream.
    Append(CommandAppend),
    /// To several.
    Transaction(CommandTransaction),
    /// To the key-value buckets.
    Kv(StampedKv),
}

impl CommandWrite {
    /// The appends that it is made of, in order.
    #[must_use]
    pub fn appends(&self) -> &[CommandAppend] {
        match self {
            Self::Append(append) => std::slice::from_ref(append),
            Self::Transaction(transaction) => &transaction.appends,
            Self::Kv(_) => &[],
        }
    }
}

/// One append of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandAppend {
    /// What is judged.
    pub meta: AppendMeta,
    /// Where its events lie, in order; at least one.
    pub frames: Vec<EventFrame>,
}

/// What apply must know of an append to judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendMeta {
    /// The stream.
    pub entity_id: EntityId,
    /// The type of the entity.
    pub entity_type: EntityType,
    /// The version that the stream must be at.
    pub base: StreamVersion,
    /// The idempotency key, if any.
    pub idempotency: Option<Idempotency>,
    /// What it was judged against; `None` when the group had no rules.
    pub judged: Option<Judged>,
    /// When the leader recorded it.
    pub recorded_at: Timestamp,
}

/// Where one event lies in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFrame {
    /// Byte offset of the frame within the payload.
    pub offset: u32,
    /// Bytes of the frame, header and body.
    pub len: u32,
    /// crc32c of the body.
    pub crc: u32,
}

impl EventFrame {
    /// The event's body, as a slice of the payload that the frame was read from.
    #[must_use]
    pub fn body(&self, payload: &Bytes) -> Bytes {
        let (start, end) = (self.offset as usize, (self.offset + self.len) as usize);
        payload.slice(start + FRAME_HEADER_BYTES..end)
    }
}

#[derive(Serialize, Deserialize)]
struct StoredMeta<'a> {
    entity_id: &'a str,
    entity_type: &'a str,
    base: u64,
    #[serde(borrow)]
    idempotency: Option<(&'a str, u64)>,
    recorded_at: i64,
    events: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredJudgedMeta<'a> {
    #[serde(borrow)]
    meta: StoredMeta<'a>,
    rules: u64,
    last: Option<[u8; 16]>,
}

/// The payload of a batch of appends.
///
/// # Panics
/// As [`encode_writes`].
#[must_use]
pub fn encode_appends(appends: &[DecidedAppend]) -> Bytes {
    let weight: usize = appends.iter().map(DecidedAppend::weight).sum();
    let mut out = begin(KIND_APPENDS, appends.len(), weight);
    appends.iter().for_each(|append| encode_append(append, &mut out));
    finish(out)
}

/// The payload of a batch of writes. Of appends alone it is that of [`encode_appends`].
///
/// # Panics
/// Panics when the batch is over 4 GiB; the proposer keeps it near
/// [`limits::ENTRY_BYTES_MAX`].
#[must_use]
pub fn encode_writes(writes: &[DecidedWrite]) -> Bytes {
    let weight: usize = writes.iter().map(DecidedWrite::weight).sum();
    let plain = writes.iter().all(|write| matches!(write, DecidedWrite::Append(_)));
    let mut out = begin(if plain { KIND_APPENDS } else { KIND_WRITES }, writes.len(), weight);
    for write in writes {
        match write {
            DecidedWrite::Append(append) => {
                if !plain {
                    out.push(WRITE_APPEND);
                }
                encode_append(append, &mut out);
            }
            DecidedWrite::Transaction(transaction) => {
                out.push(WRITE_TRANSACTION);
                transaction::encode(transaction, &mut out);
            }
            DecidedWrite::Kv(stamped) => {
                out.push(WRITE_KV);
                encode_sized(&StoredStampedKv::from(stamped), &mut out);
            }
        }
    }
    finish(out)
}

fn begin(kind: u8, writes: usize, weight: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(weight + 64);
    out.extend_from_slice(&[FORMAT_VERSION, kind]);
    out.extend_from_slice(&count(writes).to_le_bytes());
    out
}

fn finish(out: Vec<u8>) -> Bytes {
    assert!(u32::try_from(out.len()).is_ok(), "a batch must be below 4 GiB");
    Bytes::from(out)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("counts are bounded far below 4 G")
}

/// Appends a value behind its length in bytes.
fn encode_sized<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    encode_sized_as(FORMAT_VERSION, value, out);
}

/// The same of another format.
fn encode_sized_as<T: Serialize>(version: u8, value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    encode_as(version, value, out);
    let len = count(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

fn encode_append(append: &DecidedAppend, out: &mut Vec<u8>) {
    let meta = StoredMeta {
        entity_id: append.entity_id.as_str(),
        entity_type: append.entity_type.as_str(),
        base: append.base.0,
        idempotency: append.idempotency.as_ref().map(|known| (known.key.as_str(), known.digest)),
        recorded_at: append.recorded_at.0,
        events: count(append.events.len()),
    };
    match append.judged {
        None => encode_sized(&meta, out),
        Some(Judged { rules, last }) => {
            let last = last.map(|id| *id.0.as_bytes());
            encode_sized_as(JUDGED_VERSION, &StoredJudgedMeta { meta, rules: rules.0, last }, out);
        }
    }
    for (number, event) in (1..).zip(&append.events) {
        encode_frame(append, event, append.base.plus(number), out);
    }
}

/// The payload of a registry command.
#[must_use]
pub fn encode_registry(command: &RegistryCommand) -> Bytes {
    let mut out = vec![FORMAT_VERSION, KIND_REGISTRY];
    encode_into(&StoredRegistryCommand::from(command), &mut out);
    Bytes::from(out)
}

/// Whether a payload is a registry command, without decoding it.
#[must_use]
pub fn is_registry(payload: &[u8]) -> bool {
    payload.starts_with(&[FORMAT_VERSION, KIND_REGISTRY])
}

/// The number of events that a payload would append at most. Payloads of other
/// kinds, and malformed ones, have none.
#[must_use]
pub fn event_count(payload: &Bytes) -> u64 {
    match Command::decode(payload) {
        Ok(Command::Writes(writes)) => {
            writes.iter().flat_map(CommandWrite::appends).map(|append| append.frames.len() as u64).sum()
        }
        _ => 0,
    }
}

impl Command {
    /// Reads a payload. Event bodies are neither decoded nor checked: the log's
    /// record checksum covers them, and whoever reads an event checks its own.
    ///
    /// # Errors
    /// [`CodecError`] when the payload is malformed or of another format.
    pub fn decode(payload: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader { payload, at: 0 };
        let [version, kind] = *reader.array::<2>()?;
        if version != FORMAT_VERSION {
            return Err(CodecError::Version { what: WHAT, found: version });
        }
        match kind {
            KIND_APPENDS => {
                reader.writes(|reader| reader.append().map(CommandWrite::Append)).map(Self::Writes)
            }
            KIND_WRITES => reader.writes(Reader::write).map(Self::Writes),
            KIND_REGISTRY => {
                let stored: StoredRegistryCommand<'_> = decode(WHAT, &payload[2..])?;
                stored.try_into().map(Self::Registry)
            }
            other => Err(CodecError::malformed(WHAT, format!("kind {other} is not known"))),
        }
    }
}

fn read_idempotency(stored: Option<(&str, u64)>) -> Result<Option<Idempotency>, CodecError> {
    let read = |(key, digest)| {
        Ok(Idempotency { key: IdempotencyKey::new(key).map_err(CodecError::name(WHAT))?, digest })
    };
    stored.map(read).transpose()
}

struct Reader<'a> {
    payload: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let short = CodecError::Short { what: WHAT, bytes: self.payload.len() };
        let end = self.at.checked_add(len).ok_or(short.clone())?;
        let bytes = self.payload.get(self.at..end).ok_or(short)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], CodecError> {
        self.take(N).map(|bytes| bytes.first_chunk().expect("take gives as many bytes as asked"))
    }

    fn number(&mut self) -> Result<u32, CodecError> {
        self.array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn writes(
        &mut self,
        mut next: impl FnMut(&mut Self) -> Result<CommandWrite, CodecError>,
    ) -> Result<Vec<CommandWrite>, CodecError> {
        let count = self.number()? as usize;
        // A damaged count must not reserve memory; a true one is below the limit.
        let mut writes = Vec::with_capacity(count.min(limits::ENTRY_APPENDS_MAX));
        for _ in 0..count {
            writes.push(next(self)?);
        }
        if self.at != self.payload.len() {
            return Err(CodecError::malformed(
                WHAT,
                format!("{} bytes follow it", self.payload.len() - self.at),
            ));
        }
        Ok(writes)
    }

    fn write(&mut self) -> Result<CommandWrite, CodecError> {
        match self.array::<1>()? {
            [WRITE_APPEND] => self.append().map(CommandWrite::Append),
            [WRITE_TRANSACTION] => transaction::decode(self).map(CommandWrite::Transaction),
            [WRITE_KV] => {
                let stored: StoredStampedKv<'_> = self.sized()?;
                stored.read(self.payload).map(CommandWrite::Kv)
            }
            [other] => Err(CodecError::malformed(WHAT, format!("write of kind {other} is not known"))),
        }
    }

    /// What [`encode_sized`] wrote.
    fn sized<T: Deserialize<'a>>(&mut self) -> Result<T, CodecError> {
        let len = self.number()? as usize;
        decode(WHAT, self.take(len)?)
    }

    /// What stands before an append's events, and what it was judged against.
    fn meta(&mut self) -> Result<(StoredMeta<'a>, Option<Judged>), CodecError> {
        let len = self.number()? as usize;
        let bytes = self.take(len)?;
        if bytes.first() != Some(&JUDGED_VERSION) {
            return Ok((decode(WHAT, bytes)?, None));
        }
        let stored: StoredJudgedMeta<'_> = decode_as(JUDGED_VERSION, WHAT, bytes)?;
        let last = stored.last.map(|id| EventId(Uuid::from_bytes(id)));
        Ok((stored.meta, Some(Judged { rules: LogIndex(stored.rules), last })))
    }

    fn append(&mut self) -> Result<CommandAppend, CodecError> {
        let (stored, judged) = self.meta()?;
        let name = CodecError::name;
        let idempotency = read_idempotency(stored.idempotency)?;
        let meta = AppendMeta {
            entity_id: EntityId::new(stored.entity_id).map_err(name(WHAT))?,
            entity_type: EntityType::new(stored.entity_type).map_err(name(WHAT))?,
            base: StreamVersion(stored.base),
            idempotency,
            judged,
            recorded_at: Timestamp(stored.recorded_at),
        };
        if stored.events == 0 {
            return Err(CodecError::malformed(WHAT, "an append holds no event"));
        }
        let mut frames = Vec::with_capacity((stored.events as usize).min(limits::APPEND_EVENTS_MAX));
        for _ in 0..stored.events {
            frames.push(self.frame()?);
        }
        Ok(CommandAppend { meta, frames })
    }

    fn frame(&mut self) -> Result<EventFrame, CodecError> {
        let offset = self.at;
        let (len, crc) = read_header(self.take(FRAME_HEADER_BYTES)?)?;
        self.take(len as usize)?;
        let narrow =
            |bytes: usize| u32::try_from(bytes).map_err(|_| CodecError::malformed(WHAT, "it is over 4 GiB"));
        Ok(EventFrame { offset: narrow(offset)?, len: narrow(self.at - offset)?, crc })
    }
}
