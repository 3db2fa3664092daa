//! The OpenAPI document of the HTTP server, made of the table of [`Operation`]s
//! that its routes are made of too.

mod operation;
mod spec;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

pub use self::operation::{Answerer, Method, Operation};
use self::spec::Spec;
use crate::{ErrorBody, ErrorCode, JsonText};

/// The document, in OpenAPI 3.1: every path with its methods, and schemas as JSON Schema 2020-12.
///
/// A schema says what the server gives and what it is best asked with. It also takes what the document does not show:
/// other spellings of names, and whole numbers in strings.
#[must_use]
pub fn document(version: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for operation in Operation::ALL {
        let described = Spec::of(*operation, &mut generator);
        let path = operation.path().replace("{*", "{");
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[operation.method().key()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weir",
            "version": version,
            "description": "An event store of entity streams. Errors are codes, each with a page in docs/errors.",
        },
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

impl JsonSchema for JsonText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "JsonText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// Any value.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }
}

/// One of the codes.
pub(crate) fn codes(_: &mut SchemaGenerator) -> Schema {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    json_schema!({ "type": "string", "enum": codes })
}

/// The version that a stream must be at.
pub(crate) fn expected(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "oneOf": [{ "type": "integer", "minimum": -2 }, { "enum": ["any", "none", "exists"] }],
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_operation_is_in_the_document_once() {
        let document = document("0");
        let mut told = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, described) in item.as_object().unwrap() {
                assert!(
                    told.insert(described["operationId"].as_str().unwrap().to_owned()),
                    "{method} {path}"
                );
                let parameters = described["parameters"].as_array().into_iter().flatten();
                let in_path = parameters.filter(|one| one["in"] == "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
            }
        }
        assert_eq!(told.len(), Operation::ALL.len());
        let names: BTreeSet<_> = Operation::ALL.iter().map(|operation| operation.name().to_owned()).collect();
        assert_eq!(told, names);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(to)) = members.get("$ref") {
                        found.insert(to.clone());
                    }
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document("0");
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 30, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_code_is_in_the_document_and_has_a_page() {
        let document = document("0");
        let codes = document.pointer("/components/schemas/ErrorBody/properties/code/enum").unwrap();
        let codes: Vec<&str> = codes.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let known: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes, known);
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
        for code in codes {
            assert!(fs::exists(pages.join(format!("{code}.md"))).unwrap(), "{code}");
        }
    }

    #[test]
    fn every_path_constant_of_rest_is_an_operation() {
        let paths = include_str!("v1/paths.rs");
        let constants = paths.lines().filter_map(|line| line.strip_prefix("pub const "));
        let told: BTreeSet<&str> = Operation::ALL.iter().map(|operation| operation.path()).collect();
        for constant in constants {
            let path = constant.split('"').nth(1).unwrap();
            assert!(told.iter().any(|told| told.starts_with(path)), "{path}");
        }
    }
}
