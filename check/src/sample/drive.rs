//! Clients that ask the model, in simulated time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::{Shape, consumers::Consumer, model::COUNT, model::Model};
use crate::{
    history::{
        Call, Expected, Header, History, KvOp, Operation, Outcome, ReadConsistency, ReadDirection, Seen,
        Topology,
    },
    rng::Rng,
    state::{FinalState, JetStreamEnd, Message, NodeEnd, ViewEnd},
};

/// Operations between two looks from outside: reports, consumers, a fault.
const LOOK_EVERY: u64 = 40;
/// The client number of looks from outside.
const OBSERVER: u64 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Complete,
    Effect,
    Invoke,
}

/// An operation under way.
struct Open {
    client: u64,
    invoke_us: u64,
    call: Call,
    outcome: Option<Outcome>,
    /// What the client is told instead of the outcome.
    told: Option<Outcome>,
    completed: bool,
}

struct Drive {
    shape: Shape,
    rng: Rng,
    model: Model,
    steps: BinaryHeap<Reverse<(u64, Step, u64)>>,
    open: BTreeMap<u64, Open>,
    done: Vec<Operation>,
    again: BTreeMap<u64, Call>,
    last_position: BTreeMap<u64, u64>,
    consumers: [Consumer; 2],
    next_id: u64,
    now_us: u64,
}

pub(super) fn run(shape: Shape) -> (History, FinalState) {
    let mut drive = Drive {
        shape,
        rng: Rng::new(shape.seed),
        model: Model::new(),
        steps: BinaryHeap::new(),
        open: BTreeMap::new(),
        done: Vec::new(),
        again: BTreeMap::new(),
        last_position: BTreeMap::new(),
        consumers: Consumer::both(),
        next_id: 1,
        now_us: 0,
    };
    for client in 1..=shape.clients {
        drive.steps.push(Reverse((client, Step::Invoke, client)));
    }
    while let Some(Reverse((moment, step, id))) = drive.steps.pop() {
        drive.now_us = moment;
        match step {
            Step::Invoke => drive.invoke(id),
            Step::Effect => drive.effect(id),
            Step::Complete => drive.complete(id),
        }
    }
    drive.finish()
}

impl Drive {
    fn later(&mut self, most_us: u64, step: Step, id: u64) {
        let moment = self.now_us + 1 + self.rng.within(0..most_us);
        self.steps.push(Reverse((moment, step, id)));
    }

