//! The fold does not depend on how events come in batches, nor on restarts,
//! nor on which states stay in the engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/bench.rs"]
mod bench;
#[path = "support/events.rs"]
mod events;

use bench::Bench;
use events::event;
use proptest::prelude::*;
use serde_json::json;
use weir_actors::reducer::ReducerLimits;
use weir_types::RecordedEvent;

const SOURCE: &str = "
export const name = 'p';
export const events = ['e.*'];
export const partitionKey = '$.data.k';
export const initialState = () => ({ n: 0, sum: 0.1, names: {}, log: [] });
export function handler(state, event) {
  if (event.data.v === 13) throw new Error('unlucky');
  state.n += 1;
  state.sum += event.data.v / 3;
  state.names[event.name] = (state.names[event.name] ?? 0) + 1;
  state.log.push(event.data);
  if (state.log.length > 3) state.log.shift();
  state.last = event.data.v % 2 ? event.data : undefined;
}";

/// Positions 1 to n, over a few partitions, names of which one is not folded.
fn any_events() -> impl Strategy<Value = Vec<RecordedEvent>> {
    let one = (0..5_u8, 0..4_u8, 0..60_i32);
    prop::collection::vec(one, 1..80).prop_map(|drawn| {
        let events = drawn.into_iter().zip(1..).map(|((key, name, value), position)| {
            let name = ["e.a", "e.b", "e.constructor", "other"][usize::from(name)];
            let data =
                if key == 4 { json!({"v": value}) } else { json!({"k": format!("k{key}"), "v": value}) };
            event(position, name, "e", &data)
        });
        events.collect()
    })
}

#[derive(Debug, PartialEq)]
struct Outcome {
    digest: u64,
    views: Vec<(String, String)>,
    passed: usize,
    parked_at: Option<u64>,
}

fn outcome(bench: &Bench) -> Outcome {
    let text = |state: &bytes::Bytes| String::from_utf8(state.to_vec()).unwrap();
    Outcome {
        digest: bench.digest,
        views: bench.views.iter().map(|(key, state)| (key.to_string(), text(state))).collect(),
        passed: bench.passed,
        parked_at: bench.failure.as_ref().map(|failure| failure.position.0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn views_digest_and_fault_do_not_depend_on_batches(
        events in any_events(),
        sizes in prop::collection::vec(1..20_usize, 80),
        restarts in prop::collection::vec(any::<bool>(), 80),
        resident in 0..4_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (at_once, in_pieces) = runtime.block_on(async {
            let mut whole = Bench::of(SOURCE);
            whole.fold(&events).await;
            let limits = ReducerLimits { resident_partitions_max: resident, ..ReducerLimits::default() };
            let mut pieces = Bench::with(SOURCE, limits);
            let mut rest = &events[..];
            for (size, restart) in sizes.into_iter().zip(restarts) {
                if rest.is_empty() || pieces.failure.is_some() {
                    break;
                }
                let (batch, more) = rest.split_at(size.min(rest.len()));
                pieces.fold(batch).await;
                if restart {
                    pieces.restart();
                }
                rest = more;
            }
            (outcome(&whole), outcome(&pieces))
        });
        prop_assert_eq!(at_once, in_pieces);
    }
}

#[tokio::test]
async fn an_allocation_in_one_partition_does_not_fault_another() {
    // Together the partitions do not fit into the engine; each alone does.
    let limits = ReducerLimits {
        memory_bytes_max: 24 * 1024 * 1024,
        resident_bytes_max: usize::MAX,
        ..ReducerLimits::default()
    };
    let source = "export default {name: 'p', events: ['*'], partitionKey: '$.entityId', initialState: () => ({}), \
                  handler(state, event) { state.text = String(event.position).padEnd(3000000, 'x') }}";
    let mut bench = Bench::with(source, limits);
    let batch: Vec<_> = (1..=12).map(|p| event(p, "e", &format!("e{p}"), &json!({}))).collect();
    bench.fold(&batch).await;
    assert_eq!((bench.passed, &bench.failure), (12, &None));
    assert_eq!(bench.views.len(), 12);
}
