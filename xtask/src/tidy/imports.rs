//! Who may import whom, read from `cargo metadata`.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{cargo_program, command, output};

/// Each crate of the workspace, and the crates of the workspace that it may use.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("weir-types", &[]),
    ("weir-storage", &["weir-types"]),
    ("weir-raft", &["weir-types", "weir-storage"]),
    ("weir-actors", &["weir-types"]),
    ("weir-api", &["weir-types"]),
    ("weir-client", &["weir-types", "weir-api"]),
    ("weir-cli", &["weir-types", "weir-api", "weir-client"]),
    (
        "weir-node",
        &["weir-types", "weir-storage", "weir-raft", "weir-actors", "weir-api", "weir-client", "weir-cli"],
    ),
    ("weir-check", &["weir-types"]),
    ("weir-example-orders", &["weir-client"]),
    ("weir-cluster-tests", &["weir-types", "weir-api", "weir-client", "weir-check", "weir-example-orders"]),
    (
        "weir-fuzz",
        &["weir-types", "weir-storage", "weir-raft", "weir-actors", "weir-api", "weir-cli", "weir-node"],
    ),
    ("weir-append-path", &["weir-types", "weir-storage", "weir-raft", "weir-actors"]),
    (
        "weir-sim",
        &["weir-types", "weir-storage", "weir-raft", "weir-actors", "weir-api", "weir-check", "weir-node"],
    ),
    ("weir-xtask", &[]),
];

/// Crates from outside that speak to something, and the only crates whose product code may use them.
const OWNERS: [(&str, &[&str]); 14] = [
    ("openraft", &["weir-raft"]),
    ("fjall", &["weir-storage"]),
    ("sled", &["weir-storage"]),
    ("rusqlite", &["weir-storage"]),
    ("bincode", &["weir-storage"]),
    ("ractor", &["weir-actors"]),
    ("rquickjs", &["weir-actors"]),
    ("cel", &["weir-actors"]),
    // The cluster tests look at JetStream from outside.
    ("async-nats", &["weir-actors", "weir-cluster-tests"]),
    // The cluster tests count what is in the sink.
    ("tokio-postgres", &["weir-node", "weir-cluster-tests"]),
    ("axum", &["weir-node"]),
    ("turmoil", &["weir-sim"]),
    // The cluster tests send what a well-behaved client cannot.
    ("reqwest", &["weir-client", "weir-cluster-tests"]),
    ("tracing-subscriber", &["weir-node"]),
];

/// All that the words may lean on: nothing here does I/O.
const TYPES_MAY_USE: [&str; 6] = ["async-trait", "bytes", "futures", "thiserror", "uuid", "proptest"];

/// What cargo knows of the workspace.
pub fn metadata() -> Result<Value> {
    let metadata = output(command(cargo_program()).args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ]))?;
    serde_json::from_str(&metadata).context("cargo metadata printed no JSON")
}

/// Every edge that the tables do not allow.
pub fn breaches(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            found.push(format!("crate {name} is not in the table of who may import whom"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let for_tests = dependency["kind"] == "dev";
            let dependency = dependency["name"].as_str().unwrap_or_default();
            found.extend(breach(name, allowed, dependency, for_tests));
        }
    }
    Ok(found)
}

fn breach(name: &str, allowed: &[&str], dependency: &str, for_tests: bool) -> Option<String> {
    // A crate's tests may ask for its own features.
    if for_tests && dependency == name {
        return None;
    }
    if dependency.starts_with("weir-") && !allowed.contains(&dependency) {
        return Some(format!("{name} may not import {dependency}"));
    }
    if name == "weir-types" && !dependency.starts_with("weir-") && !TYPES_MAY_USE.contains(&dependency) {
        return Some(format!("weir-types is plain data and may not import {dependency}"));
    }
    if for_tests {
        return None;
    }
    let (_, owners) = OWNERS.iter().find(|(owned, _)| *owned == dependency)?;
    (!owners.contains(&name))
        .then(|| format!("{name} may not import {dependency}: only {} may", owners.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_that_the_tables_do_not_allow_are_found() {
        for (name, dependency, refused) in [
            ("weir-actors", "weir-raft", true),
            ("weir-raft", "weir-storage", false),
            ("weir-node", "openraft", true),
            ("weir-raft", "openraft", false),
            ("weir-types", "tokio", true),
        ] {
            let (_, allowed) = ALLOWED.iter().find(|(known, _)| *known == name).expect("a known crate");
            assert_eq!(breach(name, allowed, dependency, false).is_some(), refused, "{name} → {dependency}");
        }
    }
}
