//! The README's first command runs: `cargo run` knows which program is meant.

use serde_json::Value;

/// What `cargo run` has to find.
const PROGRAM: &str = "weir";

/// What keeps `cargo run` from choosing.
pub fn breaches(metadata: &Value) -> Vec<String> {
    let of = |key: &str| metadata[key].as_array().into_iter().flatten();
    let members: Vec<&Value> = of("workspace_default_members").collect();
    let runs: Vec<&str> = of("packages")
        .filter(|package| members.contains(&&package["id"]))
        .filter_map(|package| package["default_run"].as_str())
        .collect();
    match runs.as_slice() {
        [PROGRAM] => Vec::new(),
        other => vec![format!("`cargo run` of the README would run {other:?} and not {PROGRAM}")],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cargo_run_has_one_program_to_run() {
        let metadata = |run: Value| {
            let packages = json!([{ "id": "a", "default_run": run }, { "id": "b", "default_run": "other" }]);
            json!({ "workspace_default_members": ["a"], "packages": packages })
        };
        assert!(breaches(&metadata(json!("weir"))).is_empty());
        assert_eq!(breaches(&metadata(Value::Null)).len(), 1);
        assert_eq!(breaches(&metadata(json!("weir-planted"))).len(), 1);
    }
}
