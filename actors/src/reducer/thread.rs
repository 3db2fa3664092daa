use std::{
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use tokio::sync::oneshot;
use weir_types::{PartitionKey, ProjectionDefinition, RecordedEvent};

use super::{ReducerLimits, fold::FoldOutcome, fold::Folder};

/// Bytes of the thread's stack: the engine's own limit and room for the host around it.
pub(super) const THREAD_STACK_BYTES: usize = 4 * 1024 * 1024;

/// The thread ended, which only a bug does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reducer thread is gone")]
pub struct ReducerGone;

enum Job {
    Prepare(Arc<Vec<RecordedEvent>>, usize, oneshot::Sender<Vec<PartitionKey>>),
    Run(Vec<(PartitionKey, Option<Bytes>)>, oneshot::Sender<FoldOutcome>),
}

/// A projection's engine on a thread of its own, for an engine never moves
/// between threads and never blocks the runtime. Dropping it ends the thread
/// after the job at hand.
///
/// A batch is folded in two steps: [`ReducerThread::prepare`] says whose states
/// are needed, [`ReducerThread::run`] gets them and folds.
#[derive(Debug)]
pub struct ReducerThread {
    jobs: mpsc::Sender<Job>,
}

impl ReducerThread {
    /// Starts the thread. The module is loaded with its first event.
    ///
    /// # Errors
    /// The operating system's, when it gives no thread.
    pub fn start(definition: Arc<ProjectionDefinition>, limits: ReducerLimits) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel();
        thread::Builder::new().name("reducer".into()).stack_size(THREAD_STACK_BYTES).spawn(move || {
            let mut folder = Folder::new(definition, limits);
            while let Ok(job) = inbox.recv() {
                // Whoever asked may be gone; then the answer has no use.
                match job {
                    Job::Prepare(events, take, reply) => drop(reply.send(folder.prepare(events, take))),
                    Job::Run(states, reply) => drop(reply.send(folder.run(states))),
                }
            }
        })?;
        Ok(Self { jobs })
    }

    /// Takes the first `take` events of a batch and tells whose states are missing.
    ///
    /// # Errors
    /// [`ReducerGone`].
    pub async fn prepare(
        &self,
        events: Arc<Vec<RecordedEvent>>,
        take: usize,
    ) -> Result<Vec<PartitionKey>, ReducerGone> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Prepare(events, take, reply)).map_err(|_| ReducerGone)?;
        answer.await.map_err(|_| ReducerGone)
    }

    /// Folds what was prepared, given the states that were missing. The result
    /// must be stored, or the thread dropped.
    ///
    /// # Errors
    /// [`ReducerGone`].
    pub async fn run(&self, states: Vec<(PartitionKey, Option<Bytes>)>) -> Result<FoldOutcome, ReducerGone> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Run(states, reply)).map_err(|_| ReducerGone)?;
        answer.await.map_err(|_| ReducerGone)
    }
}
