//! What a log was asked, step by step, and how far it promised.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use weir_storage::{
    disk::sim::{Image, SimOp},
    log::{Done, LogRecord},
};
use weir_types::LogId;

/// What a log holds after some step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    pub records: Arc<Vec<LogRecord>>,
    pub vote: Option<Bytes>,
}

impl Held {
    pub fn last(&self) -> Option<LogId> {
        self.records.last().map(|record| record.id)
    }
}

/// A disk after one operation, and what the log had promised by then.
#[derive(Clone)]
pub struct Moment {
    pub op: SimOp,
    pub image: Image,
    pub promise: Promise,
}

/// What must be found: one of the steps `acked..=asked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promise {
    /// Steps that were told durable.
    pub acked: usize,
    /// Steps that were submitted.
    pub asked: usize,
    /// What was committed when the log last rested: it is not forgotten.
    pub rested: Option<LogId>,
    /// The highest that was noted as committed.
    pub noted: Option<LogId>,
}

/// Everything that was asked, in order of submission, and every moment of the disk.
#[derive(Default)]
pub struct Model {
    /// What is held after each step; a step is one record, one truncation or one vote.
    pub steps: Vec<Held>,
    pub promise: Promise,
    pub moments: Vec<Moment>,
}

impl Model {
    pub fn new() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { steps: vec![Held::default()], ..Self::default() }))
    }

    pub fn now(&self) -> &Held {
        self.steps.last().unwrap()
    }

    pub fn step(&mut self, change: impl FnOnce(&mut Held)) {
        let mut next = self.now().clone();
        change(&mut next);
        self.steps.push(next);
        self.promise.asked += 1;
    }
}

/// A completion that promises all that was submitted by now.
pub fn promises(model: &Arc<Mutex<Model>>) -> Done {
    let asked = model.lock().unwrap().promise.asked;
    let model = model.clone();
    Box::new(move |result| {
        if result.is_ok() {
            let mut model = model.lock().unwrap();
            assert!(model.promise.acked <= asked, "completions come in order");
            model.promise.acked = asked;
        }
    })
}
