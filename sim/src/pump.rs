//! The log thread of one life, without a thread: what was submitted is carried
//! out between two steps, after a while, so that a write that fails ends the
//! node before it can notice.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use weir_storage::log::LogThread;

use weir_check::rng::Rng;

/// The quiet time after which the log's marks become durable, in microseconds.
const IDLE_US: u64 = 200_000;
/// Nothing was submitted.
pub const NEVER: u64 = u64::MAX;

/// When something was submitted that is not carried out yet, in microseconds of the run.
pub type Asked = Arc<AtomicU64>;

/// Carries out what is submitted.
pub struct Pump {
    thread: LogThread,
    asked: Asked,
    rng: Rng,
    /// When what was submitted is due.
    due_us: Option<u64>,
    last_us: u64,
    rested: bool,
}

impl Pump {
    /// Of a log thread that notes in `asked` when something is submitted.
    #[must_use]
    pub fn new(thread: LogThread, asked: Asked, rng: Rng) -> Self {
        Self { thread, asked, rng, due_us: None, last_us: 0, rested: false }
    }

    /// Carries out what is due; a write takes up to `longest_us`.
    pub fn step(&mut self, now_us: u64, longest_us: u64) {
        let asked = self.asked.load(Relaxed);
        if asked != NEVER {
            let rng = &mut self.rng;
            let due = *self.due_us.get_or_insert_with(|| asked + rng.within(100..longest_us));
            if now_us >= due {
                self.asked.store(NEVER, Relaxed);
                self.due_us = None;
                while self.thread.pump() {}
                (self.last_us, self.rested) = (now_us, false);
            }
        } else if !self.rested && now_us >= self.last_us + IDLE_US {
            self.thread.rest();
            self.rested = true;
        }
    }
}