    fn invoke(&mut self, client: u64) {
        if self.next_id > self.shape.operations {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let call = self.again.remove(&client).unwrap_or_else(|| self.call(client, id));
        let mutates = matches!(call, Call::Append { .. } | Call::Kv { .. });
        let (chance, invoke_us) = (self.rng.within(0..100), self.now_us);
        let told = match chance {
            0..4 if mutates => Some(Outcome::Unknown { reason: "time-out".to_owned() }),
            4..5 => Some(Outcome::Refused { code: "unavailable".to_owned(), actual: None }),
            _ => None,
        };
        let refused = told.as_ref().is_some_and(Outcome::is_refused);
        let unknown = told.is_some() && !refused;
        self.open.insert(id, Open { client, invoke_us, call, outcome: None, told, completed: false });
        if unknown {
            // It happens in time, or late, or never.
            self.later(400, Step::Complete, id);
            match self.rng.within(0..3) {
                0 => self.later(200, Step::Effect, id),
                1 => self.later(3_000, Step::Effect, id),
                _ => {}
            }
        } else if refused {
            self.later(400, Step::Complete, id);
        } else {
            self.later(200, Step::Effect, id);
        }
    }

    fn effect(&mut self, id: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let outcome = self.model.serve(&open.call, &mut self.rng);
        open.outcome = Some(outcome);
        let (unknown, completed) = (open.told.is_some(), open.completed);
        if completed {
            self.open.remove(&id);
        }
        if unknown {
            return;
        }
        self.later(200, Step::Complete, id);
    }

    fn complete(&mut self, id: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.completed = true;
        let (client, invoke_us, call) = (open.client, open.invoke_us, open.call.clone());
        let unknown = open.told.as_ref().is_some_and(Outcome::is_unknown);
        let happened = open.outcome.is_some();
        let Some(outcome) = open.told.clone().or_else(|| open.outcome.clone()) else { return };
        if !unknown || happened {
            self.open.remove(&id);
        }
        if let Outcome::Ok { seen: Seen::Appended { first_position, .. } } = &outcome {
            self.last_position.insert(client, *first_position);
        }
        let repeats = matches!(call, Call::Append { key: Some(_), .. });
        if repeats && (unknown || (outcome.is_ok() && self.rng.chance(5))) {
            self.again.insert(client, call.clone());
        }
        let complete_us = self.now_us;
        self.done.push(Operation { id, client, invoke_us, complete_us, call, outcome });
        if (self.done.len() as u64).is_multiple_of(LOOK_EVERY) {
            self.look(false);
        }
        self.later(300, Step::Invoke, client);
    }

    fn call(&mut self, client: u64, id: u64) -> Call {
        let node = 1 + self.rng.within(0..3);
        let stream = format!("s{}", self.rng.within(0..self.shape.streams));
        let last = self.last_position.get(&client).copied();
        let consistency = match self.rng.within(0..4) {
            0 => ReadConsistency::Local,
            1 => last.map_or(ReadConsistency::Local, ReadConsistency::AtLeast),
            _ => ReadConsistency::Linearizable,
        };
        match self.rng.within(0..100) {
            0..50 => self.append(stream, id, node),
            50..70 => self.read(stream, consistency, node),
            70..78 => Call::StreamInfo { stream, consistency, node },
            78..82 => {
                let from = 1 + self.rng.within(0..self.model.end() + 1);
                Call::ReadLog { from, limit: 10, consistency: ReadConsistency::Local, node }
            }
            82..90 => {
                Call::View { projection: COUNT.to_owned(), partition: stream, min_position: last, node }
            }
            _ => self.key(id, node),
        }
    }

    fn append(&mut self, stream: String, id: u64, node: u64) -> Call {
        let count = if self.rng.chance(15) { 2 + self.rng.within(0..3) } else { 1 };
        let marks = (0..count).map(|event| format!("m{id}-{event}")).collect();
        let expected =
            if self.rng.chance(40) { Expected::Any } else { Expected::Exact(self.model.version(&stream)) };
        let key = self.rng.chance(60).then(|| format!("k{id}"));
        Call::Append { stream, expected, key, marks, node }
    }

    fn read(&mut self, stream: String, consistency: ReadConsistency, node: u64) -> Call {
        let forward = self.rng.chance(60);
        let direction = if forward { ReadDirection::Forward } else { ReadDirection::Backward };
        let version = self.model.version(&stream);
        let from = self.rng.chance(70).then(|| (version + 1).saturating_sub(self.rng.within(0..10)).max(1));
        Call::ReadStream { stream, from, direction, limit: 10, consistency, node }
    }

    fn key(&mut self, id: u64, node: u64) -> Call {
        let (bucket, key) = ("bucket".to_owned(), format!("key{}", self.rng.within(0..self.shape.keys)));
        let (value, revision) = (format!("v{id}"), self.model.revision(&key));
        let op = match self.rng.within(0..10) {
            0..4 => KvOp::Get,
            4..6 => KvOp::Put { value },
            6..9 => KvOp::Cas { revision, value },
            _ => KvOp::Delete { revision: Some(revision) },
        };
        Call::Kv { bucket, key, op, node }
    }

    /// Notes something that takes no time.
    fn note(&mut self, call: Call, outcome: Outcome) {
        let (id, invoke_us, complete_us) = (1_000_000_000 + self.done.len() as u64, self.now_us, self.now_us);
        self.done.push(Operation { id, client: OBSERVER, invoke_us, complete_us, call, outcome });
        self.now_us += 1;
    }

    fn look(&mut self, complete: bool) {
        for node in 1..=3 {
            let call = Call::NodeState { node };
            let outcome = self.model.serve(&call, &mut self.rng);
            self.note(call, outcome);
        }
        let observed: Vec<_> = self
            .consumers
            .iter_mut()
            .map(|consumer| consumer.observe(&self.model, &mut self.rng, complete))
            .collect();
        for (call, outcome) in observed {
            self.note(call, outcome);
        }
        // The last look is after the healing.
        if !complete && self.rng.chance(30) {
            let node = 1 + self.rng.within(0..3);
            let (name, phase, detail) = ("kill-9".to_owned(), "inject".to_owned(), serde_json::Value::Null);
            self.note(
                Call::Fault { name, phase, nodes: vec![node], detail },
                Outcome::Ok { seen: Seen::Done },
            );
            self.model.restart(node);
        }
    }

    fn finish(mut self) -> (History, FinalState) {
        self.model.heal();
        self.look(true);
        let header = Header::new(
            self.shape.seed,
            Topology { kind: "model".to_owned(), nodes: vec![1, 2, 3], nats: 1 },
            &["mixed"],
        );
        let end = final_state(&self.model, self.shape.streams);
        (History { header, operations: self.done }, end)
    }
}

fn final_state(model: &Model, streams: u64) -> FinalState {
    let node = |node| NodeEnd { node, report: model.report(node), events: model.log.clone() };
    let message = |event: &crate::state::StoredEvent| Message {
        sequence: event.position,
        position: event.position,
        stream: event.stream.clone(),
        version: event.version,
        mark: event.mark.clone(),
    };
    let messages = model.log.iter().map(message).collect();
    let partitions = (0..streams).flat_map(|stream| (1..=3).map(move |node| (format!("s{stream}"), node)));
    let views = partitions.map(|(partition, node)| {
        let (projection, checkpoint) = (COUNT.to_owned(), model.end());
        let value = model.view(&partition, checkpoint);
        ViewEnd { node, projection, partition, checkpoint, value }
    });
    FinalState {
        nodes: (1..=3).map(node).collect(),
        jetstream: Some(JetStreamEnd { messages, trimmed_to: 0 }),
        views: views.collect(),
    }
}
