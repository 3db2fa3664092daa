//! The log thread's work, done by whoever pumps: one thread can then drive a
//! whole simulation, and every run of it is the same.

use std::sync::{
    Mutex, TryLockError,
    mpsc::{Receiver, TryRecvError},
};

use super::{thread::Op, writer::Writer};

/// Called at every submission; it must be quick and must not pump.
pub type Wake = Box<dyn Fn() + Send + Sync>;

pub(super) struct Pump {
    work: Mutex<Work>,
    wake: Wake,
}

struct Work {
    writer: Writer,
    receiver: Receiver<Op>,
}

impl Pump {
    pub(super) fn new(writer: Writer, receiver: Receiver<Op>, wake: Wake) -> Self {
        Self { work: Mutex::new(Work { writer, receiver }), wake }
    }

    pub(super) fn wake(&self) {
        (self.wake)();
    }

    /// One round of the log thread. Whether there was anything to do.
    pub(super) fn round(&self) -> bool {
        self.with(|work| match work.receiver.try_recv() {
            Ok(first) => {
                work.writer.round(first, &work.receiver);
                true
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => false,
        })
        .unwrap_or(false)
    }

    /// What the log thread does when it was idle for a while.
    pub(super) fn rest(&self) {
        self.with(|work| work.writer.rest());
    }

    /// Does all that was submitted; false within a completion, which cannot.
    pub(super) fn drain(&self) -> bool {
        while self.round() {}
        self.with(|_| ()).is_some()
    }

    /// What the log thread does when its last handle is gone.
    pub(super) fn end(&self) {
        self.with(|work| work.writer.work(&work.receiver));
    }

    /// `None` when it is called by a completion, in the midst of its own work.
    fn with<T>(&self, work: impl FnOnce(&mut Work) -> T) -> Option<T> {
        match self.work.try_lock() {
            Ok(mut found) => Some(work(&mut found)),
            Err(TryLockError::WouldBlock) => None,
            // A completion panicked; nothing is written any more.
            Err(TryLockError::Poisoned(_)) => None,
        }
    }
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pump")
    }
}
