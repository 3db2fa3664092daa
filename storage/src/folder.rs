//! A node's data folder: one process holds it, one identity owns it.
//!
//! ```text
//! LOCK        held for life by the process that has the folder open
//! identity    cluster id, node id, incarnation, format version
//! aside-<n>/  what was here before the node took its seat under a new id
//! log/<group> segment files, vote, mark
//! index/      fjall, a materialization of the log
//! state/      sled, a materialization of the log
//! sql/        SQLite, tables of projections, a file for each generation
//! ```

mod aside;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use weir_types::{ClusterId, GroupId, Incarnation, NodeId};

use crate::{
    directory,
    disk::{Disk, DiskLock},
};

const LOCK: &str = "LOCK";
const IDENTITY: &str = "identity";
const IDENTITY_MAGIC: [u8; 8] = *b"WEIRNODE";
/// Bytes of an identity of version 1, which knew no incarnation.
const IDENTITY_BYTES_V1: usize = 40;
const IDENTITY_BYTES: usize = 56;
/// The newest layout of a data folder that this build reads and writes.
const FORMAT_VERSION: u32 = 2;

/// Whose folder it is. Every file in it and every peer message carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node, whose id is never reused. A folder is opened by the configured id, and may say that the
    /// node took its seat again under another one.
    pub node: NodeId,
}

/// An open data folder. Its lock is held until the last clone is gone, and the
/// logs opened from it hold one each.
#[derive(Debug, Clone)]
pub struct DataFolder {
    disk: Disk,
    path: PathBuf,
    identity: Identity,
    incarnation: Incarnation,
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
        directory::settle(&disk, &path, 2).map_err(FolderError::io("sync", &path))?;
        let (identity, held) = match read(&disk, &path)? {
            Some(found) => {
                check_owner(&path, identity, found.identity)?;
                (found.identity, found.incarnation)
            }
            None => check_fresh(&disk, &path).map(|()| (identity, None))?,
        };
        let incarnation = match held {
            Some(incarnation) => incarnation,
            None => claim(&disk, &path, identity)?,
        };
        Ok(Self { disk, path, identity, incarnation, _lock: Arc::new(lock) })
    }

    /// Whether nothing was ever written for its node: no vote, no record.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn is_fresh(&self) -> Result<bool, FolderError> {
        Ok(!holds_log(&self.disk, &self.path)?)
    }

    /// Gives a fresh folder to the id under which its node takes its seat; durable on return.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    ///
    /// # Panics
    /// When something was written in it under the id that it has.
    pub fn seated(self, node: NodeId) -> Result<Self, FolderError> {
        assert!(self.is_fresh()?, "what was written under one id is not another's");
        let identity = Identity { node, ..self.identity };
        let bytes = encode(identity, self.incarnation);
        directory::write_file(&self.disk, &self.path, IDENTITY, &bytes)
            .map_err(FolderError::io("write", &self.path))?;
        Ok(Self { identity, ..self })
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
        Ok(read(disk, path.as_ref())?.map(|found| found.identity))
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

    /// What tells this folder from every other that its node ever had.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
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

    /// Where the tables of SQL projections lie.
    #[must_use]
    pub fn tables_dir(&self) -> PathBuf {
        self.path.join("sql")
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
    if expected.node != found.node && expected.node != found.node.seat() {
        return Err(FolderError::OtherNode { path, expected: expected.node, found: found.node });
    }
    Ok(())
}

fn holds_log(disk: &Disk, path: &Path) -> Result<bool, FolderError> {
    let log = path.join("log");
    disk.exists(&log).map_err(FolderError::io("read", &log))
}

/// A folder that holds a log had an identity before.
fn check_fresh(disk: &Disk, path: &Path) -> Result<(), FolderError> {
    if holds_log(disk, path)? {
        let detail = "it is missing, and the folder holds a log";
        return Err(FolderError::Damaged { path: path.join(IDENTITY), detail });
    }
    Ok(())
}

/// Gives a folder its owner and its incarnation: a fresh one, or one of version 1.
fn claim(disk: &Disk, path: &Path, identity: Identity) -> Result<Incarnation, FolderError> {
    let incarnation = Incarnation(disk.unique());
    let bytes = encode(identity, incarnation);
    directory::write_file(disk, path, IDENTITY, &bytes).map_err(FolderError::io("write", path))?;
    Ok(incarnation)
}

/// What an identity file says.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    identity: Identity,
    /// `None` in version 1.
    incarnation: Option<Incarnation>,
}

fn read(disk: &Disk, path: &Path) -> Result<Option<Found>, FolderError> {
    let file = path.join(IDENTITY);
    match disk.read(&file) {
        Ok(bytes) => decode(&bytes, &file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FolderError::io("read", &file)(error)),
    }
}

