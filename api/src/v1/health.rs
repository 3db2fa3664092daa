use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// GET of `/health`, `/ready`, `/livez` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`, or `unavailable` with status 503.
    pub status: String,
    /// Now, in RFC 3339.
    pub timestamp: String,
    /// The version of the software.
    pub version: String,
    /// What was looked at, and what was found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, String>,
}

/// GET of `/api/v1/capabilities`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capabilities {
    /// How the server can be spoken to.
    pub transports: Vec<String>,
    /// What it can do.
    pub features: Vec<String>,
    /// The version of the software.
    pub version: String,
}
