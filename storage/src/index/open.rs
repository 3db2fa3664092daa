//! Opening the index, and the checks that say whether it can be trusted.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, RwLock},
};

use weir_types::{GroupId, Position};

use super::{CONTENTS_VERSION, Index, IndexError, Inner, buffer::Buffer, spill::Spiller};
use crate::{codec::decode, condemned, schema::IndexKey};

/// Bytes of block cache. With its buffers the index stays near 120 MB.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes of the engine's own journal, the least that it allows.
const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// One to flush, one to compact.
const WORKER_THREADS: usize = 2;
/// Runs from the newest back that are checked for holes at open.
const CHECKED_RUNS: usize = 4_096;
const KEYSPACE: &str = "index";

impl Index {
    /// Opens the index in `dir`, creating it if there is none.
    ///
    /// # Errors
    /// [`IndexError::Open`] when the engine refuses or panics;
    /// [`IndexError::Damaged`] when it was condemned, its self-check record is
    /// missing or of another group, or its newest positions have a hole. The
    /// caller moves the folder aside and opens an empty one.
    pub fn open(dir: &Path, group: GroupId) -> Result<Self, IndexError> {
        if condemned::is_condemned(dir) {
            let reason = "damage was found when it was last used".to_owned();
            return Err(IndexError::Damaged { dir: dir.to_owned(), what: "index", reason });
        }
        let is_new = !dir.read_dir().is_ok_and(|mut files| files.next().is_some());
        // The engine panics on some damage; whatever is half open is dropped here.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_engine(dir, group)));
        let index = match opened {
            Ok(Ok(index)) => index,
            Ok(Err(error)) => return Err(open_error(dir, &error.to_string())),
            Err(panic) => return Err(open_error(dir, &panic_text(panic.as_ref()))),
        };
        index.check_self(is_new)?;
        let mark = index.load_mark()?;
        index.check_holes(mark.as_ref().map_or(Position::ZERO, |mark| mark.position))?;
        *index.inner.mark.write().expect("nobody else holds the index yet") = mark;
        Ok(index)
    }

    fn open_engine(dir: &Path, group: GroupId) -> fjall::Result<Self> {
        let db = fjall::Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKER_THREADS)
            .open()?;
        let keys = db.keyspace(KEYSPACE, fjall::KeyspaceCreateOptions::default)?;
        let buffer = Arc::new(Buffer::new(group));
        let spiller = Spiller::start(Arc::clone(&buffer), keys.clone())?;
        let mark = RwLock::new(None);
        let inner = Inner { dir: dir.to_owned(), group, buffer, _spiller: spiller, keys, _db: db, mark };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A new index gets its self-check record; any other must have it. (The
    /// engine makes what is missing anew, and would pass for empty.)
    fn check_self(&self, is_new: bool) -> Result<(), IndexError> {
        let Some(bytes) = self.get(IndexKey::SelfCheck)? else {
            if !is_new {
                return Err(self.damaged("self-check", "its record is missing"));
            }
            let mut batch = self.batch();
            batch.put_self_check();
            self.commit(batch)?;
            return self.persist();
        };
        let (group, contents): (u64, u64) =
            decode("self-check", &bytes).map_err(|e| self.damaged("self-check", e))?;
        if contents != CONTENTS_VERSION {
            let reason = format!("it is of an index of version {contents}, not {CONTENTS_VERSION}");
            return Err(self.damaged("self-check", reason));
        }
        if group != self.inner.group.0 {
            return Err(self.damaged("self-check", format!("it is of group {group}")));
        }
        Ok(())
    }

    /// A run that the engine lost in silence would leave a hole below the mark.
    fn check_holes(&self, last: Position) -> Result<(), IndexError> {
        let mut expected = last;
        for run in self.log_runs_back().take(CHECKED_RUNS) {
            let run = run?;
            if run.last_position() != expected {
                let found = run.last_position();
                return Err(self.damaged("positions", format!("{found} is where {expected} should be")));
            }
            expected = Position(run.first_position.0 - 1);
        }
        let seen_all = expected == Position::ZERO || expected < last;
        if !seen_all {
            return Err(self.damaged("positions", format!("nothing lies at {expected}")));
        }
        Ok(())
    }
}

fn open_error(dir: &Path, reason: &str) -> IndexError {
    IndexError::Open { dir: dir.to_owned(), reason: reason.to_owned() }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("engine panicked: {}", text.as_deref().unwrap_or("without a message"))
}
