//! What the document says of one operation.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::operation::{Method, Operation};
use crate::ErrorCode;

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// An operation as the document has it, while it is put together.
pub(super) struct Spec<'a> {
    generator: &'a mut SchemaGenerator,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    errors: Vec<ErrorCode>,
}

impl<'a> Spec<'a> {
    /// What the document says of `operation`.
    pub(super) fn of(operation: Operation, generator: &'a mut SchemaGenerator) -> Value {
        let parameters = in_path(operation);
        let spec = Spec { generator, parameters, body: None, answers: BTreeMap::new(), errors: Vec::new() };
        let spec = operation.describe(spec);
        let (mut answers, mut errors) = (spec.answers, spec.errors);
        errors.sort_unstable();
        errors.dedup();
        for code in errors {
            fail(answers.entry(code.status()).or_insert_with(failure), code);
        }
        let mut answers: Map<String, Value> =
            answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        let of_protocol = || json!({ "description": "an error of the protocol" });
        answers.insert("default".into(), if operation.is_rpc() { of_protocol() } else { failure() });
        let mut described = json!({
            "operationId": operation.name(), "summary": operation.summary(), "tags": [operation.area()],
            "responses": answers,
        });
        if !spec.parameters.is_empty() {
            described["parameters"] = spec.parameters.into();
        }
        if let Some(body) = spec.body {
            described["requestBody"] = body;
        }
        described
    }

    /// The parameters of the query.
    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        let schema = T::json_schema(self.generator);
        let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, mut schema) in properties {
            let mut parameter = json!({ "name": name, "in": "query", "required": false });
            if let Some(about) = schema.as_object_mut().and_then(|schema| schema.remove("description")) {
                parameter["description"] = about;
            }
            parameter["schema"] = schema;
            self.parameters.push(parameter);
        }
        self
    }

    pub(super) fn header(mut self, name: &str, about: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": about, "schema": { "type": "string" },
        }));
        self
    }

    /// The headers of a W3C trace.
    pub(super) fn trace(self) -> Self {
        self.header("traceparent", "the call's trace, which metadata is given")
            .header("tracestate", "what belongs to it")
    }

    pub(super) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(json!({ "required": true, "content": { JSON: { "schema": self.schema::<T>() } } }));
        self
    }

    /// Bytes of any type.
    pub(super) fn bytes(mut self) -> Self {
        self.body = Some(json!({ "required": true, "content": { BYTES: {} } }));
        self
    }

    /// A body in the JSON of protobuf, as `api/proto` has it or the contract.
    pub(super) fn protobuf(mut self) -> Self {
        let any = json!({ "schema": { "type": "object" } });
        self.body = Some(json!({ "required": true, "content": { JSON: any } }));
        self.answers.insert(200, json!({ "description": "OK", "content": { JSON: any } }));
        self
    }

    /// A success with a body. A second one of the same status is another shape of it.
    pub(super) fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        let schema = Value::from(self.schema::<T>());
        let answer = self.answers.entry(status).or_insert_with(|| json!({ "description": "done" }));
        let place = &mut answer["content"][JSON]["schema"];
        *place = match place.take() {
            Value::Null => schema,
            first => json!({ "anyOf": [first, schema] }),
        };
        self
    }

    pub(super) fn gives_nothing(mut self, status: u16, about: &str) -> Self {
        self.answers.insert(status, json!({ "description": about }));
        self
    }

    pub(super) fn gives_text(mut self, media_type: &str, about: &str) -> Self {
        let content = json!({ media_type: { "schema": { "type": "string" } } });
        self.answers.insert(200, json!({ "description": about, "content": content }));
        self
    }

    /// How it may fail, beside what every call may meet.
    pub(super) fn fails(mut self, codes: &[ErrorCode]) -> Self {
        self.errors.extend(codes);
        self
    }

    fn schema<T: JsonSchema>(&mut self) -> Schema {
        self.generator.subschema_for::<T>()
    }
}

/// An answer that is an error.
fn failure() -> Value {
    let schema = json!({ "$ref": "#/components/schemas/ErrorBody" });
    json!({ "description": "an error", "content": { JSON: { "schema": schema } } })
}

/// Names a code in an answer that is an error.
fn fail(answer: &mut Value, code: ErrorCode) {
    let mut codes = answer["x-weir-codes"].take();
    match codes.as_array_mut() {
        Some(codes) => codes.push(code.as_str().into()),
        None => codes = json!([code.as_str()]),
    }
    let named: Vec<String> = codes.as_array().into_iter().flatten().map(Value::to_string).collect();
    answer["description"] = named.join(", ").replace('"', "`").into();
    answer["x-weir-codes"] = codes;
}

fn in_path(operation: Operation) -> Vec<Value> {
    let names = operation.path().split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let parameter = |name: &str| {
        json!({
            "name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": { "type": "string" },
        })
    };
    names.map(parameter).collect()
}

impl Method {
    /// Its name in an OpenAPI document.
    pub(super) fn key(self) -> String {
        self.as_str().to_ascii_lowercase()
    }
}
