//! Whole numbers as JSON and query strings spell them: 7, "7" or 7.0.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

/// The largest whole number that every float below it can tell apart.
const FLOAT_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = Option<i128>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or one in a string")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        if number.fract() == 0.0 && number.abs() <= FLOAT_EXACT_MAX {
            return Ok(Some(number as i128));
        }
        Err(E::custom(format!("{number} is not a whole number")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map(Some).map_err(|_| E::custom(format!("`{text}` is not a whole number")))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Reads any whole number that fits `T`; null is `None`.
pub(crate) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128>,
{
    let Some(number) = deserializer.deserialize_any(WholeNumber)? else { return Ok(None) };
    T::try_from(number).map(Some).map_err(|_| D::Error::custom(format!("{number} is out of range")))
}

/// As [`optional`]; null is 0, as in protobuf's JSON.
pub(crate) fn or_zero<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128> + Default,
{
    optional(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_many_spellings_and_absurd_ones_are_refused() {
        for (text, expected) in [
            ("7", Some(Some(7))),
            ("\"7\"", Some(Some(7))),
            ("7.0", Some(Some(7))),
            ("-1", Some(Some(-1))),
            ("\"-1\"", Some(Some(-1))),
            ("null", Some(None)),
            ("9223372036854775807", Some(Some(i64::MAX))),
            ("\"9223372036854775807\"", Some(Some(i64::MAX))),
            ("9223372036854775808", None),
            ("\"99999999999999999999999999999999999999999\"", None),
            ("1e300", None),
            ("7.5", None),
            ("\"\"", None),
            ("\"seven\"", None),
            ("true", None),
            ("[7]", None),
        ] {
            let read = optional::<_, i64>(&mut serde_json::Deserializer::from_str(text)).ok();
            assert_eq!(read, expected, "{text}");
        }
    }
}
