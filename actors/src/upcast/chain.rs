//! The upcasters of one name, and the thread that their code runs on.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use weir_types::{EventName, RecordedEvent, UpcastError, limits};

use super::steps::{Step, Steps};
use crate::reducer::{Engine, Fault, OwnThread, ReducerLimits, Role, ThreadError};

/// Why an event was not upcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpcastFault {
    /// What is wrong.
    pub error: UpcastError,
    /// Whether the event is to blame, and would be on every node; not where the machine's clock stopped the code.
    pub of_event: bool,
}

/// One step of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestStep {
    /// The schema version that it took.
    pub from: u32,
    /// The schema version that it gave.
    pub to: u32,
    /// What its author says of it.
    pub description: String,
    /// The data that it gave, as JSON.
    pub data: Bytes,
}

/// What a try came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// The steps that were taken.
    pub steps: Vec<TestStep>,
    /// Why there are no more, if one failed.
    pub error: Option<UpcastError>,
}

/// A first part of the events that were asked for.
pub(super) struct Done {
    pub(super) events: Vec<RecordedEvent>,
    /// Why the next one is not among them; without it, its turn is over.
    pub(super) fault: Option<UpcastFault>,
}

/// The upcasters of one name.
pub(super) struct Chain {
    steps: Arc<Steps>,
    worker: OwnThread<Worker>,
}

impl Chain {
    pub(super) fn new(steps: Steps) -> Self {
        let steps = Arc::new(steps);
        let of_worker = Arc::clone(&steps);
        let make = move || Worker { steps: Arc::clone(&of_worker), engines: HashMap::new() };
        Self { steps, worker: OwnThread::new("upcaster", make) }
    }

    /// The newest version that a step gives.
    pub(super) fn newest(&self) -> u32 {
        self.steps.newest()
    }

    /// Upcasts a first part of events of the name: at least one, unless it is the fault.
    pub(super) async fn upcast(&self, events: Vec<RecordedEvent>) -> Done {
        let from = events.first().map_or(0, |event| event.schema_version);
        let done = self.worker.ask(|worker| worker.upcast(events)).await;
        done.unwrap_or_else(|error| Done { events: Vec::new(), fault: Some(self.broken(from, &error)) })
    }

    /// Upcasts one event, up to a version, and tells each step.
    pub(super) async fn test(&self, event: RecordedEvent, target: Option<u32>) -> Tested {
        let from = event.schema_version;
        let tested = self.worker.ask(move |worker| worker.test(event, target)).await;
        tested.unwrap_or_else(|error| {
            let error = self.broken(from, &error).error;
            Tested { steps: Vec::new(), error: Some(error) }
        })
    }

    fn broken(&self, from: u32, reason: &ThreadError) -> UpcastFault {
        let (name, to) = (self.steps.name().clone(), self.steps.newest());
        let error = UpcastError::Failed { name, from, to, reason: reason.to_string() };
        UpcastFault { error, of_event: false }
    }
}

/// The engines of a chain, on its thread: one for each step.
struct Worker {
    steps: Arc<Steps>,
    engines: HashMap<u32, Engine>,
}

impl Worker {
    fn upcast(&mut self, events: Vec<RecordedEvent>) -> Done {
        let began = Instant::now();
        let (mut done, mut bytes) = (Vec::with_capacity(events.len()), 0);
        for mut event in events {
            if !done.is_empty()
                && (began.elapsed() > limits::UPCAST_TURN_MAX || bytes > limits::READ_BYTES_MAX)
            {
                break;
            }
            if let Err(fault) = self.lead(&mut event, None, |_, _| {}) {
                return Done { events: done, fault: Some(fault) };
            }
            bytes += event.data.len();
            done.push(event);
        }
        Done { events: done, fault: None }
    }

    fn test(&mut self, mut event: RecordedEvent, target: Option<u32>) -> Tested {
        let mut steps = Vec::new();
        let led = self.lead(&mut event, target, |step, data| {
            let (description, data) = (step.description.clone(), data.clone());
            steps.push(TestStep { from: step.from, to: step.to, description, data });
        });
        Tested { steps, error: led.err().map(|fault| fault.error) }
    }

    /// Leads an event to a version, or to the newest.
    fn lead(
        &mut self,
        event: &mut RecordedEvent,
        target: Option<u32>,
        mut tell: impl FnMut(&Step, &Bytes),
    ) -> Result<(), UpcastFault> {
        let steps = Arc::clone(&self.steps);
        let route = steps.route(event.schema_version, target);
        for step in route.map_err(|error| UpcastFault { error, of_event: true })? {
            event.data = self.step(step, event).map_err(|fault| failed(steps.name(), step, &fault))?;
            event.schema_version = step.to;
            tell(step, &event.data);
        }
        Ok(())
    }

    /// What failed is tried once more on a fresh engine: whether it is a fault must not depend on what came before.
    fn step(&mut self, step: &Step, event: &RecordedEvent) -> Result<Bytes, Fault> {
        let fresh = !self.engines.contains_key(&step.from);
        let mut led = self.attempt(step, event);
        if led.is_err() {
            self.engines.remove(&step.from);
            if !fresh {
                led = self.attempt(step, event);
            }
        }
        led.inspect_err(|_| drop(self.engines.remove(&step.from)))
    }

    fn attempt(&mut self, step: &Step, event: &RecordedEvent) -> Result<Bytes, Fault> {
        let engine = match self.engines.entry(step.from) {
            std::collections::hash_map::Entry::Occupied(engine) => engine.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let loaded = Engine::load_module(Role::Upcaster, &step.source, ReducerLimits::default());
                place.insert(loaded.map_err(Fault::of_no_event)?)
            }
        };
        engine.step("", event)?;
        let data = engine.collect("")?;
        let max = limits::EVENT_DATA_BYTES_MAX;
        if data.len() > max {
            return Err(Fault::new(format!("data has {} bytes, over the limit of {max}", data.len())));
        }
        let (depth, max) = (depth_of(&data), limits::JSON_DEPTH_MAX);
        if depth > max {
            return Err(Fault::new(format!("data is nested over {max} levels")));
        }
        Ok(Bytes::from(data))
    }
}

fn failed(name: &EventName, step: &Step, fault: &Fault) -> UpcastFault {
    let (name, reason) = (name.clone(), fault.to_string());
    let error = UpcastError::Failed { name, from: step.from, to: step.to, reason };
    UpcastFault { error, of_event: fault.of_event }
}

/// Levels of nesting in a text that is JSON.
fn depth_of(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_are_no_levels() {
        for (json, expected) in [
            ("1", 0),
            ("{}", 1),
            (r#"{"a":[{"b":1}],"c":[]}"#, 3),
            (r#"["[[\"[[",{"]":"}"}]"#, 2),
            (r#"["\\",[1]]"#, 2),
        ] {
            assert_eq!(depth_of(json), expected, "{json}");
        }
    }
}
