//! The disk under the log and the identity: the few operations that they need,
//! carried out by the operating system, or by a disk in memory that can lose
//! what was not synced.
//!
//! Contract of every implementation: what a write returned is read by all at
//! once, but survives a loss of power only when a sync of the file that began
//! later has returned; a name that was made, renamed or removed survives only
//! after [`Disk::sync_dir`] of its folder. A failed sync says nothing about any
//! later one.

#[cfg(feature = "sim")]
pub mod sim;

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

use uuid::Uuid;

/// Where files are. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub enum Disk {
    /// The operating system's.
    #[default]
    Real,
    /// In memory.
    #[cfg(feature = "sim")]
    Sim(sim::SimDisk),
}

/// An open file.
#[derive(Debug)]
pub(crate) enum DiskFile {
    Real(File),
    #[cfg(feature = "sim")]
    Sim(sim::SimFile),
}

/// A file that is locked until this is dropped.
#[derive(Debug)]
pub(crate) enum DiskLock {
    Real {
        _file: File,
    },
    #[cfg(feature = "sim")]
    Sim {
        _lock: sim::SimLock,
    },
}

impl Disk {
    /// Whether all work must be done by the caller's thread, so that it is the
    /// same in every run.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        !matches!(self, Self::Real)
    }

    /// An id that no other has.
    pub(crate) fn unique(&self) -> Uuid {
        match self {
            Self::Real => Uuid::new_v4(),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.unique(),
        }
    }

    /// Whether there is such a folder. What cannot be told is an error, never a no.
    pub(crate) fn is_dir(&self, path: &Path) -> io::Result<bool> {
        match self {
            Self::Real => match fs::metadata(path) {
                Ok(found) => Ok(found.is_dir()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            },
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.is_dir(path),
        }
    }

    /// Whether there is such a file or folder. What cannot be told is an error, never a no.
    pub(crate) fn exists(&self, path: &Path) -> io::Result<bool> {
        match self {
            Self::Real => fs::exists(path),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.exists(path),
        }
    }

    pub(crate) fn create_dir(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Real => fs::create_dir(path),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.create_dir(path),
        }
    }

    /// The names in a folder that are text, in order.
    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        match self {
            Self::Real => {
                let mut names = Vec::new();
                for entry in fs::read_dir(path)? {
                    names.extend(entry?.file_name().into_string().ok());
                }
                names.sort_unstable();
                Ok(names)
            }
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.list(path),
        }
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Real => File::open(path)?.sync_all(),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.sync_dir(path),
        }
    }

    /// Opens a file for reading and writing.
    pub(crate) fn open(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Self::Real => File::options().read(true).write(true).open(path).map(DiskFile::Real),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.open(path).map(DiskFile::Sim),
        }
    }

    /// Opens a file for reading.
    pub(crate) fn open_to_read(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Self::Real => File::open(path).map(DiskFile::Real),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.open(path).map(DiskFile::Sim),
        }
    }

    /// Makes an empty file, or empties the one that is there, for reading and writing.
    pub(crate) fn create(&self, path: &Path) -> io::Result<DiskFile> {
        match self {
            Self::Real => {
                let mut options = File::options();
                options.create(true).truncate(true).read(true).write(true);
                options.open(path).map(DiskFile::Real)
            }
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.create(path).map(DiskFile::Sim),
        }
    }

    /// Reads a whole file.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self {
            Self::Real => fs::read(path),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.read(path),
        }
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self {
            Self::Real => fs::rename(from, to),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.rename(from, to),
        }
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Real => fs::remove_file(path),
            #[cfg(feature = "sim")]
            Self::Sim(disk) => disk.remove(path),
        }
    }

    /// Locks a file, making it when it is missing; `None` when another holds it.
    pub(crate) fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        match self {
            Self::Real => {
                let file = File::options().create(true).truncate(false).write(true).open(path)?;
                match file.try_lock() {
                    Ok(()) => Ok(Some(DiskLock::Real { _file: file })),
                    Err(TryLockError::WouldBlock) => Ok(None),
                    Err(TryLockError::Error(error)) => Err(error),
                }
            }
            #[cfg(feature = "sim")]
            Self::Sim(disk) => Ok(disk.lock(path)?.map(|lock| DiskLock::Sim { _lock: lock })),
        }
    }
}

impl DiskFile {
    /// Reads what there is at `at`, up to the buffer's length; 0 at the file's end.
    pub(crate) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.read_at(buffer, at),
            #[cfg(feature = "sim")]
            Self::Sim(file) => file.read_at(buffer, at),
        }
    }

    /// Fills the buffer from `at`.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.read_exact_at(buffer, at),
            #[cfg(feature = "sim")]
            Self::Sim(file) => match file.read_at(buffer, at)? {
                read if read == buffer.len() => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    /// Writes all bytes at `at`, beyond the file's end too. Not durable on return.
    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.write_all_at(bytes, at),
            #[cfg(feature = "sim")]
            Self::Sim(file) => file.write_at(bytes, at),
        }
    }

    /// Writes a file's first bytes. Not durable on return.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Real(file) => file.write_all(bytes),
            #[cfg(feature = "sim")]
            Self::Sim(file) => file.write_at(bytes, 0),
        }
    }

    /// Makes bytes and length durable.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync_data(),
            #[cfg(feature = "sim")]
            Self::Sim(file) => file.sync(),
        }
    }

    /// Makes bytes, length and all else about the file but its name durable.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync_all(),
            #[cfg(feature = "sim")]
            Self::Sim(file) => file.sync(),
        }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Real(file) => Ok(file.metadata()?.len()),
            #[cfg(feature = "sim")]
            Self::Sim(file) => file.len(),
        }
    }
}
