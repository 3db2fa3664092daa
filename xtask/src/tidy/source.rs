//! The repository's text files.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::command::root;

/// Folders that hold nothing of ours, or bytes that are meant to be wrong.
const SKIPPED: [&str; 5] = ["target", ".git", "weir-data", "node_modules", "corpus"];
/// Names and endings of the files that the rules are about.
const TEXT: [&str; 14] = [
    ".rs",
    ".toml",
    ".md",
    ".py",
    ".js",
    ".yaml",
    ".yml",
    ".proto",
    ".conf",
    ".json",
    ".sh",
    "justfile",
    "run",
    "Dockerfile",
];

/// One text file.
pub struct Source {
    /// Its path within the repository, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Every text file, in order of their paths.
pub fn files() -> Result<Vec<Source>> {
    let (root, mut found) = (root(), Vec::new());
    walk(&root, &root, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type()?.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                walk(root, &path, found)?;
            }
        } else if TEXT.iter().any(|end| name.ends_with(end)) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let inside = path.strip_prefix(root).expect("the walk stays below the root");
            found.push(Source { path: inside.to_string_lossy().replace('\\', "/"), text });
        }
    }
    Ok(())
}
