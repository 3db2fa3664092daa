//! Bugs on purpose are in no build that does not ask for them by name.

use serde_json::Value;

/// The feature that plants them.
const FEATURE: &str = "planted";

/// Every package that asks for it in silence: by default, by another feature, or of a dependency.
pub fn breaches(metadata: &Value) -> Vec<String> {
    metadata["packages"].as_array().into_iter().flatten().flat_map(asks_in_silence).collect()
}

fn asks_in_silence(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let asks = |list: &Value| {
        let mut asked = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        asked.any(|feature| feature.rsplit('/').next() == Some(FEATURE))
    };
    let features = package["features"].as_object().into_iter().flatten();
    let by_feature = features
        .filter(|(feature, list)| *feature != FEATURE && asks(list))
        .map(|(feature, _)| format!("feature {feature} of {name} asks for `{FEATURE}`"));
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let by_dependency = dependencies
        .filter(|dependency| asks(&dependency["features"]))
        .map(|dependency| format!("{name} asks for `{FEATURE}` of {}", dependency["name"]));
    by_feature.chain(by_dependency).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_asks_for_bugs_in_silence_is_found() {
        let package = |features: Value, asked: Value| {
            let dependencies = json!([{ "name": "weir-types", "features": asked }]);
            json!({ "packages": [{ "name": "weir-node", "features": features, "dependencies": dependencies }] })
        };
        let named = json!({ "default": [], "planted": ["weir-types/planted"] });
        assert!(breaches(&package(named, json!([]))).is_empty());
        assert_eq!(breaches(&package(json!({ "default": ["planted"] }), json!([]))).len(), 1);
        assert_eq!(breaches(&package(json!({ "more": ["weir-types/planted"] }), json!([]))).len(), 1);
        assert_eq!(breaches(&package(json!({}), json!(["planted"]))).len(), 1);
    }
}
