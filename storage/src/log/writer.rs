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
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use tracing::error;
use weir_types::limits;

use super::{
    disk::LogDisk,
    record::LogRecord,
    segment::Blank,
    shared::Shared,
    state::{Progress, Truncation},
};

/// Told once, from the log thread, in order of submission: the operation is
/// durable, or it failed and nothing is written any more. It must be quick, and
/// must not wait for another operation of the log.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Told once, from the log thread, of the first failed write or fsync. A node
/// ends its process there: what the disk holds is unknown until it is read again.
pub type Fatal = Box<dyn Fn(&io::Error) + Send>;

/// Staged bytes of all logs at which the thread stops gathering and writes.
const GATHERED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The log's quiet time after which the marks are made durable.
const IDLE: Duration = Duration::from_millis(200);

/// The thread that writes all logs of one node. The handle is cheap to clone;
/// the last one, of which every open [`super::Log`] holds one, ends the thread
/// when all is written.
#[derive(Debug, Clone)]
pub struct LogThread(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    sender: Option<Sender<Op>>,
    stopped: Arc<Stopped>,
    logs: AtomicU64,
    thread: Option<JoinHandle<()>>,
}

/// The first failure, after which nothing is written.
#[derive(Debug, Default)]
pub(super) struct Stopped(OnceLock<(io::ErrorKind, String)>);

/// What the log thread is asked to do. `log` tells the logs of a node apart.
pub(super) enum Op {
    Join { log: u64, disk: Box<LogDisk>, shared: Arc<Shared> },
    Roll { log: u64, first: u64, blank: Blank },
    Append { log: u64, records: Vec<LogRecord> },
    Complete { log: u64, progress: Progress, done: Done },
    Vote { log: u64, vote: Bytes, done: Done },
    Committed { log: u64 },
    Truncate { log: u64, truncation: Truncation, progress: Progress, done: Done },
    Leave { log: u64, gone: Sender<()> },
}

impl LogThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, when it has no thread to give.
    pub fn start(fatal: Fatal) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let stopped = Arc::new(Stopped::default());
        let writer = Writer {
            logs: HashMap::new(),
            touched: Vec::new(),
            completions: Vec::new(),
            fatal,
            stopped: stopped.clone(),
        };
        let thread = thread::Builder::new().name("weir-log".into()).spawn(move || writer.run(&receiver))?;
        let logs = AtomicU64::new(0);
        Ok(Self(Arc::new(Handle { sender: Some(sender), stopped, logs, thread: Some(thread) })))
    }

    /// A number for a log that joins.
    pub(super) fn number(&self) -> u64 {
        self.0.logs.fetch_add(1, Ordering::Relaxed)
    }

    /// The failure that stopped the thread.
    pub(super) fn stopped(&self) -> Option<io::Error> {
        self.0.stopped.error()
    }

    /// Queues an operation behind all others. Hands it back when the thread is gone.
    pub(super) fn send(&self, op: Op) -> Result<(), Op> {
        let sender = self.0.sender.as_ref().expect("the sender lives as long as the handle");
        sender.send(op).map_err(|refused| refused.0)
    }

    /// Whether the caller is the log thread itself, which cannot wait for itself.
    pub(super) fn is_current(&self) -> bool {
        self.0.thread.as_ref().is_some_and(|thread| thread.thread().id() == thread::current().id())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sender = None;
        let Some(thread) = self.thread.take() else { return };
        if thread.thread().id() != thread::current().id() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Stopped {
    pub(super) fn error(&self) -> Option<io::Error> {
        self.0.get().map(|(kind, reason)| io::Error::new(*kind, reason.clone()))
    }
}

impl Op {
    /// Tells the submitter that it will not be done.
    pub(super) fn refuse(self, error: io::Error) {
        match self {
            Self::Complete { done, .. } | Self::Vote { done, .. } | Self::Truncate { done, .. } => {
                done(Err(error))
            }
            Self::Join { .. } | Self::Roll { .. } | Self::Append { .. } | Self::Committed { .. } => {}
            // Whoever waits for it sees the sender gone.
            Self::Leave { .. } => {}
        }
    }
}

struct Writer {
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
        let committed = {
            let mut state = self.shared.state();
            state.mark_owed = false;
            state.committed
        };
        self.disk.note_committed(committed);
        self.disk.settle()
    }
}

struct Completion {
    progress: Option<(Arc<Shared>, Progress)>,
    done: Done,
}

impl Writer {
    /// Works until all senders are gone. A broken invariant, or a panic in a
    /// completion, ends the log as a failed write does, and is not passed over in silence.
    fn run(mut self, receiver: &Receiver<Op>) {
        let end = panic::catch_unwind(AssertUnwindSafe(|| self.work(receiver)));
        if end.is_err() && self.stopped.error().is_none() {
            self.stop(&io::Error::other("the log thread panicked"));
        }
    }

    fn work(&mut self, receiver: &Receiver<Op>) {
        while let Some(first) = self.wait(receiver) {
            self.take(first);
            while self.gathered_bytes() < GATHERED_BYTES_MAX
                && let Ok(op) = receiver.try_recv()
            {
                self.take(op);
            }
            self.attempt(Self::commit);
        }
        self.attempt(Self::settle);
    }

    /// The next operation; makes marks durable when none comes for a while.
    fn wait(&mut self, receiver: &Receiver<Op>) -> Option<Op> {
        if self.logs.values().any(|log| log.disk.mark_unsettled) && self.stopped.error().is_none() {
            match receiver.recv_timeout(IDLE) {
                Ok(op) => return Some(op),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.attempt(Self::settle),
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
        let failure = (error.kind(), error.to_string());
        self.stopped.0.set(failure.clone()).expect("only the first failure stops the log thread");
        (self.fatal)(error);
        for completion in self.completions.drain(..) {
            (completion.done)(Err(io::Error::new(failure.0, failure.1.clone())));
        }
    }

    fn carry_out(&mut self, op: Op) -> io::Result<()> {
        match op {
            Op::Join { log, disk, shared } => {
                self.logs.insert(log, Joined { disk: *disk, shared });
            }
            Op::Append { log, records } => self.touch(log).disk.stage(&records),
            Op::Committed { log } => self.touch(log).disk.mark_unsettled = true,
            Op::Complete { log, progress, done } => {
                let shared = self.log(log).shared.clone();
                self.completions.push(Completion { progress: Some((shared, progress)), done });
            }
            Op::Roll { log, first, blank } => {
                self.flush()?;
                self.log(log).disk.roll(first, blank)?;
            }
            Op::Vote { log, vote, done } => {
                self.commit()?;
                self.completions.push(Completion { progress: None, done });
                self.log(log).disk.save_vote(&vote)?;
            }
            Op::Truncate { log, truncation, progress, done } => {
                self.commit()?;
                let shared = self.log(log).shared.clone();
                self.completions.push(Completion { progress: Some((shared, progress)), done });
                self.log(log).disk.truncate(&truncation)?;
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
            let log = self.log(log);
            let committed = log.shared.state().committed;
            log.disk.note_committed(committed);
            log.disk.flush()?;
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
