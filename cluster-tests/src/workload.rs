//! Writers that go on through every fault, and note what they were told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};
use weir_api::v1::AppendResult;

use crate::{
    edge::{CallError, Edge},
    eventually,
    history::{Acked, History},
    pause,
};

/// Streams of one writer.
const STREAMS: usize = 8;
/// How long a call may take before the writer asks another node.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an append in flight is still retried after the load was told to stop.
const LAST_RETRIES: Duration = Duration::from_secs(30);

/// A running load: each writer appends to its own streams, one event at a
/// time, with exact expected versions and an idempotency key, over all nodes.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    writers: JoinSet<History>,
    acked: Arc<AtomicU64>,
}

impl Load {
    /// Starts the writers. `name` keeps the streams of several loads apart.
    #[must_use]
    pub fn start(name: &str, edges: &[Edge], writers: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (acked, mut running) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
        for number in 0..writers {
            let writer = Writer {
                name: format!("{name}-{number}"),
                edges: edges.to_vec(),
                at: number % edges.len().max(1),
                stopped: stopped.clone(),
                acked: acked.clone(),
                history: History::default(),
            };
            running.spawn(writer.run());
        }
        Self { stop, writers: running, acked }
    }

    /// Appends that were acknowledged so far.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Waits for this many more acknowledgements: the proof that the cluster serves.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn makes_progress(&self, more: u64, within: Duration) -> Result<()> {
        let goal = self.acked() + more;
        eventually("appends go on", within, || async {
            ensure!(self.acked() >= goal, "{} of {goal} appends are acknowledged", self.acked());
            Ok(())
        })
        .await
    }

    /// Stops the writers and returns all that they were told.
    ///
    /// # Errors
    /// When a writer panicked.
    pub async fn stop(mut self) -> Result<History> {
        // The receivers live as long as the writers: nobody to tell is no failure.
        let _ = self.stop.send(true);
        let mut history = History::default();
        while let Some(writer) = self.writers.join_next().await {
            history.merge(writer?);
        }
        Ok(history)
    }
}

struct Writer {
    name: String,
    edges: Vec<Edge>,
    at: usize,
    stopped: watch::Receiver<bool>,
    acked: Arc<AtomicU64>,
    history: History,
}

impl Writer {
    async fn run(mut self) -> History {
        let mut versions = [0_u64; STREAMS];
        for number in 0_u64.. {
            if *self.stopped.borrow() {
                break;
            }
            let stream = usize::try_from(number).unwrap_or(0) % STREAMS;
            let (op, entity) = (format!("{}-{number}", self.name), format!("{}-{stream}", self.name));
            match self.append(&op, &entity, versions[stream]).await {
                Some(version) => versions[stream] = version,
                // Its fate is unknown, so the stream's version is too.
                None => break,
            }
        }
        self.history
    }

    /// Sends one append until its fate is known. The new version, or nothing.
    async fn append(&mut self, op: &str, entity: &str, expected: u64) -> Option<u64> {
        let body = guarded(op, expected);
        self.history.attempt(op);
        let mut give_up = None;
        loop {
            match self.call(entity, &body).await {
                Ok(told) => return Some(self.note_ack(op, entity, &told)),
                Err(CallError::Refused { error, .. })
                    if !error.code.is_retryable() && !error.code.outcome_unknown() =>
                {
                    self.history.refuse(op, error.code.as_str());
                    return None;
                }
                Err(_) => self.at = (self.at + 1) % self.edges.len(),
            }
            if *self.stopped.borrow() && give_up.get_or_insert_with(Instant::now).elapsed() > LAST_RETRIES {
                return None;
            }
            pause().await;
        }
    }

    fn note_ack(&mut self, op: &str, entity: &str, told: &AppendResult) -> u64 {
        self.acked.fetch_add(1, Ordering::Relaxed);
        let (version, position) = (told.last_version, told.last_position);
        self.history.ack(Acked { op: op.to_owned(), entity_id: entity.to_owned(), version, position });
        version
    }

    async fn call(&self, entity: &str, body: &Value) -> Result<AppendResult, CallError> {
        let edge = &self.edges[self.at];
        match tokio::time::timeout(CALL_TIMEOUT, edge.append(entity, body)).await {
            Ok(answer) => answer,
            Err(late) => Err(CallError::Silent(late.into())),
        }
    }
}

/// One event that carries its mark, guarded by an exact version, with the mark as its key.
#[must_use]
pub fn guarded(op: &str, expected: u64) -> Value {
    json!({
        "entityType": "load",
        "expectedVersion": expected,
        "idempotencyKey": op,
        "name": "load.written",
        "data": { "op": op },
    })
}
