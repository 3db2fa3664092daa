use std::path::PathBuf;

/// Why a config was refused. Each has a stable code; see `docs/errors`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("config file {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The file is not TOML.
    #[error("config is not TOML: {reason}")]
    Syntax {
        /// The parser's words, with line and column.
        reason: String,
    },
    /// The `version` key is missing or names another format.
    #[error("config has {found}; this weir reads `version = 1`")]
    Version {
        /// What stands there.
        found: String,
    },
    /// A key that does not exist.
    #[error("config has an unknown field: {reason}")]
    UnknownField {
        /// The field, the line and the known ones.
        reason: String,
    },
    /// A key has a value that it may not have.
    #[error("config field `{field}` is not legal: {reason}")]
    Value {
        /// The key, or `file` when the parser's words name it.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A key that must be given is not.
    #[error("config field `{field}` is missing: {reason}")]
    Missing {
        /// The key.
        field: &'static str,
        /// Why it is needed.
        reason: &'static str,
    },
}

impl ConfigError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "config_unreadable",
            Self::Syntax { .. } => "config_syntax",
            Self::Version { .. } => "config_version",
            Self::UnknownField { .. } => "config_unknown_field",
            Self::Value { .. } => "config_value",
            Self::Missing { .. } => "config_missing_field",
        }
    }
}
