//! How much a schema may ask for. Whoever registers one must not be able to
//! make an append cost more than a bounded number of checks of each value.

use serde_json::{Map, Value};
use weir_types::limits;

/// Patterns of one schema.
const PATTERNS_MAX: usize = 128;

/// Keywords whose value is one subschema for each of its names.
const MAPS: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];
/// Keywords whose value is data.
const DATA: [&str; 5] = ["enum", "const", "default", "examples", "$vocabulary"];
/// Keywords that lead elsewhere in ways that depend on who asks.
const REFUSED: [&str; 6] =
    ["$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor", "$anchor", "id"];

/// Checks that a schema refers to nothing outside itself and never to itself,
/// and that it is small with every reference followed.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let mut walk = Walk { root: schema, nodes: 0, patterns: 0, followed: Vec::new() };
    walk.schema(schema, 0)
}

struct Walk<'a> {
    root: &'a Value,
    nodes: usize,
    patterns: usize,
    followed: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn schema(&mut self, schema: &'a Value, depth: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > limits::EVENT_SCHEMA_NODES_MAX {
            let max = limits::EVENT_SCHEMA_NODES_MAX;
            return Err(format!(
                "schema has over {max} subschemas, each counted as often as it is referred to"
            ));
        }
        if depth > limits::EVENT_SCHEMA_DEPTH_MAX {
            return Err(format!("schema is nested over {} levels", limits::EVENT_SCHEMA_DEPTH_MAX));
        }
        let Value::Object(keywords) = schema else { return Ok(()) };
        for (keyword, value) in keywords {
            self.keyword(keyword, value, depth)?;
        }
        Ok(())
    }

    fn keyword(&mut self, keyword: &'a str, value: &'a Value, depth: usize) -> Result<(), String> {
        match (keyword, value) {
            ("$ref", Value::String(target)) => self.follow(target, depth),
            ("$id", _) if depth > 0 => Err("schema holds `$id` below its top".to_owned()),
            (keyword, _) if REFUSED.contains(&keyword) => Err(format!("schema holds `{keyword}`")),
            (keyword, _) if DATA.contains(&keyword) => Ok(()),
            (keyword, Value::Object(names)) if MAPS.contains(&keyword) => {
                if keyword == "patternProperties" {
                    self.count_patterns(names.len())?;
                }
                self.all(names, depth)
            }
            ("pattern", _) => self.count_patterns(1),
            (_, Value::Object(_)) => self.schema(value, depth + 1),
            (_, Value::Array(values)) => values.iter().try_for_each(|value| self.schema(value, depth + 1)),
            _ => Ok(()),
        }
    }

    fn all(&mut self, names: &'a Map<String, Value>, depth: usize) -> Result<(), String> {
        names.values().try_for_each(|value| self.schema(value, depth + 1))
    }

    fn follow(&mut self, target: &'a str, depth: usize) -> Result<(), String> {
        let Some(pointer) = target.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            return Err(format!("`$ref` {target:?} leads out of the schema"));
        };
        if pointer.is_empty() || self.followed.contains(&target) {
            return Err(format!("`$ref` {target:?} leads back to itself"));
        }
        let Some(found) = self.root.pointer(pointer) else {
            return Err(format!("`$ref` {target:?} leads to nothing"));
        };
        self.followed.push(target);
        self.schema(found, depth + 1)?;
        self.followed.pop();
        Ok(())
    }

    fn count_patterns(&mut self, more: usize) -> Result<(), String> {
        self.patterns += more;
        match self.patterns > PATTERNS_MAX {
            true => Err(format!("schema has over {PATTERNS_MAX} patterns")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_whole_in_itself_small_and_without_loops() {
        let fan: Map<String, Value> = (0..20)
            .map(|n| {
                let next = format!("#/$defs/a{}", n + 1);
                (format!("a{n}"), json!({"allOf": [{"$ref": next}, {"$ref": next}]}))
            })
            .chain([("a20".to_owned(), json!({"type": "string"}))])
            .collect();
        let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
        for (schema, refused) in [
            (json!({"$ref": "https://example.com/a.json"}), "leads out"),
            (json!({"$ref": "file:///etc/passwd"}), "leads out"),
            (json!({"$ref": "#anchor"}), "leads out"),
            (json!({"properties": {"a": {"$ref": "#"}}}), "leads back"),
            (json!({"$defs": {"t": {"anyOf": [{"$ref": "#/$defs/t"}]}}}), "leads back"),
            (json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}), "leads back"),
            (json!({"$ref": "#/$defs/none"}), "leads to nothing"),
            (json!({"$dynamicRef": "#x"}), "holds `$dynamicRef`"),
            (json!({"items": {"$id": "x"}}), "holds `$id` below"),
            (json!({"$defs": fan, "$ref": "#/$defs/a0"}), "over 4096 subschemas"),
            (deep, "nested over"),
            (json!({"allOf": vec![json!({"pattern": "a"}); 129]}), "over 128 patterns"),
        ] {
            let error = check(&schema).unwrap_err();
            assert!(error.contains(refused), "{schema}: {error}");
        }
        for schema in [
            json!(true),
            json!({"$id": "urn:a", "properties": {"$ref": {"type": "string"}, "default": {"$ref": "#/$defs/a"}},
                "$defs": {"a": {"enum": [{"$ref": "http://no"}]}}}),
        ] {
            assert_eq!(check(&schema), Ok(()), "{schema}");
        }
    }
}
