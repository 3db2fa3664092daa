//! Arguments that are data, a file of it, or stdin.

use std::{fs, io::Read as _};

use bytes::Bytes;

use crate::error::CliError;

/// The bytes that an argument means: `@file`, `-` for stdin, or the argument itself.
pub(crate) fn read_bytes(argument: &str) -> Result<Bytes, CliError> {
    Ok(Bytes::from(match argument.strip_prefix('@') {
        Some(path) => fs::read(path).map_err(CliError::io(format!("read `{path}`")))?,
        None if argument == "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(CliError::io("read stdin"))?;
            bytes
        }
        None => argument.as_bytes().to_vec(),
    }))
}

/// As [`read_bytes`], of JSON.
pub(crate) fn read_payload(argument: &str) -> Result<Bytes, CliError> {
    let bytes = read_bytes(argument)?;
    match serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(CliError::Usage(format!("`{argument}` is not JSON: {error}"))),
    }
}
