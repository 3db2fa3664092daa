//! Messages between peers: any serde value behind the version byte.

use serde::{Serialize, de::DeserializeOwned};
use weir_types::limits;

use super::{CONFIG, CodecError, FORMAT_VERSION};

const WHAT: &str = "peer message";

/// The bytes of a message.
///
/// # Panics
/// Panics when the value's own `Serialize` fails, which none of ours does.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    super::encode(message)
}

/// Reads a message; all bytes must belong to it.
///
/// # Errors
/// [`CodecError`] when it is malformed, of another format, or over
/// [`limits::PEER_MESSAGE_BYTES_MAX`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > limits::PEER_MESSAGE_BYTES_MAX {
        return Err(CodecError::malformed(WHAT, format!("it has {} bytes", bytes.len())));
    }
    let Some((&version, rest)) = bytes.split_first() else {
        return Err(CodecError::Short { what: WHAT, bytes: 0 });
    };
    if version != FORMAT_VERSION {
        return Err(CodecError::Version { what: WHAT, found: version });
    }
    let (value, used) = bincode::serde::decode_from_slice(rest, CONFIG)
        .map_err(|error| CodecError::malformed(WHAT, error))?;
    if used != rest.len() {
        return Err(CodecError::malformed(WHAT, format!("{} bytes follow it", rest.len() - used)));
    }
    Ok(value)
}
