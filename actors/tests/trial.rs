//! Given events are folded on the spot as a node would fold them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/events.rs"]
mod events;

use events::event;
use serde_json::json;
use weir_actors::{projection::trial, reducer::ReducerLimits};
use weir_types::Trial;

async fn folded(more: &str, values: &[i64]) -> Trial {
    let source = format!(
        "export const name = 'p'; export const events = ['e']; export const partitionKey = '$.data.k';\n\
         export const initialState = () => ({{ n: 0 }});\n\
         export function handler(state, event) {{\n\
           if (event.data.v < 0) throw new Error('negative');\n\
           state.n += event.data.v;\n\
         }}\n{more}"
    );
    // With holes between the positions, as the export of a part of a log has them.
    let events = values.iter().zip(1_u64..).map(|(value, number)| {
        let key = if number % 2 == 0 { "even" } else { "odd" };
        event(number * 10, "e", "one", &json!({ "k": key, "v": value }))
    });
    trial(source, events.collect(), ReducerLimits::default()).await.unwrap()
}

fn states(trial: &Trial) -> Vec<String> {
    let text = |view: &weir_types::ports::View| String::from_utf8(view.state.to_vec()).unwrap();
    trial.states.iter().map(|(key, view)| format!("{key} {} @{}", text(view), view.position)).collect()
}

#[tokio::test]
async fn a_trial_ends_with_the_states_of_all_partitions() {
    let trial = folded("", &[1, 2, 3, 4]).await;
    assert_eq!(states(&trial), [r#"even {"n":6} @40"#, r#"odd {"n":4} @30"#]);
    assert_eq!((trial.folded, trial.dead_letters.len(), trial.failed), (4, 0, None));
}

#[tokio::test]
async fn a_trial_stops_where_a_node_would_park_and_says_where() {
    let trial = folded("", &[1, 2, -3, 4]).await;
    assert_eq!(states(&trial), [r#"even {"n":2} @20"#, r#"odd {"n":1} @10"#]);
    let failed = trial.failed.unwrap();
    assert_eq!((failed.position.0, failed.message.as_str()), (30, "Error: negative"));
    assert!(failed.stack.contains("handler (projection.js:4:"), "{}", failed.stack);
    assert!(failed.stack.lines().all(|frame| frame.contains("projection.js")), "{}", failed.stack);
}

#[tokio::test]
async fn a_trial_passes_what_a_node_would_skip() {
    let trial = folded("export const onError = 'skip';", &[-1, 2, -3, 4, 5]).await;
    assert_eq!(states(&trial), [r#"even {"n":6} @40"#, r#"odd {"n":5} @50"#]);
    let skipped: Vec<_> = trial.dead_letters.iter().map(|bad| bad.position.0).collect();
    assert_eq!((skipped, trial.failed), (vec![10, 30], None));
}

#[tokio::test]
async fn a_trial_of_a_virtual_projection_ends_with_the_states_of_streams() {
    let source = "export const name = 'p'; export const kind = 'virtual'; export const events = ['e'];\n\
                  export const initialState = () => 0;\n\
                  export const handler = (state, event) => state + event.data;";
    let events = [(1, "a", 1), (2, "b", 2), (3, "a", 3)];
    let events = events.map(|(position, entity, data)| event(position, "e", entity, &json!(data)));
    let trial = trial(source.into(), events.to_vec(), ReducerLimits::default()).await.unwrap();
    assert_eq!(states(&trial), ["a 4 @3", "b 2 @2"]);
}

#[tokio::test]
async fn what_is_no_projection_is_refused() {
    let refused = trial("export const name = 'p';".into(), Vec::new(), ReducerLimits::default()).await;
    assert!(refused.unwrap_err().to_string().contains("`events` is not exported"));
}
