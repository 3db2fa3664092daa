//! Faults inside a node's process, by a small library that is loaded before
//! its libc: `shim/faults.c`. It reads a page that the harness writes.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};

use super::place::tool;
use crate::binary::workspace;

/// What can be set. The numbers are those of `faults.c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// This many syncs will fail with EIO.
    SyncErrors = 0,
    /// Every sync takes this many milliseconds more.
    SyncDelayMs = 1,
    /// This many writes to files will fail with ENOSPC.
    WriteErrors = 2,
    /// The wall clock is off by this many nanoseconds.
    ClockOffsetNs = 3,
    /// The wall clock gains this many millionths.
    ClockDriftPpm = 4,
    /// Since when it gains.
    DriftBeganNs = 5,
    /// Syncs that failed.
    DoneSyncErrors = 8,
    /// Syncs that took longer.
    DoneSyncDelays = 9,
    /// Writes that failed.
    DoneWriteErrors = 10,
    /// Looks at a clock that was wrong.
    DoneClockReads = 11,
}

/// Builds the library into `folder`.
///
/// # Errors
/// When there is no C compiler.
pub fn build(folder: &Path) -> Result<PathBuf> {
    let library = folder.join("faults.so");
    let source = workspace().join("cluster-tests/shim/faults.c");
    let flags = ["-O1", "-shared", "-fPIC", "-o"];
    let (library_text, source) = (library.to_string_lossy(), source.to_string_lossy());
    tool("cc", &[&flags[..], &[&library_text, &source, "-ldl"][..]].concat())?;
    Ok(library)
}

/// The page of one process. It outlives the process, and so do the faults in it.
#[derive(Debug)]
pub struct Page {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Page {
    /// An empty page in `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn make(library: &Path, path: &Path) -> Result<Self> {
        fs::write(path, [0_u8; 4_096]).with_context(|| format!("cannot write {}", path.display()))?;
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self { library: library.to_owned(), path: path.to_owned(), file })
    }

    /// What gives the page to a process, in its environment.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [("LD_PRELOAD", text(&self.library)), ("WEIR_CHAOS_FAULTS", text(&self.path))]
    }

    /// Gives the page to a process that is about to start.
    pub fn give(&self, command: &mut Command) {
        command.envs(self.environment());
    }

    /// Sets a word.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn set(&self, word: Word, value: i64) -> Result<()> {
        Ok(self.file.write_all_at(&value.to_ne_bytes(), word as u64 * 8)?)
    }

    /// Reads a word.
    ///
    /// # Errors
    /// When the page cannot be read.
    pub fn get(&self, word: Word) -> Result<i64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, word as u64 * 8)?;
        Ok(i64::from_ne_bytes(bytes))
    }

    /// Lets the wall clock gain so many millionths from now on, or lose them.
    ///
    /// # Errors
    /// When the page cannot be written.
    pub fn drift(&self, ppm: i64) -> Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.set(Word::DriftBeganNs, i64::try_from(now.as_nanos()).unwrap_or(0))?;
        self.set(Word::ClockDriftPpm, ppm)
    }
}
