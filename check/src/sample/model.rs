//! The store of the model: one log, three nodes that apply it with a lag.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::{
    history::{
        Call, Checkpoint, Delivered, Expected, KvOp, NodeReport, Outcome, ReadConsistency, ReadDirection,
        Seen, SeenEvent,
    },
    rng::Rng,
    search::KvState,
    state::StoredEvent,
};

/// The name of the projection that counts.
pub const COUNT: &str = "count";

/// Operations per leadership.
const TERM_OPERATIONS: u64 = 150;

/// One node.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub applied: u64,
    pub incarnation: u64,
    checkpoint: u64,
}

type Key = (String, String);
type Place = (Vec<String>, u64, u64, u64);

/// The store.
pub(super) struct Model {
    pub log: Vec<StoredEvent>,
    /// The last position of the append that each position belongs to: nodes apply appends whole.
    ends: Vec<u64>,
    streams: HashMap<String, Vec<u64>>,
    keys: HashMap<Key, Place>,
    kv: HashMap<String, KvState>,
    pub nodes: [Node; 3],
    served: u64,
    /// The count and sum of each stream after each of its events.
    sums: HashMap<String, Vec<u64>>,
}

impl Model {
    pub(super) fn new() -> Self {
        let (log, ends, served) = (Vec::new(), Vec::new(), 0);
        let nodes = [Node::default(), Node::default(), Node::default()];
        let (streams, keys, kv, sums) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Self { log, ends, streams, keys, kv, nodes, served, sums }
    }

    pub(super) fn term(&self) -> u64 {
        1 + self.served / TERM_OPERATIONS
    }

    pub(super) fn leader(&self) -> u64 {
        1 + self.term() % 3
    }

    pub(super) fn end(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn version(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, |places| places.len() as u64)
    }

    pub(super) fn revision(&self, key: &str) -> u64 {
        self.kv.get(key).map_or(0, KvState::guard)
    }

    /// Does what the call asks for, at this moment.
    pub(super) fn serve(&mut self, call: &Call, rng: &mut Rng) -> Outcome {
        self.served += 1;
        let seen = match call {
            Call::Append { stream, expected, key, marks, .. } => {
                return self.append(stream, *expected, key.as_deref(), marks);
            }
            Call::ReadStream { stream, from, direction, limit, consistency, node } => {
                let applied = self.reach(*node, *consistency, rng);
                self.page(stream, *from, *direction, *limit, applied)
            }
            Call::StreamInfo { stream, consistency, node } => {
                let applied = self.reach(*node, *consistency, rng);
                let places = self.places_at(stream, applied);
                let (version, last_position) = (places.len() as u64, places.last().copied());
                Seen::Head { version, last_position, applied: Some(applied) }
            }
            Call::ReadLog { from, limit, consistency, node } => {
                let applied = self.reach(*node, *consistency, rng);
                let until = applied.min(from + limit - 1);
                Seen::Log { events: self.stretch(from - 1, until), applied: Some(applied) }
            }
            Call::View { partition, min_position, node, .. } => {
                let least = min_position.map_or(ReadConsistency::Local, ReadConsistency::AtLeast);
                let checkpoint = self.reach(*node, least, rng);
                Seen::View { value: self.view(partition, checkpoint), checkpoint }
            }
            Call::NodeState { node } => {
                self.reach(*node, ReadConsistency::Local, rng);
                Seen::Node(self.report(*node))
            }
            Call::Kv { key, op, .. } => return self.key(key, op),
            Call::Observe { .. } | Call::Membership { .. } | Call::Fault { .. } => Seen::Done,
        };
        Outcome::Ok { seen }
    }

    fn append(&mut self, stream: &str, expected: Expected, key: Option<&str>, marks: &[String]) -> Outcome {
        let key = key.map(|key| (stream.to_owned(), key.to_owned()));
        if let Some((known, first_version, last_version, first_position)) =
            key.as_ref().and_then(|key| self.keys.get(key))
        {
            if known != marks {
                return refused("idempotency_conflict", None);
            }
            let (first_version, last_version) = (*first_version, *last_version);
            let first_position = *first_position;
            return Outcome::Ok {
                seen: Seen::Appended { first_version, last_version, first_position, repeated: true },
            };
        }
        let version = self.version(stream);
        if matches!(expected, Expected::Exact(wanted) if wanted != version) {
            return refused("version_conflict", Some(version));
        }
        let first_position = self.end() + 1;
        for mark in marks {
            self.push(stream, mark);
        }
        self.ends.resize(self.log.len(), self.end());
        let (first_version, last_version) = (version + 1, version + marks.len() as u64);
        if let Some(key) = key {
            self.keys.insert(key, (marks.to_vec(), first_version, last_version, first_position));
        }
        Outcome::Ok { seen: Seen::Appended { first_version, last_version, first_position, repeated: false } }
    }

    fn push(&mut self, stream: &str, mark: &str) {
        let position = self.end() + 1;
        let places = self.streams.entry(stream.to_owned()).or_default();
        places.push(position);
        let version = places.len() as u64;
        let sums = self.sums.entry(stream.to_owned()).or_default();
        sums.push(sums.last().copied().unwrap_or(0) + position);
        let (term, decided_by) = (Some(self.term()), Some(self.leader()));
        let (stream, mark) = (stream.to_owned(), mark.to_owned());
        let (name, id) = ("happened".to_owned(), format!("id-{position}"));
        let (recorded_us, data) = (0, Value::Null);
        self.log.push(StoredEvent {
            position,
            stream,
            version,
            mark,
            name,
            id,
            recorded_us,
            term,
            decided_by,
            data,
        });
    }

