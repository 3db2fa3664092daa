//! JSON that is kept as it came.

mod shape;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};

use self::shape::Shape;
use crate::ApiError;

/// One JSON value, kept byte for byte: no digit of a long number is lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonText(Box<RawValue>);

impl JsonText {
    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The value.
    ///
    /// # Errors
    /// When the text is no JSON value that `serde_json` can hold, e.g. too deep.
    pub fn to_value(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// The text of bytes that are known to be JSON; of others, null.
    #[must_use]
    pub fn of_stored(bytes: &[u8]) -> Self {
        serde_json::from_slice::<Box<RawValue>>(bytes).map_or_else(|_| Self::null(), Self)
    }

    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// The text of a string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::from(&Value::from(text))
    }
}

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("a value is always JSON"))
    }
}

impl PartialEq for JsonText {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// A value that is there, even if it is null: absent and null differ for data.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<JsonText>, D::Error> {
    JsonText::deserialize(deserializer).map(Some)
}

/// Checks event data that says it is JSON: one value that any reader can hold.
///
/// # Errors
/// [`crate::ErrorCode::InvalidRequest`].
pub(crate) fn checked_data(bytes: Bytes) -> Result<Bytes, ApiError> {
    shape::check(&bytes, "data").map(|_| bytes)
}

/// Checks metadata: an object, or nothing. An empty object is nothing.
///
/// # Errors
/// [`crate::ErrorCode::InvalidRequest`].
pub(crate) fn checked_metadata(bytes: Bytes) -> Result<Bytes, ApiError> {
    if bytes.is_empty() {
        return Ok(bytes);
    }
    match shape::check(&bytes, "metadata")? {
        Shape::Object { is_empty: true } | Shape::Null => Ok(Bytes::new()),
        Shape::Object { .. } => Ok(bytes),
        Shape::Other => Err(ApiError::invalid("metadata is not a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_kept_byte_for_byte_or_refused() {
        for text in ["{}", "null", "[1, 2]", "12345678901234567890123", "{\"a\" : 1.10}", "\"\\\"[[[\""] {
            assert_eq!(checked_data(Bytes::from(text)).unwrap(), text);
        }
        let deep = format!("{}{}", "[".repeat(97), "]".repeat(97));
        for bad in ["", "{", "{} {}", "nul", "\"\\ud800\"", "1e999", "\u{feff}{}", &deep] {
            assert!(checked_data(Bytes::from(bad.to_owned())).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn metadata_is_an_object_or_nothing() {
        for (text, kept) in [("", ""), ("{}", ""), ("null", ""), ("{\"a\":1}", "{\"a\":1}")] {
            assert_eq!(checked_metadata(Bytes::from(text)).unwrap(), kept);
        }
        for bad in ["[]", "1", "\"x\"", "{"] {
            assert!(checked_metadata(Bytes::from(bad)).is_err(), "{bad}");
        }
    }
}
