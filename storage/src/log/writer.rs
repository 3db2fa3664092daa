//! The log thread: all writes of all logs of a node, in the order in which they
//! were submitted, with one fsync for all that waits (obligations L1 to L3).
//!
//! Invariant: completions are told in order of submission, and each only after
//! everything submitted before it is durable too.

use std::{
    collections::HashMap,
    io,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use tracing::error;
use weir_types::{Planted, limits, planted};

use super::{
    disk::LogDisk,
    shared::Shared,
    state::{Progress, Step},
    thread::{Done, Fatal, Op, Stopped},
};

/// Staged bytes of all logs at which the thread stops gathering and writes.
const GATHERED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The log's quiet time after which the marks are made durable.
const IDLE: Duration = Duration::from_millis(200);

/// What the log thread runs.
pub(super) struct Writer {
    logs: HashMap<u64, Joined>,
    /// Logs with something staged or a mark to write, in order.
    touched: Vec<u64>,
    /// Told at the next commit.
    completions: Vec<Completion>,
    fatal: Fatal,
    stopped: Arc<Stopped>,
}

struct Joined {
    disk: LogDisk,
    shared: Arc<Shared>,
}

impl Joined {
    /// Makes the mark durable. Whoever notes something after this wakes the thread.
    fn settle(&mut self) -> io::Result<()> {
        {
            let mut state = self.shared.state();
            state.mark_owed = false;
            self.disk.note_committed(state.committed, state.committed_epoch);
        }
        self.disk.settle()
    }
}

struct Completion {
    progress: Option<(Arc<Shared>, Progress)>,
    done: Done,
}

impl Writer {
    pub(super) fn new(fatal: Fatal, stopped: Arc<Stopped>) -> Self {
        Self { logs: HashMap::new(), touched: Vec::new(), completions: Vec::new(), fatal, stopped }
    }

    /// Works until all senders are gone. A broken invariant, or a panic in a
    /// completion, ends the log as a failed write does, and is not passed over in silence.
    pub(super) fn run(mut self, receiver: &Receiver<Op>) {
        let end = panic::catch_unwind(AssertUnwindSafe(|| self.work(receiver)));
        if end.is_err() && self.stopped.error().is_none() {
            self.stop(&io::Error::other("the log thread panicked"));
        }
    }

    pub(super) fn work(&mut self, receiver: &Receiver<Op>) {
        while let Some(first) = self.wait(receiver) {
            self.round(first, receiver);
        }
        self.rest();
    }

    /// Carries out an operation and all that wait behind it, with one commit.
    pub(super) fn round(&mut self, first: Op, receiver: &Receiver<Op>) {
        self.take(first);
        while self.gathered_bytes() < GATHERED_BYTES_MAX
            && let Ok(op) = receiver.try_recv()
        {
            self.take(op);
        }
        self.attempt(Self::commit);
    }

    /// Makes the marks durable.
    pub(super) fn rest(&mut self) {
        self.attempt(Self::settle);
    }

    /// The next operation; makes marks durable when none comes for a while.
    fn wait(&mut self, receiver: &Receiver<Op>) -> Option<Op> {
        if self.logs.values().any(|log| log.disk.mark_unsettled) && self.stopped.error().is_none() {
            match receiver.recv_timeout(IDLE) {
                Ok(op) => return Some(op),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.rest(),
            }
        }
        receiver.recv().ok()
    }

    fn take(&mut self, op: Op) {
        match self.stopped.error() {
            Some(error) => op.refuse(error),
            None => self.attempt(|writer| writer.carry_out(op)),
        }
    }

    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) {
        if self.stopped.error().is_none()
            && let Err(error) = work(self)
        {
            self.stop(&error);
        }
    }

    /// Every failure ends here: it is never retried, since after a failed fsync
    /// the pages may be marked clean and a second one would lie.
    fn stop(&mut self, error: &io::Error) {
        error!(%error, "log write failed, nothing is written any more");
        self.stopped.set(error);
        (self.fatal)(error);
        for completion in self.completions.drain(..) {
            (completion.done)(Err(io::Error::new(error.kind(), error.to_string())));
        }
    }

    fn carry_out(&mut self, op: Op) -> io::Result<()> {
        match op {
            Op::Join { log, disk, shared } => {
                self.logs.insert(log, Joined { disk: *disk, shared });
            }
            Op::Append { log, steps, committed: (committed, epoch), progress, done } => {
                let shared = self.log(log).shared.clone();
                self.completions.push(Completion { progress: Some((shared, progress)), done });
                for step in steps {
                    self.step(log, step)?;
                }
                self.touch(log).disk.note_committed(committed, epoch);
            }
            Op::Committed { log, committed: (committed, epoch) } => {
                let disk = &mut self.touch(log).disk;
                disk.note_committed(committed, epoch);
                disk.mark_unsettled = true;
            }
            Op::Vote { log, vote, done } => {
                self.commit()?;
                self.completions.push(Completion { progress: None, done });
                if !planted(Planted::VoteForgotten) {
                    self.log(log).disk.save_vote(&vote)?;
                }
            }
            Op::Truncate { log, truncation, progress, done } => {
                self.commit()?;
                let shared = self.log(log).shared.clone();
                self.completions.push(Completion { progress: Some((shared, progress)), done });
                self.touch(log).disk.truncate(&truncation)?;
            }
            Op::Leave { log, gone } => {
                self.commit()?;
                if let Some(mut joined) = self.logs.remove(&log) {
                    joined.settle()?;
                }
                // Whoever waits may have given up, which changes nothing.
                let _ = gone.send(());
            }
        }
        Ok(())
    }

    fn step(&mut self, log: u64, step: Step) -> io::Result<()> {
        match step {
            Step::Write(records) => self.touch(log).disk.stage(&records),
            Step::Roll(first, blank) => {
                self.flush()?;
                self.log(log).disk.roll(first, blank)?;
            }
        }
        Ok(())
    }

    /// Writes and fsyncs all that is staged, then tells who waits.
    fn commit(&mut self) -> io::Result<()> {
        self.flush()?;
        for completion in self.completions.drain(..) {
            if let Some((shared, progress)) = completion.progress {
                shared.state().flushed(progress);
            }
            (completion.done)(Ok(()));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        for log in std::mem::take(&mut self.touched) {
            self.log(log).disk.flush()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        for log in self.logs.values_mut().filter(|log| log.disk.mark_unsettled) {
            log.settle()?;
        }
        Ok(())
    }

    fn gathered_bytes(&self) -> usize {
        self.touched.iter().map(|log| self.logs[log].disk.staged_bytes()).sum()
    }

    fn log(&mut self, log: u64) -> &mut Joined {
        self.logs.get_mut(&log).expect("a log joins first and leaves last")
    }

    fn touch(&mut self, log: u64) -> &mut Joined {
        if !self.touched.contains(&log) {
            self.touched.push(log);
        }
        self.log(log)
    }
}

const _: () = assert!(limits::VOTE_BYTES_MAX < super::slots::VALUE_BYTES_MAX);
