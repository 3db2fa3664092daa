//! O1: every committed event reaches JetStream in position order, at least
//! once, and a reader of positions sees it exactly once.
//!
//! JetStream's content is the log itself, sequence by position. A consumer may
//! be given an event again; but what it is given first comes in order, without
//! a hole: unless NATS lost messages by an operator's hand. Until they are
//! published again, what lies behind them comes first.

use weir_types::InvariantId::O1;

use super::{
    stretch::{Stretch, same, stretches},
    verdict,
};
use crate::{
    evidence::Evidence,
    history::{Call, Source},
    state::{JetStreamEnd, Message, StoredEvent},
    verdict::Verdict,
};

/// The faults by which NATS loses messages that it acknowledged.
const LOSES_MESSAGES: [&str; 3] = ["stream-delete", "stream-purge", "nats-rewind"];

/// Checks JetStream's content and all its consumers.
#[must_use]
pub fn check(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = verdict(O1);
    if let Some(jetstream) = &evidence.end.jetstream {
        content(&mut verdict, evidence, jetstream);
    }
    let lossy_from = lossy_from(evidence);
    for (consumer, stretches) in stretches(evidence, Source::JetStream) {
        for stretch in &stretches {
            let lossy = stretch.op.complete_us >= lossy_from;
            run(&mut verdict, evidence, consumer, stretch, lossy);
        }
    }
    verdict
}

/// From when on messages may be missing for a while.
fn lossy_from(evidence: &Evidence<'_>) -> u64 {
    let faults =
        evidence.history.operations.iter().filter(
            |op| matches!(&op.call, Call::Fault { name, .. } if LOSES_MESSAGES.contains(&name.as_str())),
        );
    faults.map(|op| op.invoke_us).min().unwrap_or(u64::MAX)
}

fn content(verdict: &mut Verdict, evidence: &Evidence<'_>, jetstream: &JetStreamEnd) {
    let begin = evidence.log.events.partition_point(|event| event.position <= jetstream.trimmed_to);
    let log = &evidence.log.events[begin..];
    for (message, event) in jetstream.messages.iter().zip(log) {
        let numbers = (message.sequence, message.position);
        let placed = numbers == (event.position, event.position);
        verdict.hold("message is out of place", placed, &[], || {
            format!("(sequence, position) {numbers:?} where position {} is due", event.position)
        });
        let carries = carries(message, event);
        let ops = if carries { Vec::new() } else { sends(evidence, event) };
        verdict.hold("message is another event", carries, &ops, || {
            format!("sequence {} carries `{}`, the log has `{}`", message.sequence, message.mark, event.mark)
        });
    }
    let (messages, events) = (jetstream.messages.len(), log.len());
    let missing = log.get(messages);
    let ops = missing.map_or_else(Vec::new, |event| sends(evidence, event));
    verdict.hold("messages and events differ in number", messages == events, &ops, || {
        format!("JetStream holds {messages} messages for {events} events")
    });
}

fn carries(message: &Message, event: &StoredEvent) -> bool {
    (&message.stream, message.version, &message.mark) == (&event.stream, event.version, &event.mark)
}

fn sends(evidence: &Evidence<'_>, event: &StoredEvent) -> Vec<u64> {
    evidence.intent_of(&event.mark).map_or_else(Vec::new, |intent| evidence.send_ids(intent))
}

fn run(verdict: &mut Verdict, evidence: &Evidence<'_>, consumer: &str, stretch: &Stretch<'_>, lossy: bool) {
    let mut due = stretch.due(evidence, stretch.after).peekable();
    let mut reached = stretch.after;
    for event in stretch.events {
        let known = same(verdict, evidence, stretch.op, event);
        let repeat = event.position <= reached;
        let expected = due.peek().map(|event| event.position);
        let holds = repeat || expected == Some(event.position);
        if lossy && known && !holds {
            // Nothing of the stretch behind it can be held against the log.
            return;
        }
        verdict.hold("consumer was given events with a hole", holds, &[stretch.op.id], || {
            format!("{consumer} got position {} where {expected:?} was due", event.position)
        });
        if !holds || !known {
            return;
        }
        if !repeat {
            due.next();
            reached = event.position;
        }
    }
    if stretch.complete_to.is_some() {
        let missing = stretch.missing(due);
        verdict.hold("consumer was not given all", missing.is_none(), &[stretch.op.id], || {
            format!("{consumer} never got position {missing:?}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::Rules,
        history::{Operation, Outcome, Seen},
        sample::{Shape, run},
    };

    #[test]
    fn a_hole_is_found_unless_nats_lost_messages_before_it() {
        // A fault, whether it comes before the stretch with the hole ends, whether the hole is found.
        let cases = [
            (None, true, true),
            (Some("stream-purge"), true, false),
            (Some("stream-delete"), true, false),
            (Some("nats-rewind"), true, false),
            (Some("nats-rewind"), false, true),
            (Some("nats-kill-all"), true, true),
        ];
        for (fault, before, found) in cases {
            let (mut history, end) = run(Shape::small(3, 600));
            let holed = history.operations.iter_mut().find_map(|op| {
                let jetstream = matches!(&op.call, Call::Observe { source: Source::JetStream, .. });
                let Outcome::Ok { seen: Seen::Observed { events, .. } } = &mut op.outcome else {
                    return None;
                };
                let long = jetstream && events.len() > 6;
                long.then(|| events.drain(4..6).count()).map(|_| op.complete_us)
            });
            let at = holed.expect("the sample has a long stretch");
            if let Some(name) = fault {
                let invoke_us = if before { at } else { at + 1 };
                let (name, phase) = (name.to_owned(), "inject".to_owned());
                history.operations.push(Operation {
                    id: u64::MAX,
                    client: 0,
                    invoke_us,
                    complete_us: invoke_us,
                    call: Call::Fault { name, phase, nodes: Vec::new(), detail: serde_json::Value::Null },
                    outcome: Outcome::Ok { seen: Seen::Done },
                });
            }
            let verdict = check(&Evidence::new(&history, &end, Rules::default()));
            let rule = "consumer was given events with a hole";
            let told = verdict.violations.iter().any(|violation| violation.rule == rule);
            assert_eq!(told, found, "{fault:?}, before: {before}");
            assert_eq!(verdict.found > 0, found, "{fault:?}, before: {before}: {verdict}");
        }
    }
}