    /// Lets a node apply some more, at least as much as asked for. Gives its position.
    fn reach(&mut self, node: u64, consistency: ReadConsistency, rng: &mut Rng) -> u64 {
        let end = self.end();
        let node = &mut self.nodes[slot(node)];
        let least = match consistency {
            ReadConsistency::Linearizable => end,
            ReadConsistency::AtLeast(position) => position,
            ReadConsistency::Local => 0,
        };
        let reached = node.applied.max(least).max(end.saturating_sub(rng.within(0..20)));
        node.applied = reached.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        node.checkpoint = node.checkpoint.max(node.applied.saturating_sub(rng.within(0..5)));
        node.applied
    }

    fn places_at(&self, stream: &str, applied: u64) -> &[u64] {
        let places = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        &places[..places.partition_point(|&position| position <= applied)]
    }

    fn page(
        &self,
        stream: &str,
        from: Option<u64>,
        direction: ReadDirection,
        limit: u64,
        applied: u64,
    ) -> Seen {
        let head = self.places_at(stream, applied).len() as u64;
        let versions: Vec<u64> = match direction {
            ReadDirection::Forward => (from.unwrap_or(1).max(1)..=head).take(limit as usize).collect(),
            ReadDirection::Backward => {
                (1..=from.unwrap_or(head).min(head)).rev().take(limit as usize).collect()
            }
        };
        let next = match (direction, versions.last()) {
            (ReadDirection::Forward, Some(&last)) => Some(last + 1).filter(|&next| next <= head),
            (ReadDirection::Backward, Some(&last)) => Some(last - 1).filter(|&next| next > 0),
            (_, None) => None,
        };
        let event = |&version: &u64| {
            let position = self.streams[stream][version as usize - 1];
            SeenEvent { version, position, mark: self.log[position as usize - 1].mark.clone() }
        };
        let events = versions.iter().map(event).collect();
        Seen::Events { events, head: Some(head), next, applied: Some(applied) }
    }

    /// The events after one position up to another, as they are delivered.
    pub(super) fn stretch(&self, after: u64, until: u64) -> Vec<Delivered> {
        let until = until.min(self.end()).max(after.min(self.end()));
        self.log[after.min(until) as usize..until as usize].iter().map(delivered).collect()
    }

    pub(super) fn view(&self, stream: &str, checkpoint: u64) -> Option<Value> {
        let count = self.places_at(stream, checkpoint).len();
        let sum = *self.sums.get(stream)?.get(count.checked_sub(1)?)?;
        Some(json!({ "count": count, "sum": sum }))
    }

    pub(super) fn report(&self, node: u64) -> NodeReport {
        let Node { applied, incarnation, checkpoint } = self.nodes[slot(node)];
        let checkpoint = Checkpoint { position: checkpoint, rebuilds: 0 };
        NodeReport {
            incarnation,
            applied_index: applied,
            position: applied,
            digest: format!("digest-{applied}"),
            term: self.term(),
            leader: Some(self.leader()),
            leads: node == self.leader(),
            actors: None,
            checkpoints: BTreeMap::from([(COUNT.to_owned(), checkpoint)]),
        }
    }

    /// Restarts a node; it goes on from a little before.
    pub(super) fn restart(&mut self, node: u64) {
        let node = &mut self.nodes[slot(node)];
        node.incarnation += 1;
        node.applied = node.applied.saturating_sub(3);
        node.checkpoint = node.checkpoint.saturating_sub(5);
    }

    /// Lets every node apply everything.
    pub(super) fn heal(&mut self) {
        let end = self.end();
        for node in &mut self.nodes {
            (node.applied, node.checkpoint) = (end, end);
        }
    }

    fn key(&mut self, key: &str, op: &KvOp) -> Outcome {
        let state = self.kv.entry(key.to_owned()).or_default();
        let guard = match op {
            KvOp::Cas { revision, .. } => Some(*revision),
            KvOp::Delete { revision } => *revision,
            KvOp::Get | KvOp::Put { .. } => None,
        };
        if guard.is_some_and(|guard| guard != state.guard()) {
            return refused("revision_conflict", Some(state.guard()));
        }
        let value = match op {
            KvOp::Get => {
                let (value, revision) = (state.value.clone(), state.guard());
                return Outcome::Ok { seen: Seen::Kv { value, revision } };
            }
            KvOp::Put { value } | KvOp::Cas { value, .. } => Some(value.clone()),
            KvOp::Delete { .. } => None,
        };
        *state = KvState { value, revision: state.revision + 1 };
        Outcome::Ok { seen: Seen::Kv { value: None, revision: state.revision } }
    }
}

fn slot(node: u64) -> usize {
    (node.saturating_sub(1) % 3) as usize
}

fn refused(code: &str, actual: Option<u64>) -> Outcome {
    Outcome::Refused { code: code.to_owned(), actual }
}

fn delivered(event: &StoredEvent) -> Delivered {
    let StoredEvent { position, version, .. } = *event;
    Delivered { position, stream: event.stream.clone(), version, mark: event.mark.clone() }
}
