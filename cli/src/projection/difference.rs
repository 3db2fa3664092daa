//! Where two JSON values differ.

use serde_json::Value;

/// Differences that are shown.
pub(super) const SHOWN_MAX: usize = 20;

/// What stands where in `expected` and not in `found`, one line for each place, at most one more than [`SHOWN_MAX`].
pub(super) fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(&mut lines, "$", Some(expected), Some(found));
    lines
}

fn compare(lines: &mut Vec<String>, path: &str, expected: Option<&Value>, found: Option<&Value>) {
    if lines.len() > SHOWN_MAX {
        return;
    }
    match (expected, found) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            for (name, value) in left {
                compare(lines, &member(path, name), Some(value), right.get(name));
            }
            for (name, value) in right.iter().filter(|(name, _)| !left.contains_key(*name)) {
                compare(lines, &member(path, name), None, Some(value));
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for at in 0..left.len().max(right.len()) {
                compare(lines, &format!("{path}[{at}]"), left.get(at), right.get(at));
            }
        }
        (Some(left), Some(right)) if equal(left, right) => {}
        (Some(left), Some(right)) => lines.push(format!("{path}: expected {left}, found {right}")),
        (Some(left), None) => lines.push(format!("{path}: expected {left}, found nothing")),
        (None, Some(right)) => lines.push(format!("{path}: expected nothing, found {right}")),
        (None, None) => {}
    }
}

/// `1` and `1.0` are one number, as they are in JavaScript.
fn equal(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(one), Some(other)) => {
            left == right || (one - other).abs() == 0.0 && (left.is_f64() || right.is_f64())
        }
        _ => left == right,
    }
}

fn member(path: &str, name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(is_plain) {
        true => format!("{path}.{name}"),
        false => format!("{path}[{}]", Value::from(name)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_place_that_differs_is_named() {
        for (expected, found, lines) in [
            (json!({"a": 1}), json!({"a": 1.0}), vec![]),
            (json!({"a": 1}), json!({"a": 2}), vec!["$.a: expected 1, found 2"]),
            (json!({"a b": [1]}), json!({"a b": [1, 2]}), vec!["$[\"a b\"][1]: expected nothing, found 2"]),
            (json!({"a": {"x": 1}}), json!({}), vec!["$.a: expected {\"x\":1}, found nothing"]),
            (json!([]), json!({}), vec!["$: expected [], found {}"]),
            (
                json!({"n": 9_007_199_254_740_993_u64}),
                json!({"n": 9_007_199_254_740_992_u64}),
                vec!["$.n: expected 9007199254740993, found 9007199254740992"],
            ),
        ] {
            assert_eq!(differences(&expected, &found), lines, "{expected} {found}");
        }
        assert_eq!(differences(&json!(vec![1; 50]), &json!(vec![2; 50])).len(), SHOWN_MAX + 1);
    }
}
