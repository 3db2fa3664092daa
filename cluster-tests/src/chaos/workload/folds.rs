//! The projections of the workloads: their JavaScript, and the same folds in
//! Rust, which share nothing with it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_check::{invariants::Fold, state::StoredEvent};

/// The one partition of a projection that names no partition key.
pub(super) const GLOBAL: &str = "__global__";
/// The modulus of the running hash, which every repeat, hole and change of order changes.
const MODULUS: u64 = 1_000_003;

/// A projection that counts, sums, and hashes positions in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    pub(super) name: &'static str,
    /// The patterns of its events, as a JavaScript list.
    events: &'static str,
    /// The same, by event name.
    takes: fn(&str) -> bool,
    /// JSONPath of the partition key.
    path: Option<&'static str>,
    /// The same, in Rust; `None` for an event of no partition.
    partition: fn(&StoredEvent) -> Option<String>,
    /// Whether its events carry a number, `n`.
    sums: bool,
    /// What its source says of its kind.
    kind: Option<&'static str>,
}

/// Counts every event of the namespace, whoever wrote it.
pub(super) const ALL: Counter = Counter {
    name: "projections-all",
    events: "['*']",
    takes: |_| true,
    path: None,
    partition: |_| Some(GLOBAL.to_owned()),
    sums: false,
    kind: None,
};

/// Counts the events of each stream.
pub(super) const BY_STREAM: Counter = Counter {
    name: "projections-by-stream",
    events: "['projections.*']",
    takes: |name| name.starts_with("projections."),
    path: Some("$.entityId"),
    partition: |event| Some(event.stream.clone()),
    sums: true,
    kind: None,
};

/// As [`BY_STREAM`], folded right behind apply.
pub(super) const INLINE: Counter = Counter { name: "projections-inline", kind: Some("inline"), ..BY_STREAM };

/// Counts by a field of the data that is text, a number, a boolean, null or not there.
pub(super) const BY_KIND: Counter = Counter {
    name: "projections-by-kind",
    events: "['projections.moved']",
    takes: |name| name == "projections.moved",
    path: Some("$.data.kind"),
    partition: |event| kind_of(&event.data["kind"]),
    sums: true,
    kind: None,
};

/// As [`ALL`] over two names; deployed again and again.
pub(super) const REDEPLOYED: Counter = Counter {
    name: "projections-redeployed",
    events: "['projections.moved', 'projections.rested']",
    takes: |name| matches!(name, "projections.moved" | "projections.rested"),
    path: None,
    partition: |_| Some(GLOBAL.to_owned()),
    sums: true,
    kind: None,
};

/// Counts the events of the streams that are read right after they were written.
pub(super) const FRESHNESS: Counter = Counter {
    name: "freshness-count",
    events: "['freshness.*']",
    takes: |name| name.starts_with("freshness."),
    path: Some("$.entityId"),
    partition: |event| Some(event.stream.clone()),
    sums: false,
    kind: None,
};

const COUNTERS: [Counter; 6] = [ALL, BY_STREAM, INLINE, BY_KIND, REDEPLOYED, FRESHNESS];

/// The empty fold of a workload's projection, for the checker of P2; `None` for a name that no workload deploys.
#[must_use]
pub fn folds(projection: &str) -> Option<Box<dyn Fold>> {
    let counter = COUNTERS.into_iter().find(|counter| counter.name == projection)?;
    Some(Box::new(Folded { counter, states: BTreeMap::new() }))
}

/// The partition that a value means.
fn kind_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Counter {
    /// Its module. Two generations differ in a comment, so that the second is
    /// a deployment of its own, which folds from the start to the same views.
    pub(super) fn source(&self, generation: u64) -> String {
        let Self { name, events, path, sums, kind, .. } = *self;
        let kind = kind.map(|kind| format!("export const kind = '{kind}';\n")).unwrap_or_default();
        let partition_key =
            path.map(|path| format!("export const partitionKey = '{path}';\n")).unwrap_or_default();
        let number = if sums { "event.data.n" } else { "0" };
        format!(
            "// generation {generation}\n\
             export const name = '{name}';\n\
             export const events = {events};\n\
             {partition_key}{kind}\
             export function initialState() {{ return {{ count: 0, sum: 0, hash: 7, last: 0 }}; }}\n\
             export function handler(state, event) {{\n\
             \x20 state.count += 1;\n\
             \x20 state.sum += {number};\n\
             \x20 state.hash = (state.hash * 31 + event.position) % {MODULUS};\n\
             \x20 state.last = event.position;\n\
             }}\n"
        )
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    count: u64,
    sum: u64,
    hash: u64,
    last: u64,
}

struct Folded {
    counter: Counter,
    states: BTreeMap<String, State>,
}

impl Fold for Folded {
    fn fold(&mut self, event: &StoredEvent) {
        if !(self.counter.takes)(&event.name) {
            return;
        }
        let Some(partition) = (self.counter.partition)(event) else { return };
        let state = self.states.entry(partition).or_insert(State { count: 0, sum: 0, hash: 7, last: 0 });
        state.count += 1;
        if self.counter.sums {
            state.sum += event.data["n"].as_u64().unwrap_or(0);
        }
        state.hash = (state.hash * 31 + event.position) % MODULUS;
        state.last = event.position;
    }

    fn view(&self, partition: &str) -> Option<Value> {
        let State { count, sum, hash, last } = *self.states.get(partition)?;
        Some(json!({ "count": count, "sum": sum, "hash": hash, "last": last }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(position: u64, name: &str, data: Value) -> StoredEvent {
        StoredEvent {
            position,
            stream: "s".to_owned(),
            version: position,
            name: name.to_owned(),
            data,
            ..StoredEvent::default()
        }
    }

    #[test]
    fn a_fold_takes_its_own_events_and_knows_their_partitions() {
        let mut fold = folds(BY_KIND.name).expect("it is known");
        for (position, kind) in [(1, json!("red")), (2, json!(7)), (3, Value::Null), (4, json!("red"))] {
            fold.fold(&event(position, "projections.moved", json!({ "kind": kind, "n": position })));
        }
        fold.fold(&event(5, "projections.rested", json!({ "kind": "red", "n": 1 })));
        let hash = ((7 * 31 + 1) * 31 + 4) % MODULUS;
        assert_eq!(fold.view("red"), Some(json!({ "count": 2, "sum": 5, "hash": hash, "last": 4 })));
        assert_eq!(fold.view("7").map(|view| view["count"].clone()), Some(json!(1)));
        assert_eq!(fold.view("null"), None);
        assert!(folds("another").is_none());
    }

    #[test]
    fn two_generations_are_two_sources() {
        assert_ne!(REDEPLOYED.source(1), REDEPLOYED.source(2));
        assert!(BY_KIND.source(0).contains("partitionKey = '$.data.kind'"));
    }
}
