use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use weir_types::limits;

use crate::ApiError;

const RESERVED_NAME: &str = "$serde_json::private::RawValue";

/// What a JSON value is, as far as anybody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    Object { is_empty: bool },
    Other,
}

/// Checks that bytes are one JSON value that any reader can hold: its strings are Unicode, its numbers finite, and it
/// is nested at most [`limits::JSON_DEPTH_MAX`] deep. Walks it without keeping any of it.
///
/// # Errors
/// [`crate::ErrorCode::InvalidRequest`].
pub(super) fn check(bytes: &[u8], what: &str) -> Result<Shape, ApiError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let walked = Walk { room: limits::JSON_DEPTH_MAX }.deserialize(&mut reader);
    let shape = walked.and_then(|shape| reader.end().map(|()| shape));
    shape.map_err(|error| ApiError::invalid(format!("{what} is not a JSON value: {error}")))
}

/// Walks a value that may be nested `room` deep.
#[derive(Clone, Copy)]
struct Walk {
    room: usize,
}

impl Walk {
    fn within<E: Error>(self) -> Result<Self, E> {
        let max = limits::JSON_DEPTH_MAX;
        let room = self.room.checked_sub(1);
        room.map(|room| Self { room }).ok_or_else(|| E::custom(format!("nested over {max} deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let within = self.within()?;
        while items.next_element_seed(within)?.is_some() {}
        Ok(Shape::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Shape, A::Error> {
        let within = self.within()?;
        let mut is_empty = true;
        while members.next_key_seed(Name)?.is_some() {
            members.next_value_seed(within)?;
            is_empty = false;
        }
        Ok(Shape::Object { is_empty })
    }
}

/// Walks the name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        // `serde_json` reads another value out of an object that begins with it.
        match name == RESERVED_NAME {
            true => Err(E::custom(format!("`{name}` is no name of a member"))),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn what_is_taken_is_what_a_reader_can_hold() {
        let texts = [
            "null",
            "true",
            "-1",
            "1.5e300",
            "1e999",
            "-1e999",
            "12345678901234567890123",
            "\"\"",
            "\"\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "{\"\\ud800\":1}",
            "{\"a\":{\"b\":[1,{}]}}",
            "{\"a\":1,\"a\":2}",
            "{a:1}",
            "{\"a\"}",
            "{1:2}",
            "[1,]",
            "[",
            "",
            " 1 ",
            "1 2",
            "nan",
            "\u{feff}1",
            "\"\u{1}\"",
            "01",
            "{}",
            "[[[]]]",
            "\"\\x\"",
        ];
        for text in texts {
            let (walked, read) = (check(text.as_bytes(), "data"), serde_json::from_str::<Value>(text));
            assert_eq!(walked.is_ok(), read.is_ok(), "{text}: {walked:?} and {read:?}");
            let shape = read.ok().map(|value| match value {
                Value::Null => Shape::Null,
                Value::Object(members) => Shape::Object { is_empty: members.is_empty() },
                _ => Shape::Other,
            });
            assert_eq!(walked.ok(), shape, "{text}");
        }
        assert!(check(b"\"\xff\"", "data").is_err());
    }

    #[test]
    fn a_name_that_a_reader_takes_for_its_own_is_refused_wherever_it_is() {
        for text in ["{NAME:1}", "{NAME:\"5\"}", "[{\"a\":{NAME:\"{}\"}}]", "{\"b\":2,NAME:\"1\"}"] {
            let text = text.replace("NAME", &format!("\"{RESERVED_NAME}\""));
            let error = check(text.as_bytes(), "data").unwrap_err();
            assert!(error.message.contains(RESERVED_NAME), "{error:?}");
        }
        assert!(check(format!("\"{RESERVED_NAME}\"").as_bytes(), "data").is_ok());
    }

    #[test]
    fn nesting_has_its_limit() {
        let max = limits::JSON_DEPTH_MAX;
        assert_eq!(check(nested(max).as_bytes(), "data"), Ok(Shape::Other));
        for deep in [nested(max + 1), nested(100_000)] {
            let error = check(deep.as_bytes(), "data").unwrap_err();
            assert!(error.message.contains(&format!("nested over {max} deep")), "{error:?}");
        }
    }
}
