//! A node's data folder: one process holds it, one identity owns it.
//!
//! ```text
//! LOCK        held for life by the process that has the folder open
//! identity    cluster id, node id, format version
//! log/<group> segment files, vote, mark
//! index/      fjall, a materialization of the log
//! state/      sled, a materialization of the log
//! ```

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use weir_types::{ClusterId, GroupId, NodeId};

use crate::{
    directory,
    disk::{Disk, DiskLock},
};

const LOCK: &str = "LOCK";
const IDENTITY: &str = "identity";
const IDENTITY_MAGIC: [u8; 8] = *b"WEIRNODE";
const IDENTITY_BYTES: usize = 40;
/// The newest layout of a data folder that this build reads and writes.
const FORMAT_VERSION: u32 = 1;

/// Whose folder it is. Every file in it and every peer message carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node, whose id is never reused.
    pub node: NodeId,
}

/// An open data folder. Its lock is held until the last clone is gone, and the
/// logs opened from it hold one each.
#[derive(Debug, Clone)]
pub struct DataFolder {
    disk: Disk,
    path: PathBuf,
    identity: Identity,
    _lock: Arc<DiskLock>,
}

impl DataFolder {
    /// Opens a folder, creating it when it is missing, and locks it.
    ///
    /// # Errors
    /// [`FolderError`]: another process has it, it belongs to another cluster or
    /// node, a newer version wrote it, its identity is damaged or missing, or
    /// the file system refused.
    pub fn open(path: impl AsRef<Path>, identity: Identity) -> Result<Self, FolderError> {
        Self::open_on(Disk::Real, path, identity)
    }

    /// As [`DataFolder::open`], with the identity and the logs on `disk`. Index
    /// and state are on the system's disk always.
    ///
    /// # Errors
    /// As [`DataFolder::open`].
    pub fn open_on(disk: Disk, path: impl AsRef<Path>, identity: Identity) -> Result<Self, FolderError> {
        let path = path.as_ref().to_path_buf();
        directory::create(&disk, &path).map_err(FolderError::io("create", &path))?;
        let lock = lock(&disk, &path)?;
        match Self::peek_on(&disk, &path)? {
            Some(found) => check_owner(&path, identity, found)?,
            None => claim(&disk, &path, identity)?,
        }
        Ok(Self { disk, path, identity, _lock: Arc::new(lock) })
    }

    /// Reads whose folder it is without opening it. `None` when there is no
    /// folder or it has no identity yet.
    ///
    /// # Errors
    /// [`FolderError`] when the identity is damaged, newer, or cannot be read.
    pub fn peek(path: impl AsRef<Path>) -> Result<Option<Identity>, FolderError> {
        Self::peek_on(&Disk::Real, path)
    }

    /// As [`DataFolder::peek`], on `disk`.
    ///
    /// # Errors
    /// As [`DataFolder::peek`].
    pub fn peek_on(disk: &Disk, path: impl AsRef<Path>) -> Result<Option<Identity>, FolderError> {
        let file = path.as_ref().join(IDENTITY);
        match disk.read(&file) {
            Ok(bytes) => decode(&bytes, &file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FolderError::io("read", &file)(error)),
        }
    }

    /// Where its identity and logs are.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where a group's log lies.
    #[must_use]
    pub fn log_dir(&self, group: GroupId) -> PathBuf {
        self.path.join("log").join(group.to_string())
    }

    /// Where the index lies.
    #[must_use]
    pub fn index_dir(&self) -> PathBuf {
        self.path.join("index")
    }

    /// Where the state lies.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path.join("state")
    }
}

/// Why a data folder was not opened.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file system refused.
    #[error("could not {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("data folder {} is in use by another process", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder belongs to another cluster.
    #[error("data folder {} belongs to cluster {found}, not to {expected}", path.display())]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// The cluster of the one who opens it.
        expected: ClusterId,
        /// The cluster of the folder.
        found: ClusterId,
    },
    /// The folder belongs to another node.
    #[error("data folder {} belongs to node {found}, not to node {expected}", path.display())]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// The node that opens it.
        expected: NodeId,
        /// The node of the folder.
        found: NodeId,
    },
    /// A newer version of Weir wrote it.
    #[error("{} has format version {found}, this build reads up to {supported}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this build reads.
        supported: u32,
    },
    /// The identity file is damaged, or missing from a folder that holds a log.
    #[error("identity file {} is damaged: {detail}; restore it, or remove the node from its cluster and add it again under a new id with an empty folder", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: &'static str,
    },
}

impl FolderError {
    fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { verb, path, source }
    }
}

fn lock(disk: &Disk, path: &Path) -> Result<DiskLock, FolderError> {
    let file = path.join(LOCK);
    let lock = disk.lock(&file).map_err(FolderError::io("lock", &file))?;
    lock.ok_or_else(|| FolderError::Locked { path: path.to_path_buf() })
}

