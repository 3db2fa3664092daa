//! A log's state, shared by its handles and the log thread.

use std::sync::{Mutex, MutexGuard};

use super::state::LogState;

/// The state behind its lock, which is never held over I/O.
#[derive(Debug)]
pub(super) struct Shared(Mutex<LogState>);

impl Shared {
    pub(super) fn new(state: LogState) -> Self {
        Self(Mutex::new(state))
    }

    /// Locks the state.
    ///
    /// # Panics
    /// Panics when an invariant broke under the lock before.
    pub(super) fn state(&self) -> MutexGuard<'_, LogState> {
        self.0.lock().expect("no invariant of the log broke under its lock")
    }
}
