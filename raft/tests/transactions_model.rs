//! Random entries of appends and transactions, applied over the real index and
//! by a model that looks at every event: each outcome is the same, and so is the log.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod scene;

use bytes::Bytes;
use proptest::prelude::*;
use scene::{Scene, append};
use uuid::Uuid;
use weir_raft::apply::CommandOutcome;
use weir_storage::codec::command::encode_writes;
use weir_types::{
    Condition, DecidedAppend, DecidedTransaction, DecidedWrite, EntityId, EventId, EventName,
    ExpectedVersion, Idempotency, IdempotencyKey, NodeId, Position, StreamCheck, StreamVersion, Tag, Term,
    Timestamp, WriteOutcome, ports::Proposer, testing::MemoryLog,
};

const STREAMS: [&str; 4] = ["a", "b", "c", "d"];
const TAGS: [&str; 3] = ["x", "y", "z"];
const NAMES: [&str; 3] = ["placed", "paid", "shipped"];

/// What one write is made of; numbers are taken modulo what there is to choose from.
#[derive(Debug, Clone)]
struct Draft {
    streams: Vec<(usize, i64, usize, usize)>,
    check: Option<(usize, i64)>,
    condition: Option<(u64, Vec<usize>, Vec<usize>)>,
    key: Option<u8>,
    alone: bool,
}

fn draft() -> impl Strategy<Value = Draft> {
    // A stream, how far its base is from right, its events, their name and tag.
    let stream = (0..4_usize, -1..12_i64, 1..4_usize, 0..9_usize);
    let condition =
        (0..60_u64, prop::collection::vec(0..3_usize, 0..2), prop::collection::vec(0..3_usize, 0..3));
    (
        prop::collection::vec(stream, 1..4),
        prop::option::of((0..4_usize, -1..12_i64)),
        prop::option::of(condition),
        prop::option::of(0..6_u8),
        any::<bool>(),
    )
        .prop_map(|(streams, check, condition, key, alone)| Draft {
            streams,
            check,
            condition,
            key,
            alone,
        })
}

/// A version that mostly is the stream's, and sometimes one beside it.
fn near(version: u64, off: i64) -> StreamVersion {
    StreamVersion(if off <= 1 { version.saturating_add_signed(off) } else { version })
}

struct World {
    scene: Scene,
    model: MemoryLog,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { scene: Scene::new(1_000_000), model: MemoryLog::led_by(NodeId(1)), runtime }
    }

    fn version(&self, stream: &str) -> u64 {
        self.model.events().iter().filter(|event| event.entity_id.as_str() == stream).count() as u64
    }

    fn decided(&self, (stream, off, count, facets): (usize, i64, usize, usize)) -> DecidedAppend {
        let name = STREAMS[stream];
        let base = near(self.version(name), off);
        // Now and then the stream is said to be of another type.
        let kind = if facets == 8 && stream == 3 { "other" } else { "order" };
        let mut decided = append(name, kind, base.0, count as u64, None);
        for (number, event) in decided.events.iter_mut().enumerate() {
            event.id = EventId(Uuid::from_u128(number as u128));
            event.name = EventName::new(NAMES[facets % 3]).unwrap();
            event.tags = vec![Tag::new(TAGS[(facets + number) % 3]).unwrap()];
            event.data = Bytes::from_static(b"{}");
        }
        decided
    }

    fn write(&self, draft: &Draft) -> DecidedWrite {
        let idempotency = draft.key.map(|key| Idempotency {
            key: IdempotencyKey::new(format!("k{}", key % 3)).unwrap(),
            digest: u64::from(key),
        });
        if draft.alone {
            return DecidedWrite::Append(DecidedAppend { idempotency, ..self.decided(draft.streams[0]) });
        }
        let mut named = Vec::new();
        let mut appends = Vec::new();
        for part in &draft.streams {
            if !named.contains(&part.0) {
                named.push(part.0);
                appends.push(self.decided(*part));
            }
        }
        let check = draft.check.filter(|(stream, _)| !named.contains(stream)).map(|(stream, off)| {
            let entity_id = EntityId::new(STREAMS[stream]).unwrap();
            let expected = match off {
                9.. => ExpectedVersion::Exists,
                off => ExpectedVersion::Exact(near(self.version(STREAMS[stream]), off)),
            };
            StreamCheck { entity_id, expected }
        });
        let condition = draft.condition.as_ref().map(|(after, names, tags)| Condition {
            after: Position(*after),
            names: names.iter().map(|at| EventName::new(NAMES[*at]).unwrap()).collect(),
            tags: tags.iter().map(|at| Tag::new(TAGS[*at]).unwrap()).collect(),
        });
        DecidedWrite::Transaction(DecidedTransaction {
            idempotency,
            recorded_at: Timestamp(1_000),
            appends,
            checks: check.into_iter().collect(),
            conditions: condition.into_iter().collect(),
        })
    }

    fn modelled(&self, write: DecidedWrite) -> WriteOutcome {
        self.runtime.block_on(Proposer::write(&self.model, Term(1), write)).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_outcome_is_that_of_the_model(
        entries in prop::collection::vec(prop::collection::vec(draft(), 1..5), 1..25),
    ) {
        let mut world = World::new();
        for drafts in entries {
            let (mut writes, mut expected) = (Vec::new(), Vec::new());
            // Each is decided on what the model holds after those before it, as a leader would.
            for draft in &drafts {
                let write = world.write(draft);
                expected.push(world.modelled(write.clone()));
                writes.push(write);
            }
            let CommandOutcome::Writes(outcomes) = world.scene.command(encode_writes(&writes)) else {
                panic!("writes")
            };
            prop_assert_eq!(outcomes, expected, "{:?}", writes);
        }
        let events = world.model.events();
        let mut held = Vec::new();
        while held.len() < events.len() {
            held.extend(world.scene.store.read_log(Position(held.len() as u64 + 1), 4_096).unwrap());
        }
        prop_assert_eq!(held, events);
    }
}
