//! One invariant and the thread that its code runs on.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use weir_types::{AppendError, EntityType, LogIndex, RecordedEvent, limits};

use crate::{
    reducer::{Engine, Fault, OwnThread, ReducerLimits, Role, ThreadError},
    work_time::WorkTime,
};

/// An invariant as it was set.
pub(crate) struct Invariant {
    /// Whose.
    pub(crate) entity_type: EntityType,
    /// The log index of the rules that hold it.
    pub(crate) set: LogIndex,
    judge: OwnThread<Judge>,
    retroactive: OnceCell<bool>,
}

/// Events that lead from a state to another.
pub(crate) struct Walk {
    /// Where it begins; empty is the initial state.
    pub(crate) state: Arc<str>,
    /// Events in order, and whether each is judged.
    pub(crate) events: Vec<(RecordedEvent, bool)>,
}

/// Where a walk ended.
pub(crate) struct Walked {
    pub(crate) state: Arc<str>,
    /// Events that were judged, up to and with the one that has faults.
    pub(crate) judged: usize,
    /// Path and message.
    pub(crate) faults: Vec<(String, String)>,
}

impl Invariant {
    pub(crate) fn new(entity_type: EntityType, set: LogIndex, source: Arc<str>) -> Self {
        let judge = OwnThread::new("invariant", move || Judge { source: Arc::clone(&source), engine: None });
        Self { entity_type, set, judge, retroactive: OnceCell::new() }
    }

    /// Whether events are folded in the order in which they occurred.
    pub(crate) async fn retroactive(&self) -> Result<bool, AppendError> {
        self.retroactive.get_or_try_init(|| self.ask(Judge::declared)).await.copied()
    }

    pub(crate) async fn walk(&self, walk: Walk) -> Result<Walked, AppendError> {
        self.ask(move |judge| judge.walk(&walk)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Judge) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, AppendError> {
        match self.judge.ask(job).await {
            Ok(answer) => answer.map_err(|fault| self.failed(&fault.to_string())),
            Err(ThreadError::Gone) => Err(self.failed(&ThreadError::Gone.to_string())),
            Err(error @ ThreadError::None(_)) => Err(AppendError::Unavailable { reason: error.to_string() }),
        }
    }

    pub(super) fn failed(&self, reason: &str) -> AppendError {
        AppendError::InvariantFailed { entity_type: self.entity_type.clone(), reason: reason.to_owned() }
    }
}

/// The engine of one invariant, on its thread.
struct Judge {
    source: Arc<str>,
    engine: Option<Engine>,
}

#[derive(Deserialize)]
struct Declared {
    retroactive: bool,
}

#[derive(Deserialize)]
struct Collected<'a> {
    #[serde(borrow)]
    state: &'a RawValue,
    errors: Vec<Told>,
    judged: usize,
}

#[derive(Deserialize)]
struct Told {
    path: String,
    message: String,
}

impl Judge {
    fn declared(&mut self) -> Result<bool, Fault> {
        let declared = serde_json::from_str::<Declared>(self.engine()?.declared());
        Ok(declared.map_err(|error| Fault::new(error.to_string()))?.retroactive)
    }

    /// What failed is tried once more on a fresh engine: whether it is a fault must not depend
    /// on what came before it.
    fn walk(&mut self, walk: &Walk) -> Result<Walked, Fault> {
        let fresh = self.engine.is_none();
        let first = self.attempt(walk);
        if first.is_ok() {
            return first;
        }
        self.engine = None;
        if fresh {
            return first;
        }
        self.attempt(walk).inspect_err(|_| self.engine = None)
    }

    fn attempt(&mut self, walk: &Walk) -> Result<Walked, Fault> {
        let mut time = WorkTime::of(limits::INVARIANT_TIME_MAX);
        let engine = self.engine()?;
        engine.load("", &walk.state)?;
        for (event, judged) in &walk.events {
            engine.step(if *judged { "check" } else { "fold" }, event)?;
            if time.is_over() {
                let max = limits::INVARIANT_TIME_MAX.as_millis();
                return Err(Fault::new(format!("events took more than {max} ms together")));
            }
        }
        let collected = engine.collect("")?;
        let trouble = |error: serde_json::Error| Fault::new(format!("state is not readable: {error}"));
        let Collected { state, errors, judged } = serde_json::from_str(&collected).map_err(trouble)?;
        let (bytes, max) = (state.get().len(), limits::INVARIANT_STATE_BYTES_MAX);
        if bytes > max {
            return Err(Fault::new(format!("state has {bytes} bytes, over the limit of {max}")));
        }
        let faults = errors.into_iter().map(|told| (told.path, told.message)).collect();
        Ok(Walked { state: state.get().into(), judged, faults })
    }

    fn engine(&mut self) -> Result<&mut Engine, Fault> {
        if self.engine.is_none() {
            let loaded = Engine::load_module(Role::Invariant, &self.source, ReducerLimits::default());
            self.engine = Some(loaded?);
        }
        Ok(self.engine.as_mut().expect("it was just loaded"))
    }
}
