//! The inputs that are in the repository.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::Target;

/// One seed.
pub struct Input {
    /// Its file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Where a target's own seeds are, findings that were fixed among them.
#[must_use]
pub fn corpus_dir(target: &Target) -> PathBuf {
    repository().join("fuzz/corpus").join(target.name)
}

/// The folders of a target's seeds, within the repository; its own is the first.
#[must_use]
pub fn seed_folders(target: &Target) -> Vec<String> {
    let own = format!("fuzz/corpus/{}", target.name);
    std::iter::once(own).chain(target.seeds.iter().map(|folder| (*folder).to_owned())).collect()
}

/// All seeds of a target, in order of their paths.
///
/// # Errors
/// When a folder or a file cannot be read.
pub fn inputs(target: &Target) -> Result<Vec<Input>> {
    let mut paths = Vec::new();
    for folder in seed_folders(target) {
        paths.extend(files(&repository().join(folder))?);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Input { path, bytes })
    };
    paths.into_iter().map(read).collect()
}

fn repository() -> &'static Path {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    fuzz.parent().expect("this crate lies in the repository")
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(dir).and_then(Iterator::collect);
    let entries = entries.with_context(|| format!("cannot list {}", dir.display()))?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}
