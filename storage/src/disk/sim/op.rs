use std::{
    io,
    path::{Path, PathBuf},
};

/// What a simulated disk is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpKind {
    /// Tell whether a file is there, or how long it is.
    Look,
    /// List a folder.
    List,
    /// Open a file.
    Open,
    /// Read from a file.
    Read,
    /// Make or empty a file.
    Create,
    /// Make a folder.
    CreateDir,
    /// Write to a file.
    Write,
    /// Make a file's bytes durable.
    Sync,
    /// Make a folder's names durable.
    SyncDir,
    /// Rename a file; the operation's path is the new one.
    Rename,
    /// Remove a file.
    Remove,
}

/// One operation of a simulated disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimOp {
    /// What is done.
    pub kind: OpKind,
    /// To which file or folder.
    pub path: PathBuf,
    /// For reads and writes: where, in bytes.
    pub at: u64,
    /// For reads and writes: how many bytes.
    pub bytes: u64,
}

impl SimOp {
    pub(super) fn new(kind: OpKind, path: &Path) -> Self {
        Self { kind, path: path.to_path_buf(), at: 0, bytes: 0 }
    }
}

/// Whether an operation is carried out.
#[derive(Debug)]
pub enum Verdict {
    /// It is.
    Go,
    /// It fails with this error. A failed write may leave its first half, and a
    /// failed sync leaves bytes that are read but never become durable.
    Fail(io::Error),
    /// It is not, and says that it was: a disk that lies.
    Lie,
}
