//! How sled is opened.

use std::{fs::File, io, path::Path, sync::mpsc, thread, time::Duration};

/// Bytes of page cache.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Time between flushes. An idle store has nothing to flush.
const FLUSH_EVERY_MS: u64 = 3_000;
/// How long a folder that is in use is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The file in a folder that the engine locks.
const LOCKED: &str = "db";

/// Opens the engine in `dir`. One that was closed there may hold the folder
/// for some time more: its `drop` does not wait for all of its threads
/// (<https://github.com/spacejam/sled/issues/1289>).
pub(super) fn open(dir: &Path) -> sled::Result<sled::Db> {
    let config =
        sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_EVERY_MS));
    match config.open() {
        Err(sled::Error::Io(error)) if is_in_use(&error) => {
            wait_until_free(dir)?;
            config.open()
        }
        opened => opened,
    }
}

/// The engine tells by a text alone that another holds the lock.
fn is_in_use(error: &io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

/// Waits until nobody holds the lock, or as long as there is patience.
fn wait_until_free(dir: &Path) -> io::Result<()> {
    let locked = File::open(dir.join(LOCKED))?;
    let (free, is_free) = mpsc::channel();
    thread::Builder::new().name("weir-state-lock".to_owned()).spawn(move || {
        let taken = locked.lock();
        drop(locked);
        // Whoever waited may have lost patience.
        let _ = free.send(taken);
    })?;
    is_free.recv_timeout(PATIENCE).unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[test]
    fn a_folder_that_is_being_closed_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..20 {
            let closes = open(dir.path()).unwrap();
            thread::scope(|scope| {
                let opens = scope.spawn(|| open(dir.path()).map(drop));
                drop(closes);
                opens.join().unwrap().unwrap();
            });
        }
    }

    #[test]
    fn a_folder_that_is_in_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _held = open(dir.path()).unwrap();
        let Err(sled::Error::Io(error)) = open(dir.path()) else { panic!("it is held") };
        assert!(is_in_use(&error), "{error}");
    }
}
