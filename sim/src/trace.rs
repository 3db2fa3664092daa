//! All that happened, in order, as one number: equal traces are equal runs.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use xxhash_rust::xxh3::Xxh3;

/// Takes a trace down. Clones are one trace.
#[derive(Clone, Default)]
pub struct Trace(Arc<Inner>);

#[derive(Default)]
struct Inner {
    notes: Mutex<Notes>,
    /// The time between two steps, where no host has a clock; in microseconds.
    outside_us: AtomicU64,
    /// Whether hosts run: only then they have a clock.
    inside: AtomicBool,
}

#[derive(Default)]
struct Notes {
    hash: Xxh3,
    count: u64,
    line: String,
    list: Option<BufWriter<File>>,
}

impl Trace {
    /// A trace that also writes each line to a file, so that two runs can be compared.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn listed(path: &Path) -> std::io::Result<Self> {
        let trace = Self::default();
        trace.notes().list = Some(BufWriter::new(File::create(path)?));
        Ok(trace)
    }

    /// Takes something down, with the simulated time.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        let now = self.now_us();
        let mut notes = self.notes();
        let Notes { hash, count, line, list } = &mut *notes;
        line.clear();
        // Writing to text does not fail.
        let _ = writeln!(line, "{now} {what}");
        hash.update(line.as_bytes());
        *count += 1;
        if let Some(list) = list {
            // A list that is cut short shows itself.
            let _ = list.write_all(line.as_bytes());
        }
    }

    /// The simulated time in microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        let runs = self.0.inside.load(Relaxed) && turmoil::in_simulation();
        let inside = if runs { turmoil::sim_elapsed() } else { None };
        match inside {
            Some(now) => u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
            None => self.0.outside_us.load(Relaxed),
        }
    }

    /// Hosts run from now on, by their own clocks.
    pub fn enter(&self) {
        self.0.inside.store(true, Relaxed);
    }

    /// Whether hosts run.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.0.inside.load(Relaxed)
    }

    /// No host runs any more, and it is this late.
    pub fn leave(&self, now_us: u64) {
        self.0.inside.store(false, Relaxed);
        self.0.outside_us.store(now_us, Relaxed);
    }

    /// The number, and of how many lines it is.
    #[must_use]
    pub fn digest(&self) -> (u64, u64) {
        let mut notes = self.notes();
        if let Some(list) = &mut notes.list {
            // As above.
            let _ = list.flush();
        }
        (notes.hash.digest(), notes.count)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
