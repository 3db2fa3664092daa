//! What an error holds beside its message, as lines for people.

use serde_json::{Map, Value};

/// A line for each detail, and for each item of one that is a list. What the message says word for word is left out.
pub(crate) fn lines(details: &Map<String, Value>, message: &str) -> Vec<String> {
    let by_place = details.contains_key("own") || details.contains_key("state");
    let mut lines = Vec::new();
    for (name, value) in details {
        let label = words(name);
        match value {
            // The texts of faults, each of which has a line with its place.
            Value::Array(_) if name == "messages" && by_place => {}
            Value::Array(items) => {
                lines.extend(items.iter().map(|item| format!("{label}: {}", shown("", item))))
            }
            // A single word may be in the message by chance.
            Value::String(text) if text.contains(' ') && message.contains(text.as_str()) => {}
            value => lines.push(format!("{label}: {}", shown(name, value))),
        }
    }
    lines
}

/// A value in one line. An object begins with its code and ends with its message, where it has them.
fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => match (name, number.as_i64()) {
            ("expectedVersion", Some(-1)) => "any".into(),
            ("expectedVersion", Some(-2)) => "exists".into(),
            _ => number.to_string(),
        },
        Value::String(text) => text.replace(char::is_control, " "),
        Value::Array(items) => items.iter().map(|item| shown("", item)).collect::<Vec<_>>().join(", "),
        Value::Object(members) => object(members),
    }
}

fn object(members: &Map<String, Value>) -> String {
    let says = |(name, value): &(&String, &Value)| {
        !matches!(name.as_str(), "code" | "message") && value.as_str() != Some("")
    };
    let rest =
        members.iter().filter(says).map(|(name, value)| format!("{} {}", words(name), shown(name, value)));
    let rest = rest.collect::<Vec<_>>().join(", ");
    let named = |name: &str| members.get(name).map(|value| shown(name, value));
    let parts = [named("code"), Some(rest), named("message")].into_iter().flatten();
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}

/// `expectedVersion` is `expected version`.
fn words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for char in name.chars() {
        match char {
            '_' => words.push(' '),
            char if char.is_ascii_uppercase() => words.extend([' ', char.to_ascii_lowercase()]),
            char if char.is_control() => words.push(' '),
            char => words.push(char),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(details: &Value, message: &str) -> Vec<String> {
        lines(details.as_object().unwrap(), message)
    }

    #[test]
    fn each_detail_has_a_line_that_people_read() {
        for (details, expected) in [
            (json!({}), vec![]),
            (
                json!({ "expectedVersion": 7, "actualVersion": 1 }),
                vec!["actual version: 1", "expected version: 7"],
            ),
            (json!({ "expectedVersion": -1 }), vec!["expected version: any"]),
            (json!({ "expectedVersion": -2 }), vec!["expected version: exists"]),
            (json!({ "leader": null, "what": "events" }), vec!["leader: none", "what: events"]),
            (json!({ "messages": ["a", "b"] }), vec!["messages: a", "messages: b"]),
            (json!({ "error": { "position": 3, "ids": [1, 2] } }), vec!["error: ids 1, 2, position 3"]),
            (json!({ "reason": "a\u{1b}[2J\nb" }), vec!["reason: a [2J b"]),
        ] {
            assert_eq!(told(&details, "it failed"), expected, "{details}");
        }
    }

    #[test]
    fn a_fault_is_told_by_its_place_and_once() {
        let fault = json!({ "entityId": "a-1", "event": 1, "rule": "schema", "path": "/total", "message": "is no number" });
        let whole = json!({ "entityId": "a-1", "event": 0, "rule": "invariant", "path": "", "message": "below zero" });
        let details = json!({ "own": [fault], "state": [whole], "messages": ["schema /total: is no number", "below zero"] });
        assert_eq!(
            told(&details, "events are refused: schema /total: is no number; below zero"),
            [
                "own: entity id a-1, event 1, path /total, rule schema: is no number",
                "state: entity id a-1, event 0, rule invariant: below zero",
            ]
        );
    }

    #[test]
    fn what_stands_against_a_transaction_begins_with_its_code() {
        let violation =
            json!({ "code": "version_conflict", "entityId": "a", "expectedVersion": -2, "actualVersion": 0 });
        assert_eq!(
            told(&json!({ "violations": [violation] }), "transaction is refused"),
            ["violations: version_conflict: actual version 0, entity id a, expected version exists"]
        );
    }

    #[test]
    fn what_the_message_says_word_for_word_is_not_said_again() {
        let details = json!({ "reason": "x is not defined", "what": "x" });
        assert_eq!(told(&details, "invariant failed: x is not defined"), ["what: x"]);
    }
}
