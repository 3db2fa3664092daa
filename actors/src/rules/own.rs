//! What stands against events by themselves, whatever stream they go to.

use std::sync::Arc;

use serde_json::Value;
use weir_types::{
    ContentType, DecidedAppend, DecidedEvent, RuleFault, RuleFaults, RuleKind, SchemaMode, limits,
};

use super::{
    book::{Known, Rulebook},
    metadata, schema,
};
use crate::off_runtime::off_runtime;

/// What stands against the events of an append, which is given back. What is
/// large, or needs a schema to be compiled, is judged off the runtime.
pub(crate) async fn own_faults(book: &Arc<Rulebook>, append: DecidedAppend) -> (DecidedAppend, RuleFaults) {
    if is_quick(book, &append) {
        let faults = judge(book, &append);
        return (append, faults);
    }
    let book = Arc::clone(book);
    let judged = off_runtime(move || {
        let faults = judge(&book, &append);
        (append, faults)
    });
    judged.await.expect("a judgement does not panic, and the runtime ends after its actors")
}

fn is_quick(book: &Rulebook, append: &DecidedAppend) -> bool {
    if book.schema_mode(&append.entity_type) == SchemaMode::Off {
        return true;
    }
    let bytes: usize = append.events.iter().map(|event| event.data.len()).sum();
    let ready = |event: &DecidedEvent| match book.schema(&event.name, event.schema_version) {
        Known::Schema(schema) => schema.is_ready(),
        Known::Unknown | Known::OtherVersions => true,
    };
    bytes <= limits::RULES_ON_RUNTIME_BYTES_MAX && append.events.iter().all(ready)
}

fn judge(book: &Rulebook, append: &DecidedAppend) -> RuleFaults {
    let mode = book.schema_mode(&append.entity_type);
    let mut faults = RuleFaults::default();
    for (number, event) in (0..).zip(&append.events) {
        if faults.is_full() {
            break;
        }
        let fault = |rule| {
            move |(path, message)| {
                let entity_id = append.entity_id.clone();
                RuleFault { entity_id, event: number, rule, path, message }
            }
        };
        let of_schema = schema_faults(book, mode, event);
        faults.extend(of_schema.into_iter().map(fault(RuleKind::Schema)));
        for rules in book.metadata(&append.entity_type) {
            let of_metadata = metadata::faults(rules, &event.metadata);
            faults.extend(of_metadata.into_iter().map(fault(RuleKind::Metadata)));
        }
    }
    faults
}

fn schema_faults(book: &Rulebook, mode: SchemaMode, event: &DecidedEvent) -> Vec<(String, String)> {
    let whole = |message: String| vec![(String::new(), message)];
    let (name, version) = (&event.name, event.schema_version);
    let schema = match (mode, book.schema(name, version)) {
        (SchemaMode::Off, _) | (SchemaMode::Known, Known::Unknown) => return Vec::new(),
        (SchemaMode::Required, Known::Unknown) => return whole(format!("`{name}` has no schema")),
        (_, Known::OtherVersions) => return whole(format!("`{name}` has no schema of version {version}")),
        (_, Known::Schema(schema)) => schema,
    };
    if event.content_type != ContentType::Json {
        return whole("data is not JSON".to_owned());
    }
    let schema = match schema.ready() {
        Ok(schema) => schema,
        Err(fault) => return whole(fault.to_string()),
    };
    match serde_json::from_slice::<Value>(&event.data) {
        Ok(value) => schema::faults(schema, &value),
        Err(error) => whole(format!("data is no JSON: {error}")),
    }
}
