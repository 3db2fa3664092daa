//! How much memory a run takes, beyond what it found.

use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The counters are the process's, so one run is measured at a time.
static MEASURING: Mutex<()> = Mutex::new(());

/// What a run may take at its peak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// Bytes whatever the input is.
    pub(crate) fixed: usize,
    /// Bytes for each byte of input.
    pub(crate) per_byte: usize,
}

impl Bound {
    /// For input of this length.
    pub(crate) fn of(self, bytes: usize) -> usize {
        self.fixed + self.per_byte * bytes
    }
}

/// A measurement under way.
pub(crate) struct Measure {
    before: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Measure {
    /// Begins one, when no other is under way.
    pub(crate) fn begin() -> Self {
        let alone = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
        ALLOCATOR.reset_peak_usage();
        Self { before: ALLOCATOR.current_usage(), _alone: alone }
    }

    /// Bytes at the peak since then, over what there was.
    pub(crate) fn peak(&self) -> usize {
        ALLOCATOR.peak_usage().saturating_sub(self.before)
    }
}
