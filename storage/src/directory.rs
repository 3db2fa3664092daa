//! Directories whose entries survive power loss.
//!
//! A file that was created, renamed or unlinked is only as durable as the
//! directory that names it, so every such change ends with an fsync of that
//! directory (research P22).

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// Creates `path` and its parents, and makes their names durable.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result?,
    }
    sync(parent.unwrap_or_else(|| Path::new(".")))
}

/// Makes the names in a directory durable.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a whole file so that its name never stands for half of its bytes:
/// a new file, fsync, rename over the old one, fsync of the directory.
pub(crate) fn write_file(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(name))?;
    sync(dir)
}