/// Magic, format version u32, cluster 16 bytes, node u64, incarnation 16 bytes,
/// CRC32C of all before it; little-endian.
fn encode(identity: Identity, incarnation: Incarnation) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(IDENTITY_BYTES);
    bytes.extend_from_slice(&IDENTITY_MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(identity.cluster.0.as_bytes());
    bytes.extend_from_slice(&identity.node.0.to_le_bytes());
    bytes.extend_from_slice(incarnation.0.as_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    assert_eq!(bytes.len(), IDENTITY_BYTES, "an identity has one size");
    bytes
}

fn decode(bytes: &[u8], file: &Path) -> Result<Found, FolderError> {
    let damaged = |detail| FolderError::Damaged { path: file.to_path_buf(), detail };
    let fields = fields(bytes).map_err(damaged)?;
    let found = u32::from_le_bytes(fields[8..12].try_into().expect("four bytes were sliced"));
    if found > FORMAT_VERSION {
        return Err(FolderError::Newer { path: file.to_path_buf(), found, supported: FORMAT_VERSION });
    }
    let uuid = |at: usize| {
        uuid::Uuid::from_bytes(fields[at..at + 16].try_into().expect("sixteen bytes were sliced"))
    };
    let node = u64::from_le_bytes(fields[28..36].try_into().expect("eight bytes were sliced"));
    let identity = Identity { cluster: ClusterId(uuid(12)), node: NodeId(node) };
    Ok(Found { identity, incarnation: (found > 1).then(|| Incarnation(uuid(36))) })
}

/// The checked bytes of an identity without their checksum. The version says how many there are.
fn fields(bytes: &[u8]) -> Result<&[u8], &'static str> {
    if bytes.len() < IDENTITY_BYTES_V1 {
        return Err("it is cut short");
    }
    let v1 = bytes[8..12] == 1_u32.to_le_bytes();
    let (fields, crc) = bytes.split_at(if v1 { IDENTITY_BYTES_V1 } else { bytes.len() } - 4);
    if crc32c::crc32c(fields).to_le_bytes() != crc[..4] {
        return Err("its checksum does not match");
    }
    if fields[..8] != IDENTITY_MAGIC {
        return Err("it is not an identity file");
    }
    if !v1 && bytes.len() < IDENTITY_BYTES {
        return Err("it is cut short");
    }
    Ok(fields)
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
        let good = encode(identity(7, 1), Incarnation(uuid::Uuid::from_u128(9)));
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
        let mut newer = encode(identity(7, 1), Incarnation(uuid::Uuid::from_u128(9)));
        newer[8] = 3;
        let crc = crc32c::crc32c(&newer[..IDENTITY_BYTES - 4]);
        newer[IDENTITY_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        fs::write(dir.path().join(IDENTITY), newer).unwrap();
        let error = DataFolder::open(dir.path(), identity(7, 1)).unwrap_err();
        assert!(matches!(error, FolderError::Newer { found: 3, supported: 2, .. }), "{error}");
        fs::remove_file(dir.path().join(IDENTITY)).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        let error = DataFolder::open(dir.path(), identity(7, 1)).unwrap_err();
        assert!(matches!(error, FolderError::Damaged { .. }), "{error}");
    }

    #[test]
    fn every_folder_has_an_incarnation_of_its_own_for_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let open =
            |name: &str| DataFolder::open(dir.path().join(name), identity(7, 1)).unwrap().incarnation();
        let first = open("a");
        assert_eq!(open("a"), first);
        assert_ne!(open("b"), first);
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        assert_ne!(open("a"), first);
    }

    #[test]
    fn identities_of_every_version_are_read_and_the_old_one_gets_an_incarnation() {
        let golden = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
        let v2 = fs::read(golden("v2/identity.bin")).unwrap();
        assert_eq!(v2, encode(identity(7, 1), Incarnation(uuid::Uuid::from_u128(9))));
        let dir = tempfile::tempdir().unwrap();
        fs::copy(golden("v1/identity.bin"), dir.path().join(IDENTITY)).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        assert_eq!(DataFolder::peek(dir.path()).unwrap(), Some(identity(7, 1)));
        let given = DataFolder::open(dir.path(), identity(7, 1)).unwrap().incarnation();
        assert_eq!(DataFolder::open(dir.path(), identity(7, 1)).unwrap().incarnation(), given);
        let held = read(&Disk::Real, dir.path()).unwrap().unwrap();
        assert_eq!(held, Found { identity: identity(7, 1), incarnation: Some(given) });
    }
}
