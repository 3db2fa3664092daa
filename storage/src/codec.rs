//! Bytes for values and back: bincode behind a version byte.
//!
//! The domain types know nothing of serde. Each file here holds the private
//! mirror structs of one kind of value; the order of their fields is the
//! format. `storage/golden/v1` pins the bytes of every one of them.

pub mod command;
pub mod event;
pub mod forward;
pub mod peer;

mod append;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_kv;
#[cfg(test)]
mod golden_rules;
mod kv;
mod projection;
mod raw;
#[cfg(test)]
mod round_trip;
mod rules;
#[cfg(test)]
mod samples;
mod stored;
mod transaction;

pub(crate) use kv::{StoredBucket, StoredKvHead, StoredKvMark};
pub(crate) use projection::{
    StoredBadEvent, StoredCheckpoint, StoredDefinition, StoredPartitionRebuild, StoredPartitionRebuildEnd,
    StoredRegistryOutcome, StoredView,
};
pub(crate) use rules::{StoredRules, StoredSchema, StoredUpcaster, scope_of, scope_text};
pub(crate) use stored::{StoredExpiry, StoredHead, StoredMark, StoredPositions, StoredRemembered, StoredRun};

use serde::{Deserialize, Serialize};
use weir_types::{NameError, limits};

/// The version byte that everything encoded here begins with.
pub const FORMAT_VERSION: u8 = 1;

/// Why bytes are not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the value does.
    #[error("{what} ends after {bytes} bytes")]
    Short {
        /// What was being read.
        what: &'static str,
        /// The bytes that there are.
        bytes: usize,
    },
    /// The bytes are of a format that this binary does not know.
    #[error("{what} has format version {found}, this binary knows {FORMAT_VERSION}")]
    Version {
        /// What was being read.
        what: &'static str,
        /// Its version byte.
        found: u8,
    },
    /// The checksum does not fit the bytes.
    #[error("{what} has checksum {actual:#010x}, its frame says {expected:#010x}")]
    Checksum {
        /// What was being read.
        what: &'static str,
        /// What the frame says.
        expected: u32,
        /// What the bytes are.
        actual: u32,
    },
    /// The bytes do not follow the format.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl CodecError {
    pub(crate) fn malformed(what: &'static str, reason: impl ToString) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }

    pub(crate) fn name(what: &'static str) -> impl FnOnce(NameError) -> Self {
        move |error| Self::malformed(what, error)
    }
}

// Far above any legal value: it bounds what a damaged length can make us allocate.
type Config = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<{ limits::PEER_MESSAGE_BYTES_MAX }>,
>;

const CONFIG: Config = bincode::config::standard().with_limit::<{ limits::PEER_MESSAGE_BYTES_MAX }>();

/// Appends the version byte and the value to `out`.
pub(crate) fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    encode_as(FORMAT_VERSION, value, out);
}

/// Appends another version's byte and the value to `out`.
pub(crate) fn encode_as<T: Serialize>(version: u8, value: &T, out: &mut Vec<u8>) {
    out.push(version);
    bincode::serde::encode_into_std_write(value, out, CONFIG)
        .expect("a vector takes all bytes, and the mirror structs have no unsized part");
}

/// The version byte and a byte string, which is read back by [`decode_bytes`].
pub(crate) fn encode_bytes(bytes: &[u8]) -> Vec<u8> {
    encode(&raw::Raw(bytes))
}

/// Reads what [`encode_bytes`] wrote.
pub(crate) fn decode_bytes(what: &'static str, bytes: &[u8]) -> Result<bytes::Bytes, CodecError> {
    let raw: raw::Raw<'_> = decode(what, bytes)?;
    Ok(bytes::Bytes::copy_from_slice(raw.0))
}

/// The version byte and the value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    encode_into(value, &mut out);
    out
}

/// Reads what [`encode`] wrote; all bytes must belong to it.
pub(crate) fn decode<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, CodecError> {
    decode_as(FORMAT_VERSION, what, bytes)
}

/// Reads what [`encode_as`] wrote with this version.
pub(crate) fn decode_as<'a, T: Deserialize<'a>>(
    version: u8,
    what: &'static str,
    bytes: &'a [u8],
) -> Result<T, CodecError> {
    let (value, left) = decode_some(version, what, bytes)?;
    match left {
        0 => Ok(value),
        left => Err(CodecError::malformed(what, format!("{left} bytes follow it"))),
    }
}

/// Reads the first fields of what [`encode`] wrote.
fn decode_beginning<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, CodecError> {
    decode_some(FORMAT_VERSION, what, bytes).map(|(value, _)| value)
}

/// A value and how many bytes follow it.
fn decode_some<'a, T: Deserialize<'a>>(
    version: u8,
    what: &'static str,
    bytes: &'a [u8],
) -> Result<(T, usize), CodecError> {
    let Some((&found, rest)) = bytes.split_first() else {
        return Err(CodecError::Short { what, bytes: 0 });
    };
    if found != version {
        return Err(CodecError::Version { what, found });
    }
    let (value, used) = bincode::serde::borrow_decode_from_slice(rest, CONFIG)
        .map_err(|error| CodecError::malformed(what, error))?;
    Ok((value, rest.len() - used))
}