fn check_owner(path: &Path, expected: Identity, found: Identity) -> Result<(), FolderError> {
    let path = path.to_path_buf();
    if expected.cluster != found.cluster {
        return Err(FolderError::OtherCluster { path, expected: expected.cluster, found: found.cluster });
    }
    if expected.node != found.node {
        return Err(FolderError::OtherNode { path, expected: expected.node, found: found.node });
    }
    Ok(())
}

/// Gives a fresh folder its owner. A folder that holds a log had one before.
fn claim(disk: &Disk, path: &Path, identity: Identity) -> Result<(), FolderError> {
    let log = path.join("log");
    if disk.exists(&log).map_err(FolderError::io("read", &log))? {
        let detail = "it is missing, and the folder holds a log";
        return Err(FolderError::Damaged { path: path.join(IDENTITY), detail });
    }
    directory::write_file(disk, path, IDENTITY, &encode(identity)).map_err(FolderError::io("write", path))
}

/// Magic, format version u32, cluster 16 bytes, node u64, CRC32C of all before it; little-endian.
fn encode(identity: Identity) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(IDENTITY_BYTES);
    bytes.extend_from_slice(&IDENTITY_MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(identity.cluster.0.as_bytes());
    bytes.extend_from_slice(&identity.node.0.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    assert_eq!(bytes.len(), IDENTITY_BYTES, "an identity has one size");
    bytes
}

fn decode(bytes: &[u8], file: &Path) -> Result<Identity, FolderError> {
    let damaged = |detail| FolderError::Damaged { path: file.to_path_buf(), detail };
    let Some(fields) = bytes.first_chunk::<IDENTITY_BYTES>() else { return Err(damaged("it is cut short")) };
    let (fields, crc) = fields.split_at(IDENTITY_BYTES - 4);
    if crc32c::crc32c(fields).to_le_bytes() != crc {
        return Err(damaged("its checksum does not match"));
    }
    if fields[..8] != IDENTITY_MAGIC {
        return Err(damaged("it is not an identity file"));
    }
    let found = u32::from_le_bytes(fields[8..12].try_into().expect("four bytes were sliced"));
    if found > FORMAT_VERSION {
        return Err(FolderError::Newer { path: file.to_path_buf(), found, supported: FORMAT_VERSION });
    }
    let cluster: [u8; 16] = fields[12..28].try_into().expect("sixteen bytes were sliced");
    let node = u64::from_le_bytes(fields[28..36].try_into().expect("eight bytes were sliced"));
    Ok(Identity { cluster: ClusterId(uuid::Uuid::from_bytes(cluster)), node: NodeId(node) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn identity(cluster: u128, node: u64) -> Identity {
        Identity { cluster: ClusterId(uuid::Uuid::from_u128(cluster)), node: NodeId(node) }
    }

    #[test]
    fn a_folder_belongs_to_one_process_one_cluster_and_one_node() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(DataFolder::peek(dir.path()).unwrap(), None);
        let folder = DataFolder::open(dir.path(), identity(7, 1)).unwrap();
        assert_eq!(DataFolder::peek(dir.path()).unwrap(), Some(identity(7, 1)));
        assert!(matches!(DataFolder::open(dir.path(), identity(7, 1)), Err(FolderError::Locked { .. })));
        drop(folder);
        let other_cluster = DataFolder::open(dir.path(), identity(8, 1)).unwrap_err();
        assert!(matches!(other_cluster, FolderError::OtherCluster { .. }), "{other_cluster}");
        let other_node = DataFolder::open(dir.path(), identity(7, 2)).unwrap_err();
        assert!(other_node.to_string().ends_with("belongs to node 1, not to node 2"), "{other_node}");
        DataFolder::open(dir.path(), identity(7, 1)).unwrap();
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_the_identity_is_found() {
        let file = Path::new("identity");
        let good = encode(identity(7, 1));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&bad, file), Err(FolderError::Damaged { .. })), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(matches!(decode(&good[..len], file), Err(FolderError::Damaged { .. })), "length {len}");
        }
    }

    #[test]
    fn a_newer_folder_and_a_folder_that_lost_its_identity_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut newer = encode(identity(7, 1));
        newer[8] = 2;
        let crc = crc32c::crc32c(&newer[..IDENTITY_BYTES - 4]);
        newer[IDENTITY_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        fs::write(dir.path().join(IDENTITY), newer).unwrap();
        let error = DataFolder::open(dir.path(), identity(7, 1)).unwrap_err();
        assert!(matches!(error, FolderError::Newer { found: 2, supported: 1, .. }), "{error}");
        fs::remove_file(dir.path().join(IDENTITY)).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        let error = DataFolder::open(dir.path(), identity(7, 1)).unwrap_err();
        assert!(matches!(error, FolderError::Damaged { .. }), "{error}");
    }
}
