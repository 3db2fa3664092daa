use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::sync::oneshot;

use super::Fault;
use crate::off_runtime::is_simulated;

/// Bytes of the thread's stack: the engine's own limit and room for the host around it.
const THREAD_STACK_BYTES: usize = 4 * 1024 * 1024;

/// Somebody with engines on a thread of its own, for an engine never moves
/// between threads and never blocks the runtime. The thread begins with the
/// first job, and ends after the job at hand when this is dropped.
pub(crate) struct OwnThread<W> {
    name: &'static str,
    make: Arc<dyn Fn() -> W + Send + Sync>,
    jobs: Mutex<Option<mpsc::Sender<Job<W>>>>,
}

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// The thread did not do a job.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    /// The operating system gave none.
    #[error("no thread: {0}")]
    None(#[from] io::Error),
    /// It ended, which only a bug does.
    #[error("its thread is gone")]
    Gone,
}

impl From<ThreadError> for Fault {
    fn from(error: ThreadError) -> Self {
        Self::new(error.to_string()).of_no_event()
    }
}

impl<W: 'static> OwnThread<W> {
    /// A thread of this name; `make` makes who works on it, there.
    pub(crate) fn new(name: &'static str, make: impl Fn() -> W + Send + Sync + 'static) -> Self {
        Self { name, make: Arc::new(make), jobs: Mutex::default() }
    }

    /// Has a job done, after those that were asked for before.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> Result<T, ThreadError> {
        if is_simulated() {
            return self.wait_for(job);
        }
        let (sender, answer) = oneshot::channel();
        // Whoever asked may be gone; then the answer has no use.
        let job = Box::new(move |worker: &mut W| drop(sender.send(job(worker))));
        self.jobs()?.send(job).map_err(|_| ThreadError::Gone)?;
        answer.await.map_err(|_| ThreadError::Gone)
    }

    /// The same without letting go of the caller's own thread.
    fn wait_for<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> T + Send + 'static,
    ) -> Result<T, ThreadError> {
        let (sender, answer) = mpsc::channel();
        let job = Box::new(move |worker: &mut W| drop(sender.send(job(worker))));
        self.jobs()?.send(job).map_err(|_| ThreadError::Gone)?;
        answer.recv().map_err(|_| ThreadError::Gone)
    }

    fn jobs(&self) -> io::Result<mpsc::Sender<Job<W>>> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = &*jobs {
            return Ok(jobs.clone());
        }
        let (sender, inbox) = mpsc::channel::<Job<W>>();
        let make = Arc::clone(&self.make);
        thread::Builder::new().name(self.name.into()).stack_size(THREAD_STACK_BYTES).spawn(move || {
            let mut worker = make();
            while let Ok(job) = inbox.recv() {
                job(&mut worker);
            }
        })?;
        Ok(jobs.insert(sender).clone())
    }
}
