//! Directories whose entries survive power loss.
//!
//! A file that was created, renamed or unlinked is only as durable as the
//! directory that names it, so every such change ends with an fsync of that
//! directory (research P22).

use std::{io, path::Path};

use crate::disk::Disk;

/// Creates `path` and its parents, and makes their names durable.
pub(crate) fn create(disk: &Disk, path: &Path) -> io::Result<()> {
    if disk.is_dir(path)? {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create(disk, parent)?;
        // It may be the work of a process that was killed before it synced its name.
        settle(disk, parent, 2)?;
    }
    match disk.create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && disk.is_dir(path)? => {}
        result => result?,
    }
    disk.sync_dir(parent.unwrap_or_else(|| Path::new(".")))
}

/// Makes the names in `path` and in the folders above it durable, `levels` in
/// all: a process that was killed may have left them unsynced. A folder above
/// it that may not be opened was made by somebody else.
pub(crate) fn settle(disk: &Disk, path: &Path, levels: usize) -> io::Result<()> {
    for (above, folder) in path.ancestors().take(levels).enumerate() {
        let named = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match disk.sync_dir(named) {
            Err(error) if above > 0 && error.kind() == io::ErrorKind::PermissionDenied => {}
            result => result?,
        }
    }
    Ok(())
}

/// Writes a whole file so that its name never stands for half of its bytes:
/// a new file, fsync, rename over the old one, fsync of the directory.
pub(crate) fn write_file(disk: &Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = disk.create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    disk.rename(&new, &dir.join(name))?;
    disk.sync_dir(dir)
}
