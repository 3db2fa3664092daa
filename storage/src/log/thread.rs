//! The handle of the log thread: what submitters hold, and how what they submit
//! reaches the writer.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use weir_types::LogId;

#[cfg(feature = "sim")]
use super::pump::{Pump, Wake};
use super::{
    disk::LogDisk,
    shared::Shared,
    state::{Progress, Step, Truncation},
    writer::Writer,
};

/// Told once, from the log thread, in order of submission: the operation is
/// durable, or it failed and nothing is written any more. It must be quick, and
/// must not wait for another operation of the log.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Told once, from the log thread, of the first failed write or fsync. A node
/// ends its process there: what the disk holds is unknown until it is read again.
pub type Fatal = Box<dyn Fn(&io::Error) + Send>;

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
    worker: Worker,
}

/// Who carries out what is submitted.
#[derive(Debug)]
enum Worker {
    Thread(Option<JoinHandle<()>>),
    #[cfg(feature = "sim")]
    Pump(Pump),
}

/// The first failure, after which nothing is written.
#[derive(Debug, Default)]
pub(super) struct Stopped(OnceLock<(io::ErrorKind, String)>);

/// What is committed, and the epoch in which that was noted.
pub(super) type Noted = (Option<LogId>, u64);

/// What the log thread is asked to do. `log` tells the logs of a node apart.
pub(super) enum Op {
    Join { log: u64, disk: Box<LogDisk>, shared: Arc<Shared> },
    Append { log: u64, steps: Vec<Step>, committed: Noted, progress: Progress, done: Done },
    Vote { log: u64, vote: Bytes, done: Done },
    Committed { log: u64, committed: Noted },
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
        let writer = Writer::new(fatal, stopped.clone());
        let thread = thread::Builder::new().name("weir-log".into()).spawn(move || writer.run(&receiver))?;
        Ok(Self::new(sender, stopped, Worker::Thread(Some(thread))))
    }

    /// A log thread without a thread: what is submitted waits until
    /// [`LogThread::pump`], and is carried out there, by its caller. `wake` is
    /// called at every submission. For one thread that drives everything.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn pumped(fatal: Fatal, wake: Wake) -> Self {
        let (sender, receiver) = mpsc::channel();
        let stopped = Arc::new(Stopped::default());
        let writer = Writer::new(fatal, stopped.clone());
        Self::new(sender, stopped, Worker::Pump(Pump::new(writer, receiver, wake)))
    }

    /// Carries out what was submitted, as one round of the thread would, and
    /// tells who waits. Whether there was anything. Does nothing for a log
    /// thread that has a thread, and within a completion.
    #[cfg(feature = "sim")]
    pub fn pump(&self) -> bool {
        match &self.0.worker {
            Worker::Thread(_) => false,
            Worker::Pump(pump) => pump.round(),
        }
    }

    /// Does what the thread does when nothing was submitted for a while: the
    /// marks become durable. Does nothing for a log thread that has a thread.
    #[cfg(feature = "sim")]
    pub fn rest(&self) {
        if let Worker::Pump(pump) = &self.0.worker {
            pump.rest();
        }
    }

    fn new(sender: Sender<Op>, stopped: Arc<Stopped>, worker: Worker) -> Self {
        let logs = AtomicU64::new(0);
        Self(Arc::new(Handle { sender: Some(sender), stopped, logs, worker }))
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
        sender.send(op).map_err(|refused| refused.0)?;
        #[cfg(feature = "sim")]
        if let Worker::Pump(pump) = &self.0.worker {
            pump.wake();
        }
        Ok(())
    }

    /// Lets a log go, and waits until all that was submitted to it is durable,
    /// unless the log thread itself asks, which cannot wait for itself.
    pub(super) fn leave(&self, log: u64) {
        let (gone, left) = mpsc::channel();
        if self.send(Op::Leave { log, gone }).is_err() {
            return;
        }
        let waits = match &self.0.worker {
            Worker::Thread(thread) => {
                thread.as_ref().is_some_and(|thread| thread.thread().id() != thread::current().id())
            }
            #[cfg(feature = "sim")]
            Worker::Pump(pump) => pump.drain(),
        };
        if waits {
            // An error is the thread's end, after which nothing is written either.
            let _ = left.recv();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sender = None;
        match &mut self.worker {
            Worker::Thread(thread) => {
                let Some(thread) = thread.take() else { return };
                if thread.thread().id() != thread::current().id() {
                    // A panic of the thread was reported when it happened.
                    let _ = thread.join();
                }
            }
            #[cfg(feature = "sim")]
            Worker::Pump(pump) => pump.end(),
        }
    }
}

impl Stopped {
    pub(super) fn error(&self) -> Option<io::Error> {
        self.0.get().map(|(kind, reason)| io::Error::new(*kind, reason.clone()))
    }

    pub(super) fn set(&self, error: &io::Error) {
        let failure = (error.kind(), error.to_string());
        self.0.set(failure).expect("only the first failure stops the log thread");
    }
}

impl Op {
    /// Tells the submitter that it will not be done.
    pub(super) fn refuse(self, error: io::Error) {
        match self {
            Self::Append { done, .. } | Self::Vote { done, .. } | Self::Truncate { done, .. } => {
                done(Err(error))
            }
            Self::Join { .. } | Self::Committed { .. } => {}
            // Whoever waits for it sees the sender gone.
            Self::Leave { .. } => {}
        }
    }
}
