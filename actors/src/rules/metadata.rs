//! What metadata must hold.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weir_types::{MetadataRule, MetadataType};

/// What is wrong with an event's metadata, by key as a JSON pointer. No bytes are an empty object.
pub(super) fn faults(rules: &BTreeMap<String, MetadataRule>, metadata: &[u8]) -> Vec<(String, String)> {
    if rules.is_empty() {
        return Vec::new();
    }
    let held: Map<String, Value> = match metadata {
        b"" => Map::new(),
        bytes => match serde_json::from_slice(bytes) {
            Ok(held) => held,
            Err(error) => return vec![(String::new(), format!("is no JSON object: {error}"))],
        },
    };
    let wrong = rules.iter().filter_map(|(key, rule)| {
        let message = match held.get(key).filter(|value| !value.is_null()) {
            None if rule.required => "is missing".to_owned(),
            None => return None,
            Some(value) if fits(rule.kind, value) => return None,
            Some(_) => format!("is not {}", wanted(rule.kind)),
        };
        Some((pointer(key), message))
    });
    wrong.collect()
}

fn fits(kind: MetadataType, value: &Value) -> bool {
    match kind {
        MetadataType::Any => true,
        MetadataType::Text => value.as_str().is_some_and(|text| !text.is_empty()),
        MetadataType::Number => value.is_number(),
        MetadataType::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        MetadataType::Boolean => value.is_boolean(),
        MetadataType::Object => value.is_object(),
        MetadataType::Array => value.is_array(),
    }
}

fn wanted(kind: MetadataType) -> &'static str {
    match kind {
        MetadataType::Any => "there",
        MetadataType::Text => "a text with characters in it",
        MetadataType::Number => "a number",
        MetadataType::Integer => "a whole number",
        MetadataType::Boolean => "true or false",
        MetadataType::Object => "an object",
        MetadataType::Array => "an array",
    }
}

fn pointer(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_there_and_of_their_type() {
        let rule = |kind, required| MetadataRule { kind, required };
        let rules: BTreeMap<_, _> = [
            ("tenantId", rule(MetadataType::Text, true)),
            ("a/b", rule(MetadataType::Integer, true)),
            ("note", rule(MetadataType::Object, false)),
        ]
        .map(|(key, rule)| (key.to_owned(), rule))
        .into();
        for (metadata, expected) in [
            (r#"{"tenantId": "t", "a/b": 3}"#, &[][..]),
            (r#"{"tenantId": "t", "a/b": 3, "note": {}, "more": 1}"#, &[]),
            (r#"{"tenantId": "t", "a/b": 3.0}"#, &[]),
            (r#"{"tenantId": "t", "a/b": 18446744073709551615}"#, &[]),
            ("", &["/a~1b is missing", "/tenantId is missing"]),
            (
                r#"{"tenantId": "", "a/b": 3.5, "note": []}"#,
                &[
                    "/a~1b is not a whole number",
                    "/note is not an object",
                    "/tenantId is not a text with characters in it",
                ],
            ),
            (r#"{"tenantId": null, "a/b": 1, "note": null}"#, &["/tenantId is missing"]),
        ] {
            let found = faults(&rules, metadata.as_bytes());
            let found: Vec<_> = found.iter().map(|(path, message)| format!("{path} {message}")).collect();
            assert_eq!(found, expected, "{metadata}");
        }
    }
}
