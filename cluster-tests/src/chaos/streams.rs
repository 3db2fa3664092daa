//! Reads every stream again, at every node, as clients read streams: by index
//! and not by log. What a node lost of its index shows nowhere else.

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use weir_check::state::{FinalState, StoredEvent};

use super::{gather::stored_event, rig::Rig};
use crate::{
    edge::{CallError, Edge},
    replica,
};

/// Streams that are read at once, over all nodes.
const IN_FLIGHT: usize = 16;
/// Events of a page: as many as there may be.
const PAGE_EVENTS: usize = weir_types::limits::READ_EVENTS_MAX;
/// How long a page may take in all tries: a busy machine answers late.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is told of; the rest is more of the same.
const TOLD_MAX: usize = 10;
/// The statuses of refusals that a busy node may give. Any other is told at once: damage, a failed disk,
/// an internal error, a stream that is not there.
const BUSY: [u16; 3] = [429, 503, 504];
/// No URL ends in them, however they are spelt.
const IN_NO_PATH: [&str; 2] = [".", ".."];

/// A stream as one node gave it.
struct Paged {
    version: u64,
    events: Vec<StoredEvent>,
}

/// A stream to read at a node, and what the node's log has of it.
struct Due<'a> {
    node: u64,
    edge: Edge,
    name: &'a str,
    log: Vec<&'a StoredEvent>,
}

impl Due<'_> {
    async fn difference(self) -> Option<String> {
        let wrong = match paged(&self.edge, self.name).await {
            Ok(paged) => difference(&self.log, &paged),
            Err(error) => Some(format!("is not read: {error:#}")),
        };
        wrong.map(|wrong| format!("node {}, stream `{}` {wrong}", self.node, self.name))
    }
}

/// How every node's streams differ from its own log. At most ten are told; then nothing more is read.
pub async fn differences(rig: &Rig, end: &FinalState) -> Vec<String> {
    let mut due = Vec::new();
    for (server, node) in rig.nodes.iter().zip(&end.nodes) {
        for (name, log) in streams(&node.events) {
            due.push(Due { node: server.id, edge: server.edge.clone(), name, log });
        }
    }
    // Boxed: a stream of what borrows is else not known to be `Send`.
    let reads: Vec<BoxFuture<'_, _>> = due.into_iter().map(|due| due.difference().boxed()).collect();
    let wrong = stream::iter(reads).buffer_unordered(IN_FLIGHT).filter_map(std::future::ready);
    wrong.take(TOLD_MAX).collect().await
}

/// The events of each stream that a path can name, in the order of the log.
fn streams(log: &[StoredEvent]) -> BTreeMap<&str, Vec<&StoredEvent>> {
    let mut streams: BTreeMap<&str, Vec<&StoredEvent>> = BTreeMap::new();
    for event in log.iter().filter(|event| !IN_NO_PATH.contains(&event.stream.as_str())) {
        streams.entry(&event.stream).or_default().push(event);
    }
    streams
}

async fn paged(edge: &Edge, name: &str) -> anyhow::Result<Paged> {
    let (mut events, mut from) = (Vec::new(), 1);
    loop {
        let query = format!("consistency=local&from_version={from}&limit={PAGE_EVENTS}");
        let page = patiently(edge, name, &query).await?;
        for event in page.events {
            events.push(stored_event(replica::StoredEvent::of(event)?));
        }
        let Some(next) = page.next_version else { return Ok(Paged { version: page.version, events }) };
        anyhow::ensure!(next > from, "the page from version {from} goes on at {next}");
        from = next;
    }
}

/// One page. No answer, or a refusal that a busy node may give, is asked again.
async fn patiently(edge: &Edge, name: &str, query: &str) -> Result<weir_api::v1::ReadPage, CallError> {
    let begun = std::time::Instant::now();
    loop {
        match edge.read(name, query).await {
            Ok(page) => return Ok(page),
            Err(error) if begun.elapsed() >= PATIENCE || !may_pass(&error) => return Err(error),
            Err(_) => crate::pause().await,
        }
    }
}

fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Silent(_) => true,
        CallError::Refused { status, .. } => BUSY.contains(status),
    }
}

/// How what was read differs from what the log has of the stream.
fn difference(log: &[&StoredEvent], paged: &Paged) -> Option<String> {
    let first = log.iter().zip(&paged.events).find(|(held, read)| *held != read);
    if let Some((held, read)) = first {
        let shown = |event: &StoredEvent| (event.version, event.position, event.mark.clone());
        let (held, read) = (shown(held), shown(read));
        return Some(match held == read {
            false => format!("shows (version, position, mark) {read:?} where the log has {held:?}"),
            true => format!("shows {read:?} with other data than the log"),
        });
    }
    let (held, read) = (log.len(), paged.events.len());
    if held != read {
        return Some(format!("shows {read} events where the log has {held}"));
    }
    let last = log.last().map_or(0, |event| event.version);
    (paged.version != last).then(|| format!("is told at version {} where the log has {last}", paged.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(version: u64, mark: &str) -> StoredEvent {
        let (stream, mark) = ("s".to_owned(), mark.to_owned());
        StoredEvent { position: version * 2, version, mark, stream, ..StoredEvent::default() }
    }

    #[test]
    fn a_stream_that_is_not_what_the_log_has_of_it_is_told() {
        let log = [event(1, "a"), event(2, "b"), event(3, "c")];
        let all = || log.to_vec();
        let other = StoredEvent { data: serde_json::json!(1), ..event(2, "b") };
        let cases = [
            ("as it is", all(), 3, None),
            ("a lost end", log[..2].to_vec(), 3, Some("2 events where the log has 3")),
            ("all lost", Vec::new(), 0, Some("0 events")),
            ("a hole", vec![event(1, "a"), event(3, "c")], 3, Some("(3, 6, \"c\")")),
            ("another event", vec![event(1, "a"), event(2, "x"), event(3, "c")], 3, Some("(2, 4, \"x\")")),
            ("other data", vec![event(1, "a"), other, event(3, "c")], 3, Some("other data")),
            ("one too many", [all(), vec![event(4, "d")]].concat(), 4, Some("4 events")),
            ("an old head", all(), 2, Some("version 2 where the log has 3")),
        ];
        let held: Vec<&StoredEvent> = log.iter().collect();
        for (what, events, version, told) in cases {
            let found = difference(&held, &Paged { version, events });
            match told {
                None => assert_eq!(found, None, "{what}"),
                Some(told) => assert!(found.as_ref().unwrap().contains(told), "{what}: {found:?}"),
            }
        }
    }

    #[test]
    fn only_what_a_busy_node_may_answer_is_asked_again() {
        use weir_api::{ApiError, ErrorCode};
        let cases = [
            (ErrorCode::Internal, false),
            (ErrorCode::StorageDamaged, false),
            (ErrorCode::StorageFailed, false),
            (ErrorCode::StreamNotFound, false),
            (ErrorCode::Unavailable, true),
            (ErrorCode::Overloaded, true),
        ];
        for (code, again) in cases {
            let (status, error) = (code.status(), ApiError::new(code, "told"));
            assert_eq!(may_pass(&CallError::Refused { status, error }), again, "{code:?}");
        }
        assert!(may_pass(&CallError::Silent(anyhow::anyhow!("late"))));
    }

    #[test]
    fn streams_that_no_path_names_are_left_out() {
        let named = |stream: &str| StoredEvent { stream: stream.to_owned(), ..event(1, "m") };
        let log = [named("a"), named("."), named(".."), named("...")];
        assert_eq!(streams(&log).into_keys().collect::<Vec<_>>(), ["...", "a"]);
    }
}
