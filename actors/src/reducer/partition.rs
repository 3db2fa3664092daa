use serde_json::Value;
use serde_json_path::JsonPath;
use weir_types::{NameError, PartitionKey};

/// Where an event says which partition it belongs to.
#[derive(Debug, Clone)]
pub(super) struct PartitionPath {
    path: JsonPath,
}

impl PartitionPath {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let path = JsonPath::parse(text).map_err(|error| error.to_string())?;
        Ok(Self { path })
    }

    /// The partition of an event given as JSON. `None` when the event has no
    /// key there: nothing, null, an empty text, an object or an array, or more
    /// than one value.
    pub(super) fn key_of(&self, event: &Value) -> Result<Option<PartitionKey>, NameError> {
        let Ok(found) = self.path.query(event).at_most_one() else { return Ok(None) };
        let text = match found {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(flag)) => flag.to_string(),
            Some(Value::Number(number)) => number_text(number),
            _ => return Ok(None),
        };
        if text.is_empty() { Ok(None) } else { PartitionKey::new(text).map(Some) }
    }
}

/// A number as JavaScript would write it, so that `1` and `1.0` are one partition.
fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_texts_numbers_and_booleans() {
        let event = json!({
            "entityId": "e-1",
            "data": {"a b": "x", "n": 7, "f": 7.0, "h": 1.5, "t": true, "null": null, "empty": "", "o": {}, "l": [1, 2]}
        });
        for (path, expected) in [
            ("$.entityId", Some("e-1")),
            ("$.data['a b']", Some("x")),
            ("$.data.n", Some("7")),
            ("$.data.f", Some("7")),
            ("$.data.h", Some("1.5")),
            ("$.data.t", Some("true")),
            ("$.data.null", None),
            ("$.data.empty", None),
            ("$.data.o", None),
            ("$.data.missing", None),
            ("$.data.l[*]", None),
        ] {
            let key = PartitionPath::parse(path).unwrap().key_of(&event).unwrap();
            assert_eq!(key.as_ref().map(PartitionKey::as_str), expected, "{path}");
        }
        assert!(PartitionPath::parse("data.x").is_err());
    }

    #[test]
    fn a_key_over_its_limit_is_named() {
        let path = PartitionPath::parse("$.data").unwrap();
        assert!(path.key_of(&json!({"data": "x".repeat(513)})).is_err());
        assert!(path.key_of(&json!({"data": "a\u{0}b"})).is_err());
    }
}
