//! One schema of events: JSON Schema, without the network and without
//! backtracking patterns.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use weir_types::limits;

use super::bounds;

/// Why a text is not the schema of events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schema is not legal: {0}")]
pub struct SchemaFault(pub String);

/// Checks a schema. May take some milliseconds: call it off the runtime.
///
/// # Errors
/// [`SchemaFault`], for the schema's author.
pub fn inspect_schema(text: &str) -> Result<(), SchemaFault> {
    compile(text).map(drop)
}

pub(super) fn compile(text: &str) -> Result<Validator, SchemaFault> {
    if text.len() > limits::EVENT_SCHEMA_BYTES_MAX {
        return Err(SchemaFault(format!("it has over {} bytes", limits::EVENT_SCHEMA_BYTES_MAX)));
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| SchemaFault(error.to_string()))?;
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        return Err(SchemaFault("it is no object".to_owned()));
    }
    bounds::check(&schema).map_err(SchemaFault)?;
    let patterns = PatternOptions::regex()
        .size_limit(limits::EVENT_SCHEMA_PATTERN_BYTES_MAX)
        .dfa_size_limit(limits::EVENT_SCHEMA_PATTERN_BYTES_MAX);
    let options = jsonschema::options().with_pattern_options(patterns).should_validate_formats(true);
    options.build(&schema).map_err(|error| SchemaFault(error.to_string()))
}

/// What is wrong with a value, and where: at most [`limits::RULE_FAULTS_MAX`].
/// The words do not repeat the value, which may be large, and nobody else's business.
pub(super) fn faults(schema: &Validator, value: &Value) -> Vec<(String, String)> {
    let errors = schema.iter_errors(value).take(limits::RULE_FAULTS_MAX);
    errors.map(|error| (error.instance_path().to_string(), error.masked().to_string())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_failing_path_is_told() {
        let schema = json!({
            "type": "object",
            "required": ["id", "lines"],
            "properties": {
                "id": {"type": "string", "pattern": "^o-[0-9]+$"},
                "at": {"type": "string", "format": "date-time"},
                "lines": {"type": "array", "items": {"properties": {"n": {"type": "integer", "minimum": 1}}}},
            },
            "additionalProperties": false,
        });
        let schema = compile(&schema.to_string()).unwrap();
        let fine = json!({"id": "o-1", "lines": [{"n": 1}], "at": "2026-01-01T00:00:00Z"});
        assert_eq!(faults(&schema, &fine), []);
        let wrong = json!({"id": "x", "lines": [{"n": 1}, {"n": 0}, {"n": "2"}], "at": "today", "more": 1});
        let mut paths: Vec<_> = faults(&schema, &wrong).into_iter().map(|(path, _)| path).collect();
        paths.sort();
        assert_eq!(paths, ["", "/at", "/id", "/lines/1/n", "/lines/2/n"]);
        assert_eq!(faults(&schema, &json!({})).len(), 2, "both that are missing");
    }

    #[test]
    fn what_is_no_schema_is_refused_with_a_reason() {
        for text in [
            "{",
            "7",
            r#"{"type": "colour"}"#,
            r#"{"pattern": "("}"#,
            r#"{"pattern": "(?=a)b"}"#,
            r#"{"pattern": "(a{1000}){1000}"}"#,
            r#"{"$schema": "https://example.com/draft"}"#,
            r#"{"$ref": "https://example.com/a"}"#,
        ] {
            assert!(inspect_schema(text).is_err(), "{text}");
        }
        let long = format!("{{\"description\": \"{}\"}}", "x".repeat(limits::EVENT_SCHEMA_BYTES_MAX));
        assert!(inspect_schema(&long).unwrap_err().0.contains("bytes"));
    }

    #[test]
    fn a_pattern_takes_linear_time() {
        let schema = compile(r#"{"pattern": "^(a+)+$"}"#).unwrap();
        let text = format!("{}b", "a".repeat(100_000));
        assert_eq!(faults(&schema, &json!(text)).len(), 1);
    }
}
